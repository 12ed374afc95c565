//! ListObjects and ListObjectsV2: written by the server, read by the client.

use std::borrow::Cow;

use super::bucket::{Owner, read_owner, write_owner};
use super::reader::{Element, Limits};
use super::writer::Writer;
use super::{XmlError, read_bool, read_date, read_number};
use crate::{etag, time, uri};

/// A page of 1000 keys of 1023 bytes, each byte encoded in three, is below 4 MiB; other servers may be wordier.
const LIMITS: Limits = Limits { bytes: 16 << 20, depth: 8, elements: 64 * 1024 };

/// One `Contents` of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectSummary {
    /// The key.
    pub key: String,
    /// Unix seconds of the last write; for an appendable object of the last append.
    pub last_modified: i64,
    /// The ETag without quotes.
    pub etag: String,
    /// `Normal`, `Multipart`, `Appendable` or `Symlink`.
    pub object_type: Cow<'static, str>,
    /// Length in bytes.
    pub size: u64,
    /// `Standard`, `IA`, ...
    pub storage_class: Cow<'static, str>,
    /// The state of a restore, in the form of the `x-oss-restore` header; only for restored archive objects.
    pub restore_info: Option<String>,
    /// Unix seconds of the lifecycle move to a colder class.
    pub transition_time: Option<i64>,
}

/// The answer of ListObjects (v1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListObjectsOutput {
    /// Name of the bucket.
    pub name: String,
    /// The prefix asked for, empty when none.
    pub prefix: String,
    /// The marker asked for, empty when none.
    pub marker: String,
    /// The delimiter asked for, empty when none.
    pub delimiter: String,
    /// The page size asked for.
    pub max_keys: u64,
    /// Whether names travel in the form of `encoding-type=url`. The fields here are plain either way.
    pub url_encoded: bool,
    /// Where the next page starts; present exactly when the listing is truncated.
    pub next_marker: Option<String>,
    /// Owner of every object; version 1 always tells it, and one SDK reads it unasked.
    pub owner: Owner,
    /// Keys, in byte order.
    pub contents: Vec<ObjectSummary>,
    /// Rolled-up prefixes, each ending in the delimiter.
    pub common_prefixes: Vec<String>,
}

/// The answer of ListObjectsV2.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListObjectsV2Output {
    /// Name of the bucket.
    pub name: String,
    /// The prefix asked for, empty when none.
    pub prefix: String,
    /// `start-after`, if it was sent.
    pub start_after: Option<String>,
    /// `continuation-token`, if it was sent.
    pub continuation_token: Option<String>,
    /// The delimiter asked for, empty when none.
    pub delimiter: String,
    /// The page size asked for.
    pub max_keys: u64,
    /// Whether names travel in the form of `encoding-type=url`. The fields here are plain either way.
    pub url_encoded: bool,
    /// The token of the next page; present exactly when the listing is truncated.
    pub next_continuation_token: Option<String>,
    /// Owner of every object, if `fetch-owner=true` was asked.
    pub owner: Option<Owner>,
    /// Keys, in byte order.
    pub contents: Vec<ObjectSummary>,
    /// Rolled-up prefixes, each ending in the delimiter.
    pub common_prefixes: Vec<String>,
}

impl ListObjectsOutput {
    /// The `ListBucketResult` document.
    pub fn to_xml(&self) -> String {
        let url = self.url_encoded;
        let mut w = Writer::document(512 + self.contents.len() * 512);
        w.open("ListBucketResult");
        w.text("Name", &self.name);
        w.name_text("Prefix", &self.prefix, url);
        w.name_text("Marker", &self.marker, url);
        w.number("MaxKeys", self.max_keys);
        w.name_text("Delimiter", &self.delimiter, url);
        if url {
            w.text("EncodingType", "url");
        }
        w.boolean("IsTruncated", self.next_marker.is_some());
        if let Some(next) = &self.next_marker {
            w.name_text("NextMarker", next, url);
        }
        write_entries(&mut w, &self.contents, Some(&self.owner), &self.common_prefixes, url);
        w.close("ListBucketResult");
        w.finish()
    }

    /// Reads a `ListBucketResult` of version 1.
    ///
    /// # Errors
    /// [`XmlError`] for anything else, and for a truncated page without a next marker, which could only be read again for ever.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "ListBucketResult", LIMITS)?;
        let names = Names::of(&root);
        let (contents, owner) = names.contents(&root)?;
        Ok(Self {
            name: root.child_text("Name").unwrap_or_default().to_owned(),
            prefix: names.text(&root, "Prefix")?.unwrap_or_default(),
            marker: names.text(&root, "Marker")?.unwrap_or_default(),
            delimiter: names.text(&root, "Delimiter")?.unwrap_or_default(),
            max_keys: read_number(&root, "MaxKeys")?.unwrap_or_default(),
            url_encoded: names.url_encoded,
            next_marker: names.next(&root, "NextMarker")?,
            owner: owner.unwrap_or_default(),
            contents,
            common_prefixes: names.common_prefixes(&root)?,
        })
    }
}

impl ListObjectsV2Output {
    /// The `ListBucketResult` document.
    pub fn to_xml(&self) -> String {
        let url = self.url_encoded;
        let mut w = Writer::document(512 + self.contents.len() * 512);
        w.open("ListBucketResult");
        w.text("Name", &self.name);
        w.name_text("Prefix", &self.prefix, url);
        if let Some(start_after) = &self.start_after {
            w.name_text("StartAfter", start_after, url);
        }
        if let Some(token) = &self.continuation_token {
            w.name_text("ContinuationToken", token, url);
        }
        w.number("MaxKeys", self.max_keys);
        w.name_text("Delimiter", &self.delimiter, url);
        if url {
            w.text("EncodingType", "url");
        }
        w.boolean("IsTruncated", self.next_continuation_token.is_some());
        if let Some(next) = &self.next_continuation_token {
            w.name_text("NextContinuationToken", next, url);
        }
        write_entries(&mut w, &self.contents, self.owner.as_ref(), &self.common_prefixes, url);
        w.number("KeyCount", (self.contents.len() + self.common_prefixes.len()) as u64);
        w.close("ListBucketResult");
        w.finish()
    }

    /// Reads a `ListBucketResult` of version 2.
    ///
    /// # Errors
    /// As [`ListObjectsOutput::parse`].
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "ListBucketResult", LIMITS)?;
        let names = Names::of(&root);
        let (contents, owner) = names.contents(&root)?;
        Ok(Self {
            name: root.child_text("Name").unwrap_or_default().to_owned(),
            prefix: names.text(&root, "Prefix")?.unwrap_or_default(),
            start_after: names.text(&root, "StartAfter")?,
            continuation_token: names.text(&root, "ContinuationToken")?,
            delimiter: names.text(&root, "Delimiter")?.unwrap_or_default(),
            max_keys: read_number(&root, "MaxKeys")?.unwrap_or_default(),
            url_encoded: names.url_encoded,
            next_continuation_token: names.next(&root, "NextContinuationToken")?,
            owner,
            contents,
            common_prefixes: names.common_prefixes(&root)?,
        })
    }
}

/// One version of a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionEntry {
    /// Its id; `null` in a bucket that never had versions.
    pub version_id: String,
    /// It is the current one.
    pub is_latest: bool,
    /// It is a delete marker; of the object only key and time count then.
    pub is_marker: bool,
    /// What it is.
    pub object: ObjectSummary,
}

/// The answer of ListObjectVersions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListObjectVersionsOutput {
    /// Name of the bucket.
    pub name: String,
    /// The prefix asked for, empty when none.
    pub prefix: String,
    /// The key marker asked for, empty when none.
    pub key_marker: String,
    /// The version marker asked for, empty when none.
    pub version_id_marker: String,
    /// The delimiter asked for, empty when none.
    pub delimiter: String,
    /// The page size asked for.
    pub max_keys: u64,
    /// Whether names travel in the form of `encoding-type=url`. The fields here are plain either way.
    pub url_encoded: bool,
    /// Where the next page starts; present exactly when the listing is truncated.
    pub next_key_marker: Option<String>,
    /// The version of that key; absent where the page ends with a common prefix.
    pub next_version_id_marker: Option<String>,
    /// Owner of every version; told with each, because SDKs read it unasked.
    pub owner: Owner,
    /// Versions and delete markers, by key, those of one key the newest first.
    pub versions: Vec<VersionEntry>,
    /// Rolled-up prefixes, each ending in the delimiter.
    pub common_prefixes: Vec<String>,
}

impl ListObjectVersionsOutput {
    /// The `ListVersionsResult` document. No element has an attribute: one SDK replaces the tags as text before it parses.
    pub fn to_xml(&self) -> String {
        let url = self.url_encoded;
        let mut w = Writer::document(512 + self.versions.len() * 512);
        w.open("ListVersionsResult");
        w.text("Name", &self.name);
        w.name_text("Prefix", &self.prefix, url);
        w.name_text("KeyMarker", &self.key_marker, url);
        w.text("VersionIdMarker", &self.version_id_marker);
        w.number("MaxKeys", self.max_keys);
        w.name_text("Delimiter", &self.delimiter, url);
        if url {
            w.text("EncodingType", "url");
        }
        w.boolean("IsTruncated", self.next_key_marker.is_some());
        if let Some(next) = &self.next_key_marker {
            w.name_text("NextKeyMarker", next, url);
            w.text("NextVersionIdMarker", self.next_version_id_marker.as_deref().unwrap_or(""));
        }
        for entry in &self.versions {
            write_version(&mut w, entry, &self.owner, url);
        }
        write_prefixes(&mut w, &self.common_prefixes, url);
        w.close("ListVersionsResult");
        w.finish()
    }
}

fn write_version(w: &mut Writer, entry: &VersionEntry, owner: &Owner, url: bool) {
    let (name, object) = match entry.is_marker {
        true => ("DeleteMarker", None),
        false => ("Version", Some(&entry.object)),
    };
    w.open(name);
    w.name_text("Key", &entry.object.key, url);
    w.text("VersionId", &entry.version_id);
    w.boolean("IsLatest", entry.is_latest);
    w.text("LastModified", &time::xml(entry.object.last_modified));
    if let Some(object) = object {
        w.etag("ETag", &object.etag);
        w.text("Type", &object.object_type);
        w.number("Size", object.size);
        w.text("StorageClass", &object.storage_class);
        if let Some(restore) = &object.restore_info {
            w.text("RestoreInfo", restore);
        }
        if let Some(at) = object.transition_time {
            w.text("TransitionTime", &time::xml(at));
        }
    }
    write_owner(w, owner);
    w.close(name);
}

fn write_entries(
    w: &mut Writer,
    contents: &[ObjectSummary],
    owner: Option<&Owner>,
    common_prefixes: &[String],
    url: bool,
) {
    for object in contents {
        w.open("Contents");
        w.name_text("Key", &object.key, url);
        w.text("LastModified", &time::xml(object.last_modified));
        w.etag("ETag", &object.etag);
        w.text("Type", &object.object_type);
        w.number("Size", object.size);
        w.text("StorageClass", &object.storage_class);
        if let Some(at) = object.transition_time {
            w.text("TransitionTime", &time::xml(at));
        }
        if let Some(restore) = &object.restore_info {
            w.text("RestoreInfo", restore);
        }
        if let Some(owner) = owner {
            write_owner(w, owner);
        }
        w.close("Contents");
    }
    write_prefixes(w, common_prefixes, url);
}

fn write_prefixes(w: &mut Writer, common_prefixes: &[String], url: bool) {
    for prefix in common_prefixes {
        w.open("CommonPrefixes");
        w.name_text("Prefix", prefix, url);
        w.close("CommonPrefixes");
    }
}

/// Reads the parts of a listing whose form depends on its `EncodingType`.
struct Names {
    url_encoded: bool,
}

impl Names {
    fn of(root: &Element) -> Self {
        let encoding = root.child_value("EncodingType");
        Self { url_encoded: encoding.is_some_and(|value| value.eq_ignore_ascii_case("url")) }
    }

    fn text(&self, parent: &Element, name: &'static str) -> Result<Option<String>, XmlError> {
        parent.child(name).map(|child| self.decoded(child, name)).transpose()
    }

    fn decoded(&self, element: &Element, name: &'static str) -> Result<String, XmlError> {
        if !self.url_encoded {
            return Ok(element.text.clone());
        }
        let decoded = uri::decode(element.text.as_bytes()).into_owned();
        String::from_utf8(decoded).map_err(|_| XmlError::Value(name))
    }

    /// The place of the next page, which is there exactly when the page says that it is truncated.
    fn next(&self, root: &Element, name: &'static str) -> Result<Option<String>, XmlError> {
        if !read_bool(root, "IsTruncated")? {
            return Ok(None);
        }
        match self.text(root, name)? {
            Some(next) if !next.is_empty() => Ok(Some(next)),
            _ => Err(XmlError::Missing(name)),
        }
    }

    fn contents(&self, root: &Element) -> Result<(Vec<ObjectSummary>, Option<Owner>), XmlError> {
        let mut owner = None;
        let mut contents = Vec::new();
        for entry in root.children_named("Contents") {
            owner = owner.or_else(|| entry.child("Owner").map(read_owner));
            let text = |name| entry.child_value(name).unwrap_or_default().to_owned();
            contents.push(ObjectSummary {
                key: self.text(entry, "Key")?.ok_or(XmlError::Missing("Key"))?,
                last_modified: read_date(entry, "LastModified")?
                    .ok_or(XmlError::Missing("LastModified"))?,
                etag: etag::bare(&text("ETag")).to_owned(),
                object_type: text("Type").into(),
                size: read_number(entry, "Size")?.ok_or(XmlError::Missing("Size"))?,
                storage_class: text("StorageClass").into(),
                restore_info: entry.child_value("RestoreInfo").map(str::to_owned),
                transition_time: read_date(entry, "TransitionTime")?,
            });
        }
        Ok((contents, owner))
    }

    fn common_prefixes(&self, root: &Element) -> Result<Vec<String>, XmlError> {
        // One element with several prefixes is as good as several elements.
        root.children_named("CommonPrefixes")
            .flat_map(|group| group.children_named("Prefix"))
            .map(|prefix| self.decoded(prefix, "Prefix"))
            .collect()
    }
}
