//! Names of buckets and objects, valid by construction.
//!
//! A [`BucketName`] or [`ObjectKey`] that exists obeys the rules of the service, so nothing behind the parser checks again.
//! Both are cheap to clone and order by their UTF-8 bytes, which is the order of every listing. Keys are opaque otherwise:
//! `a//b`, `a/../b`, `.` and control characters stand for themselves and are never normalised.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::error::{ErrorCode, OssError};

/// Shortest bucket name, in bytes.
pub const BUCKET_NAME_BYTES_MIN: usize = 3;
/// Longest bucket name, in bytes.
pub const BUCKET_NAME_BYTES_MAX: usize = 63;
/// Longest object key, in bytes of UTF-8.
pub const OBJECT_KEY_BYTES_MAX: usize = 1023;

/// Why a text is not a bucket name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BucketNameError {
    /// Shorter than 3 or longer than 63 bytes.
    #[error("a bucket name has 3 to 63 characters, this one has {0}")]
    Length(usize),
    /// Something else than a lower-case letter, a digit or a hyphen.
    #[error("a bucket name holds lower-case letters, digits and hyphens only")]
    Character,
    /// The first or last character is a hyphen.
    #[error("a bucket name starts and ends with a letter or a digit")]
    Edge,
}

impl From<BucketNameError> for OssError {
    fn from(_: BucketNameError) -> Self {
        Self::new(ErrorCode::InvalidBucketName)
    }
}

/// Why a text is not an object key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectKeyError {
    /// No byte at all.
    #[error("an object key can not be empty")]
    Empty,
    /// Longer than 1023 bytes.
    #[error("an object key has at most 1023 bytes, this one has {0}")]
    Length(usize),
    /// The bytes are not UTF-8.
    #[error("an object key is UTF-8")]
    NotUtf8,
    /// The first character is a slash or a backslash.
    #[error("an object key does not start with a slash or a backslash")]
    LeadingSlash,
}

impl From<ObjectKeyError> for OssError {
    fn from(error: ObjectKeyError) -> Self {
        let refusal = Self::new(ErrorCode::InvalidObjectName);
        match error {
            ObjectKeyError::Empty => refusal.with_message("The Object name can not be empty."),
            ObjectKeyError::Length(_) => {
                refusal.with_message("The Length of Object name must be less than 1024.")
            }
            ObjectKeyError::NotUtf8 | ObjectKeyError::LeadingSlash => refusal,
        }
    }
}

/// The name of a bucket: 3 to 63 lower-case letters, digits and hyphens, neither first nor last a hyphen.
///
/// ```
/// use ossia_protocol::names::BucketName;
///
/// assert_eq!(BucketName::new("logs-2")?.as_str(), "logs-2");
/// assert!(BucketName::new("Logs").is_err());
/// # Ok::<(), ossia_protocol::names::BucketNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(Arc<str>);

impl BucketName {
    /// Checks the rules and takes the name.
    ///
    /// # Errors
    /// [`BucketNameError`], which the wire knows as 400 `InvalidBucketName`.
    pub fn new(name: &str) -> Result<Self, BucketNameError> {
        if !(BUCKET_NAME_BYTES_MIN..=BUCKET_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(BucketNameError::Length(name.len()));
        }
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(BucketNameError::Character);
        }
        if name.starts_with('-') || name.ends_with('-') {
            return Err(BucketNameError::Edge);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key of an object: 1 to 1023 bytes of UTF-8 that do not start with `/` or `\`, opaque otherwise.
///
/// ```
/// use ossia_protocol::names::ObjectKey;
///
/// let key = ObjectKey::new("a//../b")?;
/// assert_eq!(key.as_str(), "a//../b");
/// assert!(ObjectKey::new("/a").is_err());
/// # Ok::<(), ossia_protocol::names::ObjectKeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// Checks the rules and takes the key.
    ///
    /// # Errors
    /// [`ObjectKeyError`], which the wire knows as 400 `InvalidObjectName`.
    pub fn new(key: &str) -> Result<Self, ObjectKeyError> {
        if key.is_empty() {
            return Err(ObjectKeyError::Empty);
        }
        if key.len() > OBJECT_KEY_BYTES_MAX {
            return Err(ObjectKeyError::Length(key.len()));
        }
        if key.starts_with(['/', '\\']) {
            return Err(ObjectKeyError::LeadingSlash);
        }
        Ok(Self(key.into()))
    }

    /// As [`ObjectKey::new`], from bytes that may not be UTF-8.
    ///
    /// # Errors
    /// [`ObjectKeyError`].
    pub fn from_bytes(key: &[u8]) -> Result<Self, ObjectKeyError> {
        Self::new(std::str::from_utf8(key).map_err(|_| ObjectKeyError::NotUtf8)?)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as bytes; keys order by these.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

macro_rules! text_traits {
    ($name:ident, $error:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl std::str::FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                Self::new(text)
            }
        }
        impl TryFrom<&str> for $name {
            type Error = $error;
            fn try_from(text: &str) -> Result<Self, $error> {
                Self::new(text)
            }
        }
    };
}

text_traits!(BucketName, BucketNameError);
text_traits!(ObjectKey, ObjectKeyError);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bucket_names_of_the_service_are_taken_and_no_others() {
        for good in ["abc", "a-b", "a--b", "0a0", "123", &"a".repeat(63)] {
            assert_eq!(BucketName::new(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(64);
        for (bad, error) in [
            ("", BucketNameError::Length(0)),
            ("ab", BucketNameError::Length(2)),
            (long.as_str(), BucketNameError::Length(64)),
            ("Abc", BucketNameError::Character),
            ("a_c", BucketNameError::Character),
            ("a.c", BucketNameError::Character),
            ("a/c", BucketNameError::Character),
            ("äbc", BucketNameError::Character),
            ("-bc", BucketNameError::Edge),
            ("ab-", BucketNameError::Edge),
        ] {
            assert_eq!(BucketName::new(bad), Err(error), "{bad}");
            assert_eq!(OssError::from(error).code(), ErrorCode::InvalidBucketName);
        }
    }

    #[test]
    fn object_keys_are_opaque_but_for_length_and_first_character() {
        let longest = "é".repeat(511) + "x";
        assert_eq!(longest.len(), OBJECT_KEY_BYTES_MAX);
        for good in ["a", ".", "..", "a//b", "a/../b", "a/", " ", "\u{1}\n", "目录/键", &longest]
        {
            assert_eq!(ObjectKey::new(good).unwrap().as_str(), good);
            assert_eq!(ObjectKey::from_bytes(good.as_bytes()).unwrap().as_bytes(), good.as_bytes());
        }
        let too_long = "é".repeat(512);
        for (bad, error, message) in [
            ("", ObjectKeyError::Empty, "The Object name can not be empty."),
            (
                &too_long,
                ObjectKeyError::Length(1024),
                "The Length of Object name must be less than 1024.",
            ),
            ("/a", ObjectKeyError::LeadingSlash, "The specified object is not valid."),
            ("\\a", ObjectKeyError::LeadingSlash, "The specified object is not valid."),
        ] {
            assert_eq!(ObjectKey::new(bad), Err(error), "{bad}");
            let wire = OssError::from(error);
            assert_eq!((wire.code(), wire.message()), (ErrorCode::InvalidObjectName, message));
        }
        assert_eq!(ObjectKey::from_bytes(b"a\xff"), Err(ObjectKeyError::NotUtf8));
    }

    proptest! {
        #[test]
        fn keys_order_by_their_bytes(a in "\\PC{1,20}", b in "\\PC{1,20}") {
            if let (Ok(x), Ok(y)) = (ObjectKey::new(&a), ObjectKey::new(&b)) {
                prop_assert_eq!(x.cmp(&y), a.as_bytes().cmp(b.as_bytes()));
            }
        }
    }
}
