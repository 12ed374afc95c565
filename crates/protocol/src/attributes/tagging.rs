//! Object tags as a header carries them: `k1=v1&k2`, URL-encoded.

use super::lossy;
use crate::auth::Headers;
use crate::error::{ErrorCode, OssError};
use crate::query::Query;
use crate::uri;

/// Most tags of one object.
pub const OBJECT_TAGS_MAX: usize = 10;
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 128;
/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 256;

/// One tag. Both parts are case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// 1 to 128 bytes.
    pub key: String,
    /// 0 to 256 bytes.
    pub value: String,
}

/// The tags of an object: at most [`OBJECT_TAGS_MAX`], keys unique, all characters legal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// Checks the rules and takes the tags, wherever they come from.
    ///
    /// # Errors
    /// 400 `InvalidTag` for a key or value that is too long or has other characters, 400 `InvalidArgument` for repeated keys
    /// or too many tags.
    pub fn new(tags: Vec<Tag>) -> Result<Self, OssError> {
        if tags.len() > OBJECT_TAGS_MAX {
            return Err(OssError::new(ErrorCode::InvalidArgument)
                .with_message("The number of object tags must not be more than 10."));
        }
        for (index, tag) in tags.iter().enumerate() {
            if tag.key.is_empty() || tag.key.len() > KEY_BYTES_MAX || !is_legal(&tag.key) {
                return Err(OssError::new(ErrorCode::InvalidTag));
            }
            if tag.value.len() > VALUE_BYTES_MAX || !is_legal(&tag.value) {
                return Err(OssError::new(ErrorCode::InvalidTag)
                    .with_message("The TagValue you have provided is invalid."));
            }
            if tags.iter().take(index).any(|earlier| earlier.key == tag.key) {
                return Err(OssError::new(ErrorCode::InvalidArgument)
                    .with_message("Tag keys must be unique."));
            }
        }
        Ok(Self(tags))
    }

    /// `x-oss-tagging`. A missing `=` means an empty value; an empty header means no tags.
    ///
    /// # Errors
    /// 400 `InvalidArgument` for what is not URL-encoded UTF-8 without repeated keys, else as [`Tags::new`].
    pub fn from_headers(headers: &dyn Headers) -> Result<Option<Self>, OssError> {
        headers.first("x-oss-tagging").map(Self::from_header).transpose()
    }

    fn from_header(value: &[u8]) -> Result<Self, OssError> {
        let refusal = || {
            let message = "The header 'x-oss-tagging' shall be encoded as UTF-8 then URLEncoded URL \
                           query parameters without tag name duplicates.";
            OssError::invalid_argument("x-oss-tagging", lossy(value), message)
        };
        let query = Query::parse(value.trim_ascii()).map_err(|_| refusal())?;
        let mut tags: Vec<Tag> = Vec::new();
        for parameter in query.iter() {
            let (Some(key), Some(value)) = (parameter.name_str(), parameter.value_str()) else {
                return Err(refusal());
            };
            // Bounds the search for duplicates; one past the limit is enough to be refused for it.
            if tags.len() > OBJECT_TAGS_MAX {
                break;
            }
            if tags.iter().any(|tag| tag.key == key) {
                return Err(refusal());
            }
            tags.push(Tag { key: key.to_owned(), value: value.to_owned() });
        }
        Self::new(tags)
    }

    /// The header form of the tags.
    pub fn to_header(&self) -> String {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|tag| {
                let (key, value) = (tag.key.as_bytes(), tag.value.as_bytes());
                format!("{}={}", uri::encode(key), uri::encode(value))
            })
            .collect();
        pairs.join("&")
    }

    /// The tags, in the order given.
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Letters and digits of any script, space, and `+ - = . _ : /`.
fn is_legal(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || " +-=._:/".contains(c))
}
