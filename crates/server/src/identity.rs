//! Who owns the server: the account id and the root key.
//!
//! Both are made at the first start and kept in the data folder, in a file that only its owner may read. A pair in the
//! environment replaces the stored one at each start, and the old one stops working.

use std::{
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

/// The file in the data folder.
pub const IDENTITY_FILE: &str = "identity.toml";

/// The variable that names the root key's id.
pub const ACCESS_KEY_ID: &str = "OSSIA_ACCESS_KEY_ID";
/// The variable that holds its secret.
pub const ACCESS_KEY_SECRET: &str = "OSSIA_ACCESS_KEY_SECRET";

/// A key pair.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey {
    /// The AccessKey id.
    pub id: String,
    /// The AccessKey secret.
    pub secret: String,
}

/// Never shows the secret.
impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Account and root key of a running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// 16 digits; the owner of everything.
    pub account: String,
    /// The root key.
    pub root: RootKey,
    /// Whether the secret was made by this start and must be shown now or never.
    pub secret_is_new: bool,
}

/// Why there is no identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// Only one of the two variables is set.
    #[error("{ACCESS_KEY_ID} and {ACCESS_KEY_SECRET} must be set together")]
    HalfPair,
    /// The id or the secret in the environment cannot be one.
    #[error("{variable}: {reason}")]
    BadPair {
        /// The variable.
        variable: &'static str,
        /// What is wrong; never shows the value.
        reason: &'static str,
    },
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not say what it should. It is not overwritten: it may hold the only copy of the secret.
    #[error(
        "{path} is damaged: {reason}. Restore it, or remove it to have a new account and root key made"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong; never shows the contents.
        reason: &'static str,
    },
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
}

/// The fixed identity of `--memory`.
const MEMORY_ACCOUNT: &str = "1000000000000001";
const MEMORY_KEY_ID: &str = "ossia";
const MEMORY_KEY_SECRET: &str = "ossia-secret";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    account: String,
    access_key_id: String,
    access_key_secret: String,
}

/// The pair of the environment, if it is set.
///
/// # Errors
/// [`IdentityError::HalfPair`], [`IdentityError::BadPair`].
pub fn pair_of_environment(
    id: Option<String>,
    secret: Option<String>,
) -> Result<Option<RootKey>, IdentityError> {
    let id = id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    let secret = secret.map(|s| s.trim().to_owned()).filter(|s| !s.is_empty());
    match (id, secret) {
        (None, None) => Ok(None),
        (Some(id), Some(secret)) => {
            if id.len() > 128
                || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._=-".contains(&b))
            {
                return Err(IdentityError::BadPair {
                    variable: ACCESS_KEY_ID,
                    reason: "up to 128 letters, digits and ._=- are needed",
                });
            }
            if secret.len() < 8
                || secret.len() > 256
                || !secret.bytes().all(|b| b.is_ascii_graphic())
            {
                return Err(IdentityError::BadPair {
                    variable: ACCESS_KEY_SECRET,
                    reason: "8 to 256 printable characters are needed",
                });
            }
            Ok(Some(RootKey { id, secret }))
        }
        _ => Err(IdentityError::HalfPair),
    }
}

impl Identity {
    /// The identity of a server that keeps nothing: fixed, so that test programs can have it written in.
    pub fn in_memory(pair: Option<RootKey>, account: &str) -> Identity {
        let secret_is_new = pair.is_none();
        Identity {
            account: if account.is_empty() { MEMORY_ACCOUNT } else { account }.to_owned(),
            root: pair.unwrap_or_else(|| RootKey {
                id: MEMORY_KEY_ID.to_owned(),
                secret: MEMORY_KEY_SECRET.to_owned(),
            }),
            secret_is_new,
        }
    }

    /// Reads the identity of the data folder, or makes it. `pair` and `account` (empty: none) replace what is stored.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn of_folder(
        folder: &Path,
        pair: Option<RootKey>,
        account: &str,
    ) -> Result<Identity, IdentityError> {
        let path = folder.join(IDENTITY_FILE);
        let file = |source| IdentityError::File { path: path.clone(), source };
        let stored = match fs::read_to_string(&path) {
            Ok(text) => Some(parse(&path, &text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(file(error)),
        };
        let secret_is_new = stored.is_none() && pair.is_none();
        let before = stored
            .as_ref()
            .map(|s| (s.account.clone(), s.access_key_id.clone(), s.access_key_secret.clone()));
        let account = match (&stored, account) {
            (_, given) if !given.is_empty() => given.to_owned(),
            (Some(stored), _) => stored.account.clone(),
            (None, _) => new_account()?,
        };
        let root = match (pair, stored) {
            (Some(pair), _) => pair,
            (None, Some(s)) => RootKey { id: s.access_key_id, secret: s.access_key_secret },
            (None, None) => new_key()?,
        };
        let now = (account.clone(), root.id.clone(), root.secret.clone());
        if before.as_ref() != Some(&now) {
            let stored = Stored {
                account: account.clone(),
                access_key_id: root.id.clone(),
                access_key_secret: root.secret.clone(),
            };
            write(folder, &path, &stored).map_err(file)?;
        }
        Ok(Identity { account, root, secret_is_new })
    }
}

/// What `fuzz/` needs to see. Not an interface: it is there with the feature `fuzzing` alone.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub fn fuzz(text: &str) {
    if let Ok(stored) = parse(Path::new("identity.toml"), text) {
        assert!(stored.account.len() == 16 && !stored.access_key_secret.is_empty());
    }
}

fn parse(path: &Path, text: &str) -> Result<Stored, IdentityError> {
    let damaged = |reason| IdentityError::Damaged { path: path.to_owned(), reason };
    // The parser's own message would quote the line, and with it the secret.
    let stored: Stored =
        toml::from_str(text).map_err(|_| damaged("it is not as it was written"))?;
    if stored.account.len() != 16 || stored.access_key_id.is_empty() {
        return Err(damaged("a value is missing"));
    }
    if stored.access_key_secret.is_empty() {
        return Err(damaged("the secret is missing"));
    }
    Ok(stored)
}

/// Writes the file so that a crash leaves the old one or the new one, and nobody else may read it at any moment.
fn write(folder: &Path, path: &Path, stored: &Stored) -> io::Result<()> {
    let text = format!(
        "account = {}\naccess_key_id = {}\naccess_key_secret = {}\n",
        quoted(&stored.account),
        quoted(&stored.access_key_id),
        quoted(&stored.access_key_secret)
    );
    let fresh = folder.join("identity.toml.new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&fresh)?;
    file.write_all(b"# Account and root key of this data folder. Keep it secret.\n")?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop(file);
    fs::rename(&fresh, path)?;
    fs::File::open(folder)?.sync_all()
}

/// A TOML string; everything in an identity is printable ASCII.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn random<const N: usize>() -> Result<[u8; N], IdentityError> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|e| IdentityError::Random(e.to_string()))?;
    Ok(bytes)
}

/// Evenly drawn from `alphabet`: bytes that would make some characters more likely are thrown away.
fn draw(alphabet: &[u8], count: usize) -> Result<String, IdentityError> {
    let bound = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(count);
    while text.len() < count {
        for byte in random::<32>()? {
            let byte = usize::from(byte);
            if byte < bound
                && text.len() < count
                && let Some(letter) = alphabet.get(byte % alphabet.len())
            {
                text.push(char::from(*letter));
            }
        }
    }
    Ok(text)
}

fn new_account() -> Result<String, IdentityError> {
    Ok(format!("1{}", draw(b"0123456789", 15)?))
}

fn new_key() -> Result<RootKey, IdentityError> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    Ok(RootKey { id: format!("OSSIA{}", draw(LETTERS, 19)?), secret: draw(LETTERS, 30)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> RootKey {
        RootKey { id: id.into(), secret: "12345678".into() }
    }

    #[test]
    fn the_first_start_makes_an_identity_and_the_second_keeps_it_silently() {
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::of_folder(folder.path(), None, "").unwrap();
        assert!(first.secret_is_new);
        assert_eq!((first.account.len(), first.root.secret.len()), (16, 30));
        let second = Identity::of_folder(folder.path(), None, "").unwrap();
        assert_eq!(second, Identity { secret_is_new: false, ..first });
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        Identity::of_folder(folder.path(), None, "").unwrap();
        let mode = fs::metadata(folder.path().join(IDENTITY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_environments_pair_replaces_the_stored_one_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::of_folder(folder.path(), None, "").unwrap();
        let replaced = Identity::of_folder(folder.path(), Some(key("mine")), "").unwrap();
        assert_eq!((&replaced.root, &replaced.account), (&key("mine"), &first.account));
        assert!(!replaced.secret_is_new);
        let later = Identity::of_folder(folder.path(), None, "").unwrap();
        assert_eq!(later.root, key("mine"));
    }

    #[test]
    fn a_secret_with_quotes_and_backslashes_survives() {
        let folder = tempfile::tempdir().unwrap();
        let odd = RootKey { id: "mine".into(), secret: r#"a"b\c"d\e'#"#.into() };
        Identity::of_folder(folder.path(), Some(odd.clone()), "").unwrap();
        assert_eq!(Identity::of_folder(folder.path(), None, "").unwrap().root, odd);
    }

    #[test]
    fn a_damaged_file_is_neither_used_nor_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(IDENTITY_FILE);
        fs::write(&path, "access_key_secret = \"half").unwrap();
        let told = Identity::of_folder(folder.path(), Some(key("mine")), "").unwrap_err();
        assert!(matches!(told, IdentityError::Damaged { .. }), "{told}");
        assert!(!told.to_string().contains("half"), "the message must not show the contents");
        assert_eq!(fs::read_to_string(&path).unwrap(), "access_key_secret = \"half");
    }

    #[test]
    fn half_a_pair_is_refused_and_an_empty_variable_counts_as_unset() {
        let some = |text: &str| Some(text.to_owned());
        assert!(matches!(pair_of_environment(some("id"), None), Err(IdentityError::HalfPair)));
        assert!(matches!(pair_of_environment(some(""), None), Ok(None)));
        let bad = pair_of_environment(some("i d"), some("12345678"));
        assert!(matches!(bad, Err(IdentityError::BadPair { variable: ACCESS_KEY_ID, .. })));
        let good = pair_of_environment(some(" id "), some("12345678")).unwrap();
        assert_eq!(good, Some(key("id")));
    }

    #[test]
    fn the_secret_does_not_show_in_debug_output() {
        assert!(!format!("{:?}", Identity::in_memory(None, "")).contains(MEMORY_KEY_SECRET));
    }
}
