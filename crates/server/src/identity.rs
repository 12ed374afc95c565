//! Who owns the server: the account id and the root key.
//!
//! Both are made at the first start and kept in the data folder, in a file that only its owner may read; the secret is sealed under
//! the master key, which is not there. A file of the time before that is sealed when it is read. A pair in the environment replaces
//! the stored one at each start, and the old one stops working.

use std::{
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ossia_keys::{KeyId, MasterKeys, Purpose, SealError, sealed_with};
use ossia_ram::{NoRandom, draw, draw_letters};
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
    /// The secret is sealed under a master key that is not there.
    #[error(
        "{path} holds the root key's secret sealed, and the master key file {key_file} does not open it: \
         {source}. Bring that file back, or set {ACCESS_KEY_ID} and {ACCESS_KEY_SECRET} to have another root key"
    )]
    Locked {
        /// The file with the secret.
        path: PathBuf,
        /// The file that should open it.
        key_file: PathBuf,
        /// Why it does not.
        source: SealError,
    },
    /// The secret could not be sealed.
    #[error("the root key's secret could not be sealed: {0}")]
    Seal(SealError),
    /// The system gives no random bytes.
    #[error(transparent)]
    Random(#[from] NoRandom),
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
    /// In clear, as it was written before there were master keys.
    #[serde(default)]
    access_key_secret: String,
    /// Sealed, in base64.
    #[serde(default)]
    access_key_secret_sealed: String,
}

impl Stored {
    /// What the secret is sealed for: no other secret opens in its place.
    fn context(access_key_id: &str) -> Vec<u8> {
        [b"root key ", access_key_id.as_bytes()].concat()
    }

    /// The master key that it is sealed under.
    fn key(&self) -> Option<KeyId> {
        sealed_with(&STANDARD.decode(&self.access_key_secret_sealed).ok()?)
    }

    fn root(&self, path: &Path, master: &Master<'_>) -> Result<RootKey, IdentityError> {
        let id = self.access_key_id.clone();
        if self.access_key_secret_sealed.is_empty() {
            return Ok(RootKey { id, secret: self.access_key_secret.clone() });
        }
        let damaged = |reason| IdentityError::Damaged { path: path.to_owned(), reason };
        let sealed = STANDARD.decode(&self.access_key_secret_sealed);
        let sealed = sealed.map_err(|_| damaged("the sealed secret is no base64"))?;
        let opened = master.keys.open(Purpose::Secret, &Stored::context(&id), &sealed);
        let secret = opened.map_err(|source| IdentityError::Locked {
            path: path.to_owned(),
            key_file: master.file.to_owned(),
            source,
        })?;
        let secret = std::str::from_utf8(&secret);
        let secret = secret.map_err(|_| damaged("the sealed secret is no text"))?.to_owned();
        Ok(RootKey { id, secret })
    }
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
        master: &Master<'_>,
    ) -> Result<Identity, IdentityError> {
        let path = folder.join(IDENTITY_FILE);
        let file = |source| IdentityError::File { path: path.clone(), source };
        let stored = match fs::read_to_string(&path) {
            Ok(text) => Some(parse(&path, &text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(file(error)),
        };
        let secret_is_new = stored.is_none() && pair.is_none();
        let account_now = match (&stored, account) {
            (_, given) if !given.is_empty() => given.to_owned(),
            (Some(stored), _) => stored.account.clone(),
            (None, _) => new_account()?,
        };
        // One that no longer opens does not matter where another one is given.
        let before = match (&stored, &pair) {
            (None, _) => None,
            (Some(stored), None) => Some(stored.root(&path, master)?),
            (Some(stored), Some(_)) => stored.root(&path, master).ok(),
        };
        let given = pair.is_some();
        let root = match (pair, &before) {
            (Some(pair), _) => pair,
            (None, Some(root)) => root.clone(),
            (None, None) => new_key()?,
        };
        let kept = stored.is_some_and(|stored| {
            stored.account == account_now
                && !stored.access_key_secret_sealed.is_empty()
                && stored.access_key_secret.is_empty()
                && before.as_ref() == Some(&root)
                && stored.key() == master.keys.current()
        });
        if !kept {
            let context = Stored::context(&root.id);
            match master.keys.seal(Purpose::Secret, &context, root.secret.as_bytes()) {
                Ok(sealed) => {
                    let stored = Stored {
                        account: account_now.clone(),
                        access_key_id: root.id.clone(),
                        access_key_secret: String::new(),
                        access_key_secret_sealed: STANDARD.encode(sealed),
                    };
                    write(folder, &path, &stored).map_err(file)?;
                }
                // It comes with every start, so it need not be kept; nothing goes into the folder in clear.
                Err(error) if given => {
                    tracing::warn!(%error, "the root key of the environment is not kept: it cannot be sealed");
                }
                Err(error) => return Err(IdentityError::Seal(error)),
            }
        }
        Ok(Identity { account: account_now, root, secret_is_new })
    }
}

/// What opens and seals the secret.
#[derive(Debug, Clone, Copy)]
pub struct Master<'a> {
    /// The keys, as far as they are there.
    pub keys: &'a MasterKeys,
    /// Where they should be, for messages.
    pub file: &'a Path,
}

/// What `fuzz/` needs to see. Not an interface: it is there with the feature `fuzzing` alone.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub fn fuzz(text: &str) {
    if let Ok(stored) = parse(Path::new("identity.toml"), text) {
        assert!(stored.account.len() == 16);
        assert!(stored.access_key_secret.is_empty() != stored.access_key_secret_sealed.is_empty());
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
    if stored.access_key_secret.is_empty() == stored.access_key_secret_sealed.is_empty() {
        return Err(damaged("the secret is missing, or stands there twice"));
    }
    Ok(stored)
}

/// Writes the file so that a crash leaves the old one or the new one, and nobody else may read it at any moment.
fn write(folder: &Path, path: &Path, stored: &Stored) -> io::Result<()> {
    let text = format!(
        "account = {}\naccess_key_id = {}\naccess_key_secret_sealed = {}\n",
        quoted(&stored.account),
        quoted(&stored.access_key_id),
        quoted(&stored.access_key_secret_sealed)
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
    file.write_all(
        b"# Account and root key of this data folder. The master key file opens the secret.\n",
    )?;
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

fn new_account() -> Result<String, IdentityError> {
    Ok(format!("1{}", draw(b"0123456789", 15)?))
}

fn new_key() -> Result<RootKey, IdentityError> {
    Ok(RootKey { id: format!("OSSIA{}", draw_letters(19)?), secret: draw_letters(30)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> RootKey {
        RootKey { id: id.into(), secret: "12345678".into() }
    }

    /// With the master key beside the folder.
    fn of(folder: &Path, pair: Option<RootKey>) -> Result<Identity, IdentityError> {
        let file = folder.join("keys");
        let keys = MasterKeys::open_or_create(&file).unwrap();
        Identity::of_folder(folder, pair, "", &Master { keys: &keys, file: &file })
    }

    #[test]
    fn no_secret_stands_in_the_file_and_a_plain_one_is_sealed_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(IDENTITY_FILE);
        let first = of(folder.path(), None).unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains(&first.root.secret));
        let plain = "account = \"1234567890123456\"\naccess_key_id = \"mine\"\naccess_key_secret = \"12345678\"\n";
        fs::write(&path, plain).unwrap();
        let read = of(folder.path(), None).unwrap();
        assert_eq!((read.root, read.account.as_str()), (key("mine"), "1234567890123456"));
        assert!(!fs::read_to_string(&path).unwrap().contains("12345678\"\n#"));
        assert!(!fs::read_to_string(&path).unwrap().contains("secret = "));
        assert_eq!(of(folder.path(), None).unwrap().root, key("mine"));
    }

    #[test]
    fn another_master_key_opens_nothing_and_the_message_names_its_file_but_a_pair_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        of(folder.path(), None).unwrap();
        let keys = folder.path().join("keys");
        fs::remove_file(&keys).unwrap();
        let before = fs::read(folder.path().join(IDENTITY_FILE)).unwrap();
        let told = of(folder.path(), None).unwrap_err();
        assert!(matches!(told, IdentityError::Locked { .. }), "{told}");
        assert!(told.to_string().contains(keys.to_str().unwrap()), "{told}");
        assert_eq!(fs::read(folder.path().join(IDENTITY_FILE)).unwrap(), before);
        assert_eq!(of(folder.path(), Some(key("mine"))).unwrap().root, key("mine"));
        assert_eq!(of(folder.path(), None).unwrap().root, key("mine"));
    }

    #[test]
    fn without_any_master_key_only_a_given_pair_goes_on_and_nothing_is_written_in_clear() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(IDENTITY_FILE);
        let (none, file) = (MasterKeys::none(), Path::new("/elsewhere/keys"));
        let master = Master { keys: &none, file };
        let first = Identity::of_folder(folder.path(), None, "", &master);
        assert!(matches!(first, Err(IdentityError::Seal(_))));
        let given = Identity::of_folder(folder.path(), Some(key("mine")), "", &master).unwrap();
        assert_eq!((given.root, path.exists()), (key("mine"), false));
        of(folder.path(), Some(key("mine"))).unwrap();
        let before = fs::read(&path).unwrap();
        let told = Identity::of_folder(folder.path(), None, "", &master).unwrap_err();
        assert!(told.to_string().contains("/elsewhere/keys"), "{told}");
        Identity::of_folder(folder.path(), Some(key("yours")), "", &master).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn after_a_rotation_the_secret_is_sealed_under_the_new_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(IDENTITY_FILE);
        let first = of(folder.path(), None).unwrap();
        let before = fs::read(&path).unwrap();
        of(folder.path(), None).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
        MasterKeys::of_file(&folder.path().join("keys")).unwrap().rotate().unwrap();
        assert_eq!(of(folder.path(), None).unwrap().root, first.root);
        assert_ne!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_secret_does_not_open_for_another_key_id() {
        let folder = tempfile::tempdir().unwrap();
        of(folder.path(), Some(key("mine"))).unwrap();
        let path = folder.path().join(IDENTITY_FILE);
        let text = fs::read_to_string(&path).unwrap().replace("\"mine\"", "\"other\"");
        fs::write(&path, text).unwrap();
        assert!(matches!(of(folder.path(), None), Err(IdentityError::Locked { .. })));
    }

    #[test]
    fn the_first_start_makes_an_identity_and_the_second_keeps_it_silently() {
        let folder = tempfile::tempdir().unwrap();
        let first = of(folder.path(), None).unwrap();
        assert!(first.secret_is_new);
        assert_eq!((first.account.len(), first.root.secret.len()), (16, 30));
        let second = of(folder.path(), None).unwrap();
        assert_eq!(second, Identity { secret_is_new: false, ..first });
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        of(folder.path(), None).unwrap();
        let mode = fs::metadata(folder.path().join(IDENTITY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_environments_pair_replaces_the_stored_one_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let first = of(folder.path(), None).unwrap();
        let replaced = of(folder.path(), Some(key("mine"))).unwrap();
        assert_eq!((&replaced.root, &replaced.account), (&key("mine"), &first.account));
        assert!(!replaced.secret_is_new);
        let later = of(folder.path(), None).unwrap();
        assert_eq!(later.root, key("mine"));
    }

    #[test]
    fn a_secret_with_quotes_and_backslashes_survives() {
        let folder = tempfile::tempdir().unwrap();
        let odd = RootKey { id: "mine".into(), secret: r#"a"b\c"d\e'#"#.into() };
        of(folder.path(), Some(odd.clone())).unwrap();
        assert_eq!(of(folder.path(), None).unwrap().root, odd);
    }

    #[test]
    fn a_damaged_file_is_neither_used_nor_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(IDENTITY_FILE);
        fs::write(&path, "access_key_secret = \"half").unwrap();
        let told = of(folder.path(), Some(key("mine"))).unwrap_err();
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
