//! Documents of multipart uploads.

use super::reader::{Element, Limits};
use super::writer::Writer;
use super::{XmlError, read_date, read_number};
use crate::{etag, time, uri};

/// Most parts of an upload.
pub const COMPLETE_PARTS_MAX: usize = 10_000;
/// Longest body of CompleteMultipartUpload, in bytes: 10,000 parts in the wordiest form of any SDK take half of it.
pub const COMPLETE_BYTES_MAX: usize = 4 * 1024 * 1024;

const COMPLETE_LIMITS: Limits =
    Limits { bytes: COMPLETE_BYTES_MAX, depth: 8, elements: 6 * COMPLETE_PARTS_MAX };
const LIST_LIMITS: Limits = Limits { bytes: 16 << 20, depth: 8, elements: 64 * 1024 };

/// The answer of InitiateMultipartUpload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InitiateMultipartUploadOutput {
    /// Name of the bucket.
    pub bucket: String,
    /// The key, plain.
    pub key: String,
    /// The upload's id.
    pub upload_id: String,
    /// Whether the key travels in the form of `encoding-type=url`.
    pub url_encoded: bool,
}

impl InitiateMultipartUploadOutput {
    /// The `InitiateMultipartUploadResult` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(256);
        w.open("InitiateMultipartUploadResult");
        write_encoding(&mut w, self.url_encoded);
        w.text("Bucket", &self.bucket);
        w.name_text("Key", &self.key, self.url_encoded);
        w.text("UploadId", &self.upload_id);
        w.close("InitiateMultipartUploadResult");
        w.finish()
    }

    /// Reads an `InitiateMultipartUploadResult` document.
    ///
    /// # Errors
    /// [`XmlError`] for any other document.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "InitiateMultipartUploadResult", super::SMALL)?;
        let url_encoded = is_url(&root);
        Ok(Self {
            bucket: root.child_text("Bucket").unwrap_or_default().to_owned(),
            key: name(&root, "Key", url_encoded)?,
            upload_id: required(&root, "UploadId")?,
            url_encoded,
        })
    }
}

/// The body of CompleteMultipartUpload: numbers and ETags in the order sent, whatever they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompleteMultipartUploadInput {
    /// At most [`COMPLETE_PARTS_MAX`]. None: an upload of nothing, as one SDK completes that of an empty stream.
    pub parts: Vec<(u64, String)>,
}

impl CompleteMultipartUploadInput {
    /// The `CompleteMultipartUpload` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(64 + self.parts.len() * 96);
        w.open("CompleteMultipartUpload");
        for (number, etag) in &self.parts {
            w.open("Part");
            w.number("PartNumber", *number);
            w.etag("ETag", etag);
            w.close("Part");
        }
        w.close("CompleteMultipartUpload");
        w.finish()
    }

    /// Reads a `CompleteMultipartUpload` document. ETags lose their quotes; one that is missing is empty and matches no part.
    ///
    /// # Errors
    /// [`XmlError`] for a document with a part without a whole number, or past the bounds.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "CompleteMultipartUpload", COMPLETE_LIMITS)?;
        let mut parts = Vec::new();
        for part in root.children_named("Part") {
            if parts.len() == COMPLETE_PARTS_MAX {
                return Err(XmlError::TooMany { element: "Part", limit: COMPLETE_PARTS_MAX });
            }
            let number = read_number(part, "PartNumber")?.ok_or(XmlError::Missing("PartNumber"))?;
            let sent = part.child_value("ETag").unwrap_or_default();
            parts.push((number, etag::bare(sent).to_owned()));
        }
        Ok(Self { parts })
    }
}

/// The answer of CompleteMultipartUpload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompleteMultipartUploadOutput {
    /// The URL of the object.
    pub location: String,
    /// Name of the bucket.
    pub bucket: String,
    /// The key, plain.
    pub key: String,
    /// The ETag of the object, without quotes.
    pub etag: String,
    /// Whether the key travels in the form of `encoding-type=url`.
    pub url_encoded: bool,
}

impl CompleteMultipartUploadOutput {
    /// The `CompleteMultipartUploadResult` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(512);
        w.open("CompleteMultipartUploadResult");
        write_encoding(&mut w, self.url_encoded);
        w.text("Location", &self.location);
        w.text("Bucket", &self.bucket);
        w.name_text("Key", &self.key, self.url_encoded);
        w.etag("ETag", &self.etag);
        w.close("CompleteMultipartUploadResult");
        w.finish()
    }

    /// Reads a `CompleteMultipartUploadResult` document.
    ///
    /// # Errors
    /// [`XmlError`] for any other document.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "CompleteMultipartUploadResult", super::SMALL)?;
        let url_encoded = is_url(&root);
        Ok(Self {
            location: root.child_text("Location").unwrap_or_default().to_owned(),
            bucket: root.child_text("Bucket").unwrap_or_default().to_owned(),
            key: name(&root, "Key", url_encoded)?,
            etag: etag::bare(&required(&root, "ETag")?).to_owned(),
            url_encoded,
        })
    }
}

/// The answer of UploadPartCopy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyPartOutput {
    /// Unix seconds.
    pub last_modified: i64,
    /// The ETag of the part, without quotes.
    pub etag: String,
}

impl CopyPartOutput {
    /// The `CopyPartResult` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(160);
        w.open("CopyPartResult");
        w.text("LastModified", &time::xml(self.last_modified));
        w.etag("ETag", &self.etag);
        w.close("CopyPartResult");
        w.finish()
    }

    /// Reads a `CopyPartResult` document.
    ///
    /// # Errors
    /// [`XmlError`] for any other document.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "CopyPartResult", super::SMALL)?;
        Ok(Self {
            last_modified: read_date(&root, "LastModified")?
                .ok_or(XmlError::Missing("LastModified"))?,
            etag: etag::bare(&required(&root, "ETag")?).to_owned(),
        })
    }
}

/// One `Upload` of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UploadSummary {
    /// The key, plain.
    pub key: String,
    /// The upload's id.
    pub upload_id: String,
    /// The class of the object to be.
    pub storage_class: String,
    /// Unix seconds.
    pub initiated: i64,
}

/// The answer of ListMultipartUploads. Markers are always present: one SDK raises without them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListMultipartUploadsOutput {
    /// Name of the bucket.
    pub bucket: String,
    /// As it was asked for.
    pub key_marker: String,
    /// As it was asked for.
    pub upload_id_marker: String,
    /// The last key or prefix of this page; empty when there is none.
    pub next_key_marker: String,
    /// The last upload of this page; empty when there is none.
    pub next_upload_id_marker: String,
    /// As it was asked for.
    pub delimiter: String,
    /// As it was asked for.
    pub prefix: String,
    /// As it was asked for.
    pub max_uploads: u64,
    /// Whether there are more.
    pub is_truncated: bool,
    /// Whether names travel in the form of `encoding-type=url`. The fields here are plain either way.
    pub url_encoded: bool,
    /// By key, then by id.
    pub uploads: Vec<UploadSummary>,
    /// Rolled-up prefixes, each ending in the delimiter.
    pub common_prefixes: Vec<String>,
}

impl ListMultipartUploadsOutput {
    /// The `ListMultipartUploadsResult` document.
    pub fn to_xml(&self) -> String {
        let url = self.url_encoded;
        let mut w = Writer::document(512 + self.uploads.len() * 256);
        w.open("ListMultipartUploadsResult");
        write_encoding(&mut w, url);
        w.text("Bucket", &self.bucket);
        w.name_text("KeyMarker", &self.key_marker, url);
        w.text("UploadIdMarker", &self.upload_id_marker);
        w.name_text("NextKeyMarker", &self.next_key_marker, url);
        w.text("NextUploadIdMarker", &self.next_upload_id_marker);
        w.name_text("Delimiter", &self.delimiter, url);
        w.name_text("Prefix", &self.prefix, url);
        w.number("MaxUploads", self.max_uploads);
        w.boolean("IsTruncated", self.is_truncated);
        for upload in &self.uploads {
            w.open("Upload");
            w.name_text("Key", &upload.key, url);
            w.text("UploadId", &upload.upload_id);
            w.text("StorageClass", &upload.storage_class);
            w.text("Initiated", &time::xml(upload.initiated));
            w.close("Upload");
        }
        for prefix in &self.common_prefixes {
            w.open("CommonPrefixes");
            w.name_text("Prefix", prefix, url);
            w.close("CommonPrefixes");
        }
        w.close("ListMultipartUploadsResult");
        w.finish()
    }

    /// Reads a `ListMultipartUploadsResult` document.
    ///
    /// # Errors
    /// [`XmlError`] for any other document.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "ListMultipartUploadsResult", LIST_LIMITS)?;
        let url = is_url(&root);
        let text = |name| root.child_text(name).unwrap_or_default().to_owned();
        let mut uploads = Vec::new();
        for upload in root.children_named("Upload") {
            uploads.push(UploadSummary {
                key: name(upload, "Key", url)?,
                upload_id: required(upload, "UploadId")?,
                storage_class: upload.child_text("StorageClass").unwrap_or_default().to_owned(),
                initiated: read_date(upload, "Initiated")?.unwrap_or_default(),
            });
        }
        let prefixes = root.children_named("CommonPrefixes");
        Ok(Self {
            bucket: text("Bucket"),
            key_marker: name(&root, "KeyMarker", url)?,
            upload_id_marker: text("UploadIdMarker"),
            next_key_marker: name(&root, "NextKeyMarker", url)?,
            next_upload_id_marker: text("NextUploadIdMarker"),
            delimiter: name(&root, "Delimiter", url)?,
            prefix: name(&root, "Prefix", url)?,
            max_uploads: read_number(&root, "MaxUploads")?.unwrap_or_default(),
            is_truncated: super::read_bool(&root, "IsTruncated")?,
            url_encoded: url,
            uploads,
            common_prefixes: prefixes
                .map(|prefix| name(prefix, "Prefix", url))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// One `Part` of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartSummary {
    /// Its number.
    pub number: u16,
    /// Unix seconds.
    pub last_modified: i64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its CRC-64; SDKs that resume an upload put the whole file's together from these.
    pub crc64: u64,
    /// Its length in bytes.
    pub size: u64,
}

/// What an upload was told at its start about encryption by the client; SDKs that resume one read it back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientEncryption {
    /// Element name and value, in the order of the answer.
    pub values: Vec<(&'static str, String)>,
}

impl ClientEncryption {
    /// The metadata, without `x-oss-meta-`, and the element that it is told in.
    pub const NAMES: [(&'static str, &'static str); 6] = [
        ("client-side-encryption-key", "ClientEncryptionKey"),
        ("client-side-encryption-start", "ClientEncryptionStart"),
        ("client-side-encryption-cek-alg", "ClientEncryptionCekAlg"),
        ("client-side-encryption-wrap-alg", "ClientEncryptionWrapAlg"),
        ("client-side-encryption-data-size", "ClientEncryptionDataSize"),
        ("client-side-encryption-part-size", "ClientEncryptionPartSize"),
    ];
}

/// The answer of ListParts. The next marker is always present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPartsOutput {
    /// Name of the bucket.
    pub bucket: String,
    /// The key, plain.
    pub key: String,
    /// The upload's id.
    pub upload_id: String,
    /// The class of the object to be.
    pub storage_class: String,
    /// As it was asked for.
    pub part_number_marker: u64,
    /// The last part of this page; 0 when there is none.
    pub next_part_number_marker: u64,
    /// As it was asked for.
    pub max_parts: u64,
    /// Whether there are more.
    pub is_truncated: bool,
    /// Whether the key travels in the form of `encoding-type=url`.
    pub url_encoded: bool,
    /// What the client encrypted with; only written.
    pub encryption: ClientEncryption,
    /// By number.
    pub parts: Vec<PartSummary>,
}

impl ListPartsOutput {
    /// The `ListPartsResult` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(512 + self.parts.len() * 256);
        w.open("ListPartsResult");
        write_encoding(&mut w, self.url_encoded);
        w.text("Bucket", &self.bucket);
        w.name_text("Key", &self.key, self.url_encoded);
        w.text("UploadId", &self.upload_id);
        w.text("StorageClass", &self.storage_class);
        w.number("PartNumberMarker", self.part_number_marker);
        w.number("NextPartNumberMarker", self.next_part_number_marker);
        w.number("MaxParts", self.max_parts);
        w.boolean("IsTruncated", self.is_truncated);
        for (name, value) in &self.encryption.values {
            w.safe_text(name, value);
        }
        for part in &self.parts {
            w.open("Part");
            w.number("PartNumber", part.number.into());
            w.text("LastModified", &time::xml(part.last_modified));
            w.etag("ETag", &part.etag);
            w.number("HashCrc64ecma", part.crc64);
            w.number("Size", part.size);
            w.close("Part");
        }
        w.close("ListPartsResult");
        w.finish()
    }

    /// Reads a `ListPartsResult` document.
    ///
    /// # Errors
    /// [`XmlError`] for any other document.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "ListPartsResult", LIST_LIMITS)?;
        let url_encoded = is_url(&root);
        let text = |name| root.child_text(name).unwrap_or_default().to_owned();
        let number = |name| read_number(&root, name).map(Option::unwrap_or_default);
        let mut parts = Vec::new();
        for part in root.children_named("Part") {
            let number = read_number(part, "PartNumber")?.ok_or(XmlError::Missing("PartNumber"))?;
            parts.push(PartSummary {
                number: number.try_into().map_err(|_| XmlError::Value("PartNumber"))?,
                last_modified: read_date(part, "LastModified")?.unwrap_or_default(),
                etag: etag::bare(&required(part, "ETag")?).to_owned(),
                crc64: read_number(part, "HashCrc64ecma")?.unwrap_or_default(),
                size: read_number(part, "Size")?.unwrap_or_default(),
            });
        }
        Ok(Self {
            bucket: text("Bucket"),
            key: name(&root, "Key", url_encoded)?,
            upload_id: text("UploadId"),
            storage_class: text("StorageClass"),
            part_number_marker: number("PartNumberMarker")?,
            next_part_number_marker: number("NextPartNumberMarker")?,
            max_parts: number("MaxParts")?,
            is_truncated: super::read_bool(&root, "IsTruncated")?,
            url_encoded,
            encryption: ClientEncryption::default(),
            parts,
        })
    }
}

fn write_encoding(w: &mut Writer, url_encoded: bool) {
    if url_encoded {
        w.text("EncodingType", "url");
    }
}

fn is_url(root: &Element) -> bool {
    root.child_value("EncodingType").is_some_and(|value| value.eq_ignore_ascii_case("url"))
}

fn required(parent: &Element, element: &'static str) -> Result<String, XmlError> {
    parent.child_value(element).map(str::to_owned).ok_or(XmlError::Missing(element))
}

/// A name that may be encoded; empty when absent.
fn name(parent: &Element, element: &'static str, url: bool) -> Result<String, XmlError> {
    let text = parent.child_text(element).unwrap_or_default();
    if !url {
        return Ok(text.to_owned());
    }
    String::from_utf8(uri::decode(text.as_bytes()).into_owned())
        .map_err(|_| XmlError::Value(element))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(u64, String)>, XmlError> {
        CompleteMultipartUploadInput::parse(text.as_bytes()).map(|input| input.parts)
    }

    fn one(inner: &str) -> String {
        format!("<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>")
    }

    #[test]
    fn parts_are_read_in_whatever_form_sdks_write_them() {
        for inner in [
            "<Part><PartNumber>7</PartNumber><ETag>AB</ETag></Part>",
            "<Part><ETag>\"AB\"</ETag><PartNumber> 7 </PartNumber></Part>",
            "\n <Part>\n<PartNumber>7</PartNumber><ETag>&quot;AB&quot;</ETag><Size>1</Size></Part>\n",
            "<Part xmlns=\"x\"><PartNumber>7</PartNumber><ETag>&#34;AB&#x22;</ETag></Part><Other/>",
        ] {
            assert_eq!(parse(&one(inner)), Ok(vec![(7, "AB".to_owned())]), "{inner}");
        }
        let input = CompleteMultipartUploadInput { parts: vec![(1, "A".into()), (2, "B".into())] };
        assert_eq!(CompleteMultipartUploadInput::parse(input.to_xml().as_bytes()), Ok(input));
    }

    #[test]
    fn a_document_of_any_other_kind_is_refused_and_bounded() {
        let part = |number: &str| one(&format!("<Part><PartNumber>{number}</PartNumber></Part>"));
        for wrong in [
            String::new(),
            "x".into(),
            one("<Part/>"),
            one("<Part><ETag>A</ETag></Part>"),
            "<Other><Part><PartNumber>1</PartNumber></Part></Other>".into(),
            part(""),
            part("one"),
            part("-1"),
            part("1.0"),
            part("1e3"),
            part("99999999999999999999"),
            format!("<!DOCTYPE c [<!ENTITY a \"b\">]>{}", part("1")),
            part("&a;"),
            one(&"<Part>".repeat(20)),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
        let long = one(&"<Part><PartNumber>1</PartNumber></Part>".repeat(COMPLETE_PARTS_MAX + 1));
        assert!(matches!(parse(&long), Err(XmlError::TooMany { .. })));
        let many = one(&"<a/>".repeat(6 * COMPLETE_PARTS_MAX + 1));
        assert_eq!(parse(&many), Err(XmlError::TooComplex));
        let fat = one(&" ".repeat(COMPLETE_BYTES_MAX));
        assert_eq!(parse(&fat), Err(XmlError::TooLong { limit: COMPLETE_BYTES_MAX }));
        // What is in range of a number but of no part is for the server to say.
        assert_eq!(parse(&part(&u64::MAX.to_string())), Ok(vec![(u64::MAX, String::new())]));
        let most = one(
            &"<Part><ETag>&quot;A&quot;</ETag><PartNumber>1</PartNumber></Part>".repeat(10_000)
        );
        assert_eq!(parse(&most).unwrap().len(), 10_000);
    }

    #[test]
    fn listings_come_back_and_their_markers_are_there_when_empty() {
        let empty = ListMultipartUploadsOutput::default();
        let xml = empty.to_xml();
        for element in ["KeyMarker", "UploadIdMarker", "NextKeyMarker", "NextUploadIdMarker"] {
            assert!(xml.contains(&format!("<{element}></{element}>")), "{xml}");
        }
        assert!(ListPartsOutput::default().to_xml().contains("<NextPartNumberMarker>0<"));
        for url_encoded in [false, true] {
            let uploads = ListMultipartUploadsOutput {
                bucket: "b".into(),
                key_marker: "a b/".into(),
                upload_id_marker: "0A".into(),
                next_key_marker: "k&<".into(),
                next_upload_id_marker: "0B".into(),
                delimiter: "/".into(),
                prefix: "ü".into(),
                max_uploads: 3,
                is_truncated: true,
                url_encoded,
                uploads: vec![UploadSummary {
                    key: "k&<".into(),
                    upload_id: "0B".into(),
                    storage_class: "Standard".into(),
                    initiated: 1_700_000_000,
                }],
                common_prefixes: vec!["p /".into()],
            };
            let back = ListMultipartUploadsOutput::parse(uploads.to_xml().as_bytes());
            assert_eq!(back, Ok(uploads));
            let parts = ListPartsOutput {
                bucket: "b".into(),
                key: "k&<".into(),
                upload_id: "0B".into(),
                storage_class: "IA".into(),
                part_number_marker: 1,
                next_part_number_marker: 2,
                max_parts: 1,
                is_truncated: true,
                url_encoded,
                encryption: ClientEncryption::default(),
                parts: vec![PartSummary {
                    number: 2,
                    last_modified: 1_700_000_000,
                    etag: "AB".into(),
                    crc64: u64::MAX,
                    size: 5,
                }],
            };
            assert_eq!(ListPartsOutput::parse(parts.to_xml().as_bytes()), Ok(parts));
            let started = InitiateMultipartUploadOutput {
                bucket: "b".into(),
                key: "k &".into(),
                upload_id: "0A".into(),
                url_encoded,
            };
            let back = InitiateMultipartUploadOutput::parse(started.to_xml().as_bytes());
            assert_eq!(back, Ok(started));
            let done = CompleteMultipartUploadOutput {
                location: "http://b.h/k".into(),
                bucket: "b".into(),
                key: "k &".into(),
                etag: "AB-2".into(),
                url_encoded,
            };
            let back = CompleteMultipartUploadOutput::parse(done.to_xml().as_bytes());
            assert_eq!(back, Ok(done));
        }
        let copied = CopyPartOutput { last_modified: 1_700_000_000, etag: "AB".into() };
        assert_eq!(CopyPartOutput::parse(copied.to_xml().as_bytes()), Ok(copied));
    }
}
