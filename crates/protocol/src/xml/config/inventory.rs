//! `InventoryConfiguration`: which lists of a bucket's objects are made, how often, and where they go.

use super::schema::{Node, flag, group, invalid, leaf, leaves, malformed, read_root, texts, write};
use crate::attributes::StorageClass;
use crate::error::{ErrorCode, OssError};
use crate::names::BucketName;
use crate::xml::reader::Element;
use crate::xml::writer::Writer;
use crate::xml::{SMALL, XmlError, read_bool};

const ARN_PREFIX: &str = "acs:oss:::";
const FIELDS: [&str; 10] = [
    "Size",
    "LastModifiedDate",
    "ETag",
    "StorageClass",
    "IsMultipartUploaded",
    "EncryptionStatus",
    "ObjectAcl",
    "TaggingCount",
    "ObjectType",
    "Crc64",
];

const GRAMMAR: &[Node] = &[
    leaf("Id"),
    flag("IsEnabled"),
    group(
        "Filter",
        &[
            leaf("Prefix"),
            leaf("LastModifyBeginTimeStamp"),
            leaf("LastModifyEndTimeStamp"),
            leaf("LowerSizeBound"),
            leaf("UpperSizeBound"),
            leaf("StorageClass"),
        ],
    ),
    group(
        "Destination",
        &[group(
            "OSSBucketDestination",
            &[
                leaf("Format"),
                leaf("AccountId"),
                leaf("RoleArn"),
                leaf("Bucket"),
                leaf("Prefix"),
                group("Encryption", &[leaf("SSE-OSS")]),
            ],
        )],
    ),
    group("Schedule", &[leaf("Frequency")]),
    leaf("IncludedObjectVersions"),
    group("OptionalFields", &[leaves("Field")]),
];

/// One inventory, checked, in the form that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryConfiguration {
    /// Its id: letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// The bucket that reports go to.
    pub destination: String,
    /// The element, without a declaration.
    pub element: String,
}

/// How often a report is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frequency {
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
    /// One time only.
    Once,
}

/// What a kept inventory asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryRule {
    /// Its id.
    pub id: String,
    /// Whether reports are made.
    pub enabled: bool,
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only objects modified from then on, in seconds since 1970.
    pub modified_from: Option<u64>,
    /// Only objects modified until then.
    pub modified_until: Option<u64>,
    /// Only objects of so many bytes or more.
    pub size_from: Option<u64>,
    /// Only objects of so many bytes or fewer.
    pub size_until: Option<u64>,
    /// Only objects of these classes; of all when empty.
    pub classes: Vec<StorageClass>,
    /// The bucket that reports go to.
    pub destination: BucketName,
    /// What their names begin with.
    pub destination_prefix: String,
    /// Whether reports are encrypted, even where their bucket does not say so.
    pub encrypted: bool,
    /// How often.
    pub frequency: Frequency,
    /// Whether versions other than the current one are listed.
    pub all_versions: bool,
    /// The columns beside those that every report has, in the order of the rule.
    pub fields: Vec<String>,
}

impl InventoryRule {
    /// Reads a kept element, or a whole document.
    ///
    /// # Errors
    /// As [`InventoryConfiguration::parse`], and 400 `InvalidBucketName` for a destination that no bucket can be.
    pub fn parse(element: &[u8]) -> Result<Self, OssError> {
        let checked = InventoryConfiguration::parse(element)?;
        let root = read_root(element, "InventoryConfiguration", SMALL)?;
        let filter = |name: &str| root.child("Filter")?.child_value(name);
        let number = |name: &str| filter(name)?.parse().ok();
        let destination = root.child("Destination").and_then(|d| d.child("OSSBucketDestination"));
        let prefix = destination.and_then(|destination| destination.child_value("Prefix"));
        let encryption = destination.and_then(|destination| destination.child("Encryption"));
        let frequency = root.child("Schedule").and_then(|s| s.child_value("Frequency"));
        let classes = filter("StorageClass").unwrap_or_default();
        Ok(Self {
            id: checked.id,
            enabled: read_bool(&root, "IsEnabled").map_err(malformed)?,
            prefix: filter("Prefix").unwrap_or_default().to_owned(),
            modified_from: number("LastModifyBeginTimeStamp"),
            modified_until: number("LastModifyEndTimeStamp"),
            size_from: number("LowerSizeBound"),
            size_until: number("UpperSizeBound"),
            classes: classes
                .split(',')
                .filter_map(|name| StorageClass::from_name(name.trim()))
                .collect(),
            destination: BucketName::new(&checked.destination)?,
            destination_prefix: prefix.unwrap_or_default().to_owned(),
            encrypted: encryption.is_some_and(|ways| ways.child("SSE-OSS").is_some()),
            frequency: match frequency {
                Some("Daily") => Frequency::Daily,
                Some("Weekly") => Frequency::Weekly,
                Some("Monthly") => Frequency::Monthly,
                _ => Frequency::Once,
            },
            all_versions: root.child_value("IncludedObjectVersions") == Some("All"),
            fields: root
                .child("OptionalFields")
                .map_or_else(Vec::new, |fields| texts(fields, "Field")),
        })
    }

    /// Whether the filter lets an object through. Its prefix is not looked at.
    pub fn takes(&self, size: u64, modified: u64, class: StorageClass) -> bool {
        self.modified_from.is_none_or(|from| modified >= from)
            && self.modified_until.is_none_or(|until| modified <= until)
            && self.size_from.is_none_or(|from| size >= from)
            && self.size_until.is_none_or(|until| size <= until)
            && (self.classes.is_empty() || self.classes.contains(&class))
    }
}

/// Classes of a filter are told in the order of their names, whatever order they were given in.
fn sort_classes(root: &mut Element) {
    let filters = root.children.iter_mut().filter(|child| child.name == "Filter");
    for class in filters.flat_map(|filter| &mut filter.children) {
        if class.name == "StorageClass" {
            let mut names: Vec<&str> = class.text.split(',').map(str::trim).collect();
            names.sort_unstable();
            class.text = names.join(",");
        }
    }
}

impl InventoryConfiguration {
    /// The `InventoryConfiguration` document.
    pub fn to_xml(element: &str) -> String {
        let mut text = Writer::document(0).finish();
        text.push_str(element);
        text
    }

    /// Reads and checks an `InventoryConfiguration` document.
    ///
    /// # Errors
    /// 400 `MalformedXML`, `InvalidArgument`, and `KmsServiceNotEnabled` for reports that are to be encrypted by a key of KMS.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let mut root = read_root(document, "InventoryConfiguration", SMALL)?;
        sort_classes(&mut root);
        let missing = |name| malformed(XmlError::Missing(name));
        let id = root.child_value("Id").ok_or_else(|| missing("Id"))?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if id.len() > 64 || !id.bytes().all(legal) {
            return Err(invalid("Id", id, "The id of the inventory is not valid."));
        }
        if root.child_value("IsEnabled").is_none() {
            return Err(missing("IsEnabled"));
        }
        read_bool(&root, "IsEnabled").map_err(malformed)?;
        let destination = root.child("Destination").and_then(|d| d.child("OSSBucketDestination"));
        let destination = destination.ok_or_else(|| missing("OSSBucketDestination"))?;
        match destination.child_value("Format") {
            Some("CSV") => {}
            Some(other) => return Err(invalid("Format", other, "The format must be CSV.")),
            None => return Err(missing("Format")),
        }
        let bucket = destination.child_value("Bucket").ok_or_else(|| missing("Bucket"))?;
        let name = bucket
            .strip_prefix(ARN_PREFIX)
            .ok_or_else(|| invalid("Bucket", bucket, "The bucket must be acs:oss:::NAME."))?;
        for way in destination.child("Encryption").iter().flat_map(|ways| &ways.children) {
            match way.name.as_str() {
                "SSE-OSS" => {}
                "SSE-KMS" => return Err(OssError::new(ErrorCode::KmsServiceNotEnabled)),
                other => return Err(invalid("Encryption", other, "The encryption is not valid.")),
            }
        }
        let frequency = root.child("Schedule").and_then(|s| s.child_value("Frequency"));
        match frequency.ok_or_else(|| missing("Frequency"))? {
            "Daily" | "Weekly" | "Monthly" | "Once" => {}
            other => return Err(invalid("Frequency", other, "The frequency is not valid.")),
        }
        match root.child_value("IncludedObjectVersions") {
            Some("All" | "Current") => {}
            Some(other) => {
                let message = "The included object versions must be All or Current.";
                return Err(invalid("IncludedObjectVersions", other, message));
            }
            None => return Err(missing("IncludedObjectVersions")),
        }
        if let Some(fields) = root.child("OptionalFields") {
            let unknown = |field: &String| !FIELDS.contains(&field.as_str());
            if let Some(field) = texts(fields, "Field").into_iter().find(unknown) {
                return Err(invalid("Field", &field, "The optional field is not known."));
            }
        }
        if let Some(filter) = root.child("Filter") {
            for name in [
                "LastModifyBeginTimeStamp",
                "LastModifyEndTimeStamp",
                "LowerSizeBound",
                "UpperSizeBound",
            ] {
                let value = filter.child_value(name);
                if let Some(value) = value.filter(|value| value.parse::<u64>().is_err()) {
                    return Err(invalid(name, value, "The value is not a number."));
                }
            }
        }
        let mut w = Writer::document(1024);
        let start = Writer::document(0).finish().len();
        write(&mut w, &root, "InventoryConfiguration", GRAMMAR);
        let element = w.finish().split_off(start);
        Ok(Self { id: id.to_owned(), destination: name.to_owned(), element })
    }

    /// A page of inventories as ListBucketInventory tells it, from kept elements: `token` is what the page was asked for with, `next`
    /// where the next one begins.
    pub fn list(elements: &[String], token: Option<&str>, next: Option<&str>) -> String {
        let mut w = Writer::document(128);
        w.open("ListInventoryConfigurationsResult");
        let mut text = w.finish();
        elements.iter().for_each(|element| text.push_str(element));
        let start = Writer::document(0).finish().len();
        let mut tail = Writer::document(128);
        tail.boolean("IsTruncated", next.is_some());
        if let Some(token) = token {
            tail.text("ContinuationToken", token);
        }
        if let Some(next) = next {
            tail.text("NextContinuationToken", next);
        }
        tail.close("ListInventoryConfigurationsResult");
        text.push_str(tail.finish().get(start..).unwrap_or_default());
        text
    }
}
