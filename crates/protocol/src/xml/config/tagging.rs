//! `Tagging`, the same document for objects and buckets; only the limits differ.

use crate::attributes::{OBJECT_TAGS_MAX, Tag, Tags};
use crate::error::{EC_BUCKET_XML, ErrorCode, OssError};
use crate::xml::reader::{Element, Limits};
use crate::xml::writer::Writer;
use crate::xml::{SMALL, XmlError};

/// Most tags of one bucket.
pub const BUCKET_TAGS_MAX: usize = 20;
/// Longest key of a bucket's tag, in characters.
const BUCKET_KEY_CHARS_MAX: usize = 64;
/// Longest value of a bucket's tag, in characters.
const BUCKET_VALUE_CHARS_MAX: usize = 128;
/// What no key of a bucket's tag may begin with, in any case.
const RESERVED_PREFIXES: [&str; 3] = ["http://", "https://", "aliyun"];

/// Tags read back may be another server's: bounded, and no more.
const RESULT_LIMITS: Limits = SMALL;

/// The body of the tagging operations, and their answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tagging {
    /// In the order sent.
    pub tags: Vec<Tag>,
}

impl Tagging {
    /// The `Tagging` document. `TagSet` is there even when it is empty: one SDK takes it for granted.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(64 + self.tags.len() * 96);
        w.open("Tagging");
        w.open("TagSet");
        for tag in &self.tags {
            w.open("Tag");
            w.text("Key", &tag.key);
            w.text("Value", &tag.value);
            w.close("Tag");
        }
        w.close("TagSet");
        w.close("Tagging");
        w.finish()
    }

    /// Reads a `Tagging` document, whatever its tags.
    ///
    /// # Errors
    /// [`XmlError`].
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "Tagging", RESULT_LIMITS)?;
        let set = root.child("TagSet").ok_or(XmlError::Missing("TagSet"))?;
        let mut tags = Vec::new();
        for tag in set.children_named("Tag") {
            tags.push(Tag {
                key: tag.child_text("Key").ok_or(XmlError::Missing("Key"))?.to_owned(),
                value: tag.child_text("Value").unwrap_or_default().to_owned(),
            });
        }
        Ok(Self { tags })
    }

    /// The tags of an object, by the rules for these.
    ///
    /// # Errors
    /// 400 `MalformedXML`, `TooManyTags`, `RepeatedTags` or `InvalidTag`.
    pub fn parse_of_object(document: &[u8]) -> Result<Tags, OssError> {
        let read = Self::parse(document).map_err(|e| OssError::malformed_xml(e.to_string()))?;
        read.check_set(OBJECT_TAGS_MAX)?;
        Tags::new(read.tags)
    }

    /// The tags of a bucket, by the rules for these.
    ///
    /// # Errors
    /// 400 `MalformedXML`, `TooManyTags`, `RepeatedTags` or `InvalidTag`.
    pub fn parse_of_bucket(document: &[u8]) -> Result<Self, OssError> {
        let read = Self::parse(document).map_err(|error| error.into_oss(EC_BUCKET_XML))?;
        read.check_set(BUCKET_TAGS_MAX)?;
        for Tag { key, value } in &read.tags {
            let reserved = RESERVED_PREFIXES.iter().any(|prefix| {
                key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            });
            let chars = key.chars().count();
            if chars == 0 || chars > BUCKET_KEY_CHARS_MAX || reserved {
                return Err(OssError::new(ErrorCode::InvalidTag));
            }
            if value.chars().count() > BUCKET_VALUE_CHARS_MAX {
                return Err(OssError::new(ErrorCode::InvalidTag)
                    .with_message("The TagValue you have provided is invalid."));
            }
        }
        Ok(read)
    }

    fn check_set(&self, max: usize) -> Result<(), OssError> {
        if self.tags.len() > max {
            return Err(OssError::new(ErrorCode::TooManyTags)
                .with_message(format!("The number of tags must not be more than {max}.")));
        }
        let mut keys: Vec<&str> = self.tags.iter().map(|tag| tag.key.as_str()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(OssError::new(ErrorCode::RepeatedTags));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(tags: impl IntoIterator<Item = (String, String)>) -> String {
        let tags = tags.into_iter().map(|(key, value)| Tag { key, value }).collect();
        Tagging { tags }.to_xml()
    }

    fn one(key: &str, value: &str) -> String {
        document([(key.to_owned(), value.to_owned())])
    }

    fn many(count: usize) -> String {
        document((0..count).map(|i| (format!("k{i}"), String::new())))
    }

    #[test]
    fn an_empty_set_is_written_and_read() {
        let text = Tagging::default().to_xml();
        assert!(text.ends_with("<Tagging><TagSet></TagSet></Tagging>"), "{text}");
        assert_eq!(Tagging::parse(text.as_bytes()).unwrap(), Tagging::default());
        assert_eq!(Tagging::parse(b"<Tagging><TagSet/></Tagging>").unwrap(), Tagging::default());
        assert_eq!(Tagging::parse(b"<Tagging/>"), Err(XmlError::Missing("TagSet")));
    }

    #[test]
    fn the_limits_of_objects_and_buckets_differ() {
        assert_eq!(Tagging::parse_of_object(many(10).as_bytes()).unwrap().as_slice().len(), 10);
        let code = |error: OssError| error.code();
        let object = |text: String| Tagging::parse_of_object(text.as_bytes()).map_err(code);
        let bucket = |text: String| Tagging::parse_of_bucket(text.as_bytes()).map_err(code);
        assert_eq!(object(many(11)).unwrap_err(), ErrorCode::TooManyTags);
        assert_eq!(bucket(many(20)).unwrap().tags.len(), 20);
        assert_eq!(bucket(many(21)).unwrap_err(), ErrorCode::TooManyTags);
        let twice = document([("a".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!(object(twice.clone()).unwrap_err(), ErrorCode::RepeatedTags);
        assert_eq!(bucket(twice).unwrap_err(), ErrorCode::RepeatedTags);
        for (key, value) in
            [("", "v"), (&*"k".repeat(129), "v"), ("k", &*"v".repeat(257)), ("a!", "")]
        {
            assert_eq!(object(one(key, value)).unwrap_err(), ErrorCode::InvalidTag, "{key}");
        }
        for (key, value) in [
            ("", "v"),
            (&*"k".repeat(65), "v"),
            ("k", &*"v".repeat(129)),
            ("ALIYUN-x", ""),
            ("HTTP://a", ""),
        ] {
            assert_eq!(bucket(one(key, value)).unwrap_err(), ErrorCode::InvalidTag, "{key}");
        }
        assert!(bucket(one(&"日".repeat(64), &"本".repeat(128))).is_ok());
    }
}
