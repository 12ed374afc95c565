//! Documents of object operations: DeleteMultipleObjects and CopyObject.

use super::reader::{Element, Limits};
use super::writer::Writer;
use super::{XmlError, read_bool, read_date};
use crate::{etag, time, uri};

/// Longest body of DeleteMultipleObjects, in bytes.
pub const DELETE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most objects in one DeleteMultipleObjects.
pub const DELETE_OBJECTS_MAX: usize = 1000;

const DELETE_LIMITS: Limits =
    Limits { bytes: DELETE_BYTES_MAX, depth: 8, elements: 16 * DELETE_OBJECTS_MAX };
const RESULT_LIMITS: Limits = Limits { bytes: 16 << 20, depth: 8, elements: 64 * 1024 };

/// The body of DeleteMultipleObjects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteObjectsInput {
    /// Whether the answer is to stay silent about what was deleted.
    pub quiet: bool,
    /// What to delete, in the order sent: one to [`DELETE_OBJECTS_MAX`].
    pub objects: Vec<ObjectIdentifier>,
}

/// The answer of PostObject to a form that asks for status 201.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostObjectOutput {
    /// The bucket.
    pub bucket: String,
    /// The object's URL.
    pub location: String,
    /// The key.
    pub key: String,
    /// The ETag without quotes.
    pub etag: String,
}

impl PostObjectOutput {
    /// The `PostResponse` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(256);
        w.open("PostResponse");
        w.text("Bucket", &self.bucket);
        w.text("Location", &self.location);
        w.text("Key", &self.key);
        w.etag("ETag", &self.etag);
        w.close("PostResponse");
        w.finish()
    }
}

/// One object to delete. The key is as sent; whether it is a valid key is for the server to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectIdentifier {
    /// The key.
    pub key: String,
    /// The version, if one was named.
    pub version_id: Option<String>,
}

impl DeleteObjectsInput {
    /// The `Delete` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(64 + self.objects.len() * 64);
        w.open("Delete");
        w.boolean("Quiet", self.quiet);
        for object in &self.objects {
            w.open("Object");
            w.text("Key", &object.key);
            if let Some(version) = &object.version_id {
                w.text("VersionId", version);
            }
            w.close("Object");
        }
        w.close("Delete");
        w.finish()
    }

    /// Reads a `Delete` document: `Quiet` anywhere or nowhere, keys with their white space, 1 to 1000 objects, at most 2 MiB.
    ///
    /// # Errors
    /// [`XmlError`], which this operation answers as 400 `MalformedXML` with [`EC_DELETE_XML`].
    ///
    /// [`EC_DELETE_XML`]: crate::error::EC_DELETE_XML
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let mut root = Element::parse_root(document, "Delete", DELETE_LIMITS)?;
        let quiet = read_bool(&root, "Quiet")?;
        let mut objects = Vec::new();
        for object in root.children.iter_mut().filter(|child| child.name == "Object") {
            if objects.len() == DELETE_OBJECTS_MAX {
                return Err(XmlError::TooMany { element: "Object", limit: DELETE_OBJECTS_MAX });
            }
            let key = object.take_text("Key").filter(|key| !key.is_empty());
            objects.push(ObjectIdentifier {
                key: key.ok_or(XmlError::Missing("Key"))?,
                version_id: object.child_value("VersionId").map(str::to_owned),
            });
        }
        if objects.is_empty() {
            return Err(XmlError::Missing("Object"));
        }
        Ok(Self { quiet, objects })
    }
}

/// The answer of DeleteMultipleObjects. In quiet mode the service sends no document at all: the body is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteObjectsOutput {
    /// Whether keys travel in the form of `encoding-type=url`. The fields here are plain either way.
    pub url_encoded: bool,
    /// What was deleted, keys that did not exist included.
    pub deleted: Vec<DeletedObject>,
}

/// One `Deleted`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeletedObject {
    /// The key.
    pub key: String,
    /// The version named in the request.
    pub version_id: Option<String>,
    /// The version id of the delete marker that was made or removed.
    pub delete_marker_version_id: Option<String>,
}

impl DeleteObjectsOutput {
    /// The `DeleteResult` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(64 + self.deleted.len() * 64);
        w.open("DeleteResult");
        if self.url_encoded {
            w.text("EncodingType", "url");
        }
        for object in &self.deleted {
            w.open("Deleted");
            w.name_text("Key", &object.key, self.url_encoded);
            if let Some(version) = &object.version_id {
                w.text("VersionId", version);
            }
            if let Some(marker) = &object.delete_marker_version_id {
                w.boolean("DeleteMarker", true);
                w.text("DeleteMarkerVersionId", marker);
            }
            w.close("Deleted");
        }
        w.close("DeleteResult");
        w.finish()
    }

    /// Reads a `DeleteResult` document; an empty body, the answer in quiet mode, names nothing.
    ///
    /// # Errors
    /// [`XmlError`] for any other document.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        if document.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let root = Element::parse_root(document, "DeleteResult", RESULT_LIMITS)?;
        let encoding = root.child_value("EncodingType");
        let url_encoded = encoding.is_some_and(|value| value.eq_ignore_ascii_case("url"));
        let mut deleted = Vec::new();
        for entry in root.children_named("Deleted") {
            let key = entry.child_text("Key").ok_or(XmlError::Missing("Key"))?;
            let key = if url_encoded {
                String::from_utf8(uri::decode(key.as_bytes()).into_owned())
                    .map_err(|_| XmlError::Value("Key"))?
            } else {
                key.to_owned()
            };
            let marker = entry.child_value("DeleteMarkerVersionId").map(str::to_owned);
            deleted.push(DeletedObject {
                key,
                version_id: entry.child_value("VersionId").map(str::to_owned),
                delete_marker_version_id: match marker {
                    None if read_bool(entry, "DeleteMarker")? => Some(String::new()),
                    marker => marker,
                },
            });
        }
        Ok(Self { url_encoded, deleted })
    }
}

/// The answer of CopyObject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyObjectOutput {
    /// The ETag of the new object, without quotes.
    pub etag: String,
    /// Unix seconds.
    pub last_modified: i64,
}

impl CopyObjectOutput {
    /// The `CopyObjectResult` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(160);
        w.open("CopyObjectResult");
        w.etag("ETag", &self.etag);
        w.text("LastModified", &time::xml(self.last_modified));
        w.close("CopyObjectResult");
        w.finish()
    }

    /// Reads a `CopyObjectResult` document.
    ///
    /// # Errors
    /// [`XmlError`] for any other document.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "CopyObjectResult", super::SMALL)?;
        let etag = root.child_value("ETag").ok_or(XmlError::Missing("ETag"))?;
        Ok(Self {
            etag: etag::bare(etag).to_owned(),
            last_modified: read_date(&root, "LastModified")?
                .ok_or(XmlError::Missing("LastModified"))?,
        })
    }
}
