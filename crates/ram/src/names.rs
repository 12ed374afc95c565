//! Names, ids and what stands in parameters: their forms, and how new ones are drawn (`ram-rpc.md` §2).

use crate::answer::Fault;

/// Letters and digits.
const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The system gives no random bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes: {0}")]
pub struct NoRandom(String);

impl From<NoRandom> for Fault {
    fn from(error: NoRandom) -> Fault {
        tracing::error!(%error, "nothing can be made");
        Fault::internal()
    }
}

/// `count` letters, evenly drawn from `alphabet`, which has at most 256: bytes that would make some of them more likely are
/// thrown away.
///
/// # Errors
/// [`NoRandom`].
pub fn draw(alphabet: &[u8], count: usize) -> Result<String, NoRandom> {
    let bound = 256 - 256 % alphabet.len().max(1);
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(|error| NoRandom(error.to_string()))?;
        for byte in random.into_iter().map(usize::from).filter(|byte| *byte < bound) {
            if text.len() < count
                && let Some(letter) = alphabet.get(byte % alphabet.len())
            {
                text.push(char::from(*letter));
            }
        }
    }
    Ok(text)
}

/// `count` letters and digits.
///
/// # Errors
/// [`NoRandom`].
pub fn draw_letters(count: usize) -> Result<String, NoRandom> {
    draw(ALNUM, count)
}

/// An upper-case GUID, as answers are named by.
pub fn guid() -> String {
    let mut random = [0u8; 16];
    if let Err(error) = getrandom::fill(&mut random) {
        // An id of an answer is no secret; one that repeats is better than no answer.
        tracing::error!(%error, "no random bytes");
    }
    let hex: String = random.iter().map(|byte| format!("{byte:02X}")).collect();
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// A user's or a role's id: 18 digits.
pub(crate) fn new_id() -> Result<String, NoRandom> {
    Ok(format!("2{}", draw(b"0123456789", 17)?))
}

/// A group's id.
pub(crate) fn new_group_id() -> Result<String, NoRandom> {
    Ok(format!("g-{}", draw_letters(16)?))
}

/// The id and the secret of a key.
pub(crate) fn new_key() -> Result<(String, String), NoRandom> {
    Ok((format!("LTAI5t{}", draw_letters(18)?), draw_letters(30)?))
}

/// The id and the secret of temporary credentials.
pub(crate) fn new_temporary_key() -> Result<(String, String), NoRandom> {
    Ok((format!("STS.N{}", draw_letters(24)?), draw_letters(44)?))
}

fn name(parameter: &str, value: &str, length_max: usize, extra: &[u8]) -> Result<String, Fault> {
    if value.chars().count() > length_max {
        return Err(Fault::too_long(parameter));
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || extra.contains(&byte);
    if value.is_empty() || !value.bytes().all(good) {
        return Err(Fault::invalid_chars(parameter));
    }
    Ok(value.to_owned())
}

/// A user's name, checked.
pub(crate) fn user(parameter: &str, value: &str) -> Result<String, Fault> {
    name(parameter, value, 64, b".@_-")
}

/// A group's name, checked.
pub(crate) fn group(parameter: &str, value: &str) -> Result<String, Fault> {
    name(parameter, value, 64, b"._-")
}

/// A role's name, checked.
pub(crate) fn role(parameter: &str, value: &str) -> Result<String, Fault> {
    name(parameter, value, 64, b"._-")
}

/// A policy's name, checked.
pub(crate) fn policy(parameter: &str, value: &str) -> Result<String, Fault> {
    name(parameter, value, 128, b"-")
}

/// Free text, up to so many characters.
pub(crate) fn text(parameter: &str, value: &str, length_max: usize) -> Result<String, Fault> {
    match value.chars().count() > length_max {
        true => Err(Fault::too_long(parameter)),
        false => Ok(value.to_owned()),
    }
}

/// `a@b`.
pub(crate) fn email(parameter: &str, value: &str) -> Result<String, Fault> {
    let good = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic());
    let form = value.is_empty()
        || value.split_once('@').is_some_and(|(a, b)| good(a) && good(b) && !b.contains('@'));
    match form && value.len() <= 128 {
        true => Ok(value.to_owned()),
        false => Err(Fault::bad_format(parameter)),
    }
}

/// A country's code, `-`, digits.
pub(crate) fn mobile(parameter: &str, value: &str) -> Result<String, Fault> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let form = value.is_empty()
        || value.split_once('-').map_or(digits(value), |(a, b)| digits(a) && digits(b));
    match form && value.len() <= 32 {
        true => Ok(value.to_owned()),
        false => Err(Fault::bad_format(parameter)),
    }
}

/// `v` and a number.
pub(crate) fn version(parameter: &str, value: &str) -> Result<u32, Fault> {
    value
        .strip_prefix('v')
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0'))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| Fault::bad_format(parameter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_the_service_takes_them() {
        assert!(user("UserName", "alice@dev.example-1_x").is_ok());
        assert!(group("GroupName", "a@b").is_err());
        assert!(policy("PolicyName", "a.b").is_err());
        for bad in ["", "a b", "ä", "a/b"] {
            let fault = user("UserName", bad).unwrap_err();
            assert_eq!(fault.code, "InvalidParameter.UserName.InvalidChars", "{bad}");
        }
        assert_eq!(
            role("RoleName", &"r".repeat(65)).unwrap_err().code,
            "InvalidParameter.RoleName.Length"
        );
        assert!(email("Email", "a@b").is_ok() && email("Email", "ab").is_err());
        assert!(mobile("MobilePhone", "86-18600008888").is_ok());
        assert!(mobile("MobilePhone", "86-x").is_err());
        assert_eq!(version("VersionId", "v12").ok(), Some(12));
        for bad in ["", "v", "v0", "12", "v-1", "v99999999999"] {
            assert!(version("VersionId", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_drawn_has_its_form_and_does_not_repeat() {
        let (id, secret) = new_key().unwrap();
        assert!(id.starts_with("LTAI") && id.len() == 24 && secret.len() == 30);
        assert_ne!(new_key().unwrap().0, id);
        assert_eq!(new_id().unwrap().len(), 18);
        let guid = guid();
        assert_eq!((guid.len(), guid.matches('-').count()), (36, 4));
        assert_eq!(guid, guid.to_ascii_uppercase());
    }
}
