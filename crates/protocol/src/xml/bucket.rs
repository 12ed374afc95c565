//! Documents of service and bucket operations.

use std::borrow::Cow;

use super::reader::{Element, Limits};
use super::writer::Writer;
use super::{SMALL, XmlError, read_bool, read_date, read_number};
use crate::attributes::{BucketAcl, StorageClass};
use crate::error::{EC_BUCKET_XML, OssError};
use crate::time;

const LIST_LIMITS: Limits = Limits { bytes: 4 << 20, depth: 8, elements: 32 * 1024 };

/// Who owns a bucket or an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// The account id.
    pub id: String,
    /// The name shown; here the same as the id.
    pub display_name: String,
}

impl Owner {
    /// The owner whose name is its account id.
    pub fn account(id: &str) -> Self {
        Self { id: id.to_owned(), display_name: id.to_owned() }
    }
}

pub(super) fn write_owner(w: &mut Writer, owner: &Owner) {
    w.open("Owner");
    w.text("ID", &owner.id);
    w.text("DisplayName", &owner.display_name);
    w.close("Owner");
}

pub(super) fn read_owner(element: &Element) -> Owner {
    let text = |name| element.child_value(name).unwrap_or_default().to_owned();
    Owner { id: text("ID"), display_name: text("DisplayName") }
}

/// The answer of ListBuckets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListBucketsOutput {
    /// The caller's account.
    pub owner: Owner,
    /// How the listing was cut; `None` when everything is returned unfiltered, and then none of it is told.
    pub page: Option<BucketsPage>,
    /// Buckets by name, ascending.
    pub buckets: Vec<BucketSummary>,
}

/// The part of a bucket listing that is told only when it was filtered or truncated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketsPage {
    /// The prefix asked for, empty when none.
    pub prefix: String,
    /// The marker asked for, empty when none.
    pub marker: String,
    /// The page size.
    pub max_keys: u64,
    /// Where the next page starts; present exactly when the listing is truncated.
    pub next_marker: Option<String>,
}

/// One bucket of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketSummary {
    /// The name.
    pub name: String,
    /// Unix seconds.
    pub creation_date: i64,
    /// Public host, without scheme or bucket.
    pub extranet_endpoint: String,
    /// Internal host, without scheme or bucket.
    pub intranet_endpoint: String,
    /// `oss-<region>`
    pub location: String,
    /// `<region>`
    pub region: String,
    /// `Standard`, `IA`, ...
    pub storage_class: Cow<'static, str>,
    /// The resource group.
    pub resource_group_id: Option<String>,
    /// Tags, key and value, where buckets are looked for by them.
    pub tags: Vec<(String, String)>,
}

impl ListBucketsOutput {
    /// The `ListAllMyBucketsResult` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(512 + self.buckets.len() * 512);
        w.open("ListAllMyBucketsResult");
        if let Some(page) = &self.page {
            w.text("Prefix", &page.prefix);
            w.text("Marker", &page.marker);
            w.number("MaxKeys", page.max_keys);
            w.boolean("IsTruncated", page.next_marker.is_some());
            if let Some(next) = &page.next_marker {
                w.text("NextMarker", next);
            }
        }
        write_owner(&mut w, &self.owner);
        w.open("Buckets");
        for bucket in &self.buckets {
            w.open("Bucket");
            w.text("CreationDate", &time::xml(bucket.creation_date));
            w.text("ExtranetEndpoint", &bucket.extranet_endpoint);
            w.text("IntranetEndpoint", &bucket.intranet_endpoint);
            w.text("Location", &bucket.location);
            w.text("Name", &bucket.name);
            w.text("Region", &bucket.region);
            w.text("StorageClass", &bucket.storage_class);
            if let Some(group) = &bucket.resource_group_id {
                w.text("ResourceGroupId", group);
            }
            if !bucket.tags.is_empty() {
                w.open("Tagging");
                w.open("TagSet");
                for (key, value) in &bucket.tags {
                    w.open("Tag");
                    w.text("Key", key);
                    w.text("Value", value);
                    w.close("Tag");
                }
                w.close("TagSet");
                w.close("Tagging");
            }
            w.close("Bucket");
        }
        w.close("Buckets");
        w.close("ListAllMyBucketsResult");
        w.finish()
    }

    /// Reads a `ListAllMyBucketsResult` document.
    ///
    /// # Errors
    /// [`XmlError`] for any other document, and for a truncated page without a next marker.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "ListAllMyBucketsResult", LIST_LIMITS)?;
        let mut buckets = Vec::new();
        let groups = root.children_named("Buckets");
        for entry in groups.flat_map(|group| group.children_named("Bucket")) {
            let text = |name| entry.child_value(name).unwrap_or_default().to_owned();
            let name = entry.child_value("Name").ok_or(XmlError::Missing("Name"))?;
            buckets.push(BucketSummary {
                name: name.to_owned(),
                creation_date: read_date(entry, "CreationDate")?.unwrap_or_default(),
                extranet_endpoint: text("ExtranetEndpoint"),
                intranet_endpoint: text("IntranetEndpoint"),
                location: text("Location"),
                region: text("Region"),
                storage_class: text("StorageClass").into(),
                resource_group_id: entry.child_value("ResourceGroupId").map(str::to_owned),
                tags: read_tags(entry),
            });
        }
        Ok(Self {
            owner: root.child("Owner").map(read_owner).unwrap_or_default(),
            page: BucketsPage::read(&root)?,
            buckets,
        })
    }
}

fn read_tags(bucket: &Element) -> Vec<(String, String)> {
    let set = bucket.child("Tagging").and_then(|tagging| tagging.child("TagSet"));
    let tags = set.into_iter().flat_map(|set| set.children_named("Tag"));
    let text = |tag: &Element, name| tag.child_text(name).unwrap_or_default().to_owned();
    tags.map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect()
}

impl BucketsPage {
    fn read(root: &Element) -> Result<Option<Self>, XmlError> {
        if root.child("IsTruncated").is_none() {
            return Ok(None);
        }
        let text = |name| root.child_text(name).unwrap_or_default().to_owned();
        let next_marker = root.child_value("NextMarker").map(str::to_owned);
        let truncated = read_bool(root, "IsTruncated")?;
        if truncated && next_marker.is_none() {
            return Err(XmlError::Missing("NextMarker"));
        }
        Ok(Some(Self {
            prefix: text("Prefix"),
            marker: text("Marker"),
            max_keys: read_number(root, "MaxKeys")?.unwrap_or_default(),
            next_marker: next_marker.filter(|_| truncated),
        }))
    }
}

/// Whether versions are kept. A bucket that never had versioning has neither state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersioningStatus {
    /// Every write makes a new version.
    Enabled,
    /// Writes replace the version `null`.
    Suspended,
}

impl VersioningStatus {
    /// The text inside `<Status>`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Suspended => "Suspended",
        }
    }
}

/// The versioning state of a bucket, `None` when it was never set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersioningConfiguration {
    /// The state.
    pub status: Option<VersioningStatus>,
}

impl VersioningConfiguration {
    /// The `VersioningConfiguration` document, without `Status` when it was never set.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(96);
        w.open("VersioningConfiguration");
        if let Some(status) = self.status {
            w.text("Status", status.as_str());
        }
        w.close("VersioningConfiguration");
        w.finish()
    }

    /// Reads a `VersioningConfiguration` document. A request must carry a status; an answer need not.
    ///
    /// # Errors
    /// [`XmlError`] for any other document or status.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "VersioningConfiguration", SMALL)?;
        let status = match root.child_value("Status") {
            None => None,
            Some("Enabled") => Some(VersioningStatus::Enabled),
            Some("Suspended") => Some(VersioningStatus::Suspended),
            Some(_) => return Err(XmlError::Value("Status")),
        };
        Ok(Self { status })
    }
}

/// The answer of GetBucketInfo. What cannot differ here (replication, acceleration, access monitor) is written as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInfo {
    /// The name.
    pub name: String,
    /// Unix seconds.
    pub creation_date: i64,
    /// Public host, without scheme or bucket.
    pub extranet_endpoint: String,
    /// Internal host, without scheme or bucket.
    pub intranet_endpoint: String,
    /// `oss-<region>`
    pub location: String,
    /// Class of objects that name none.
    pub storage_class: StorageClass,
    /// How copies are kept.
    pub data_redundancy_type: DataRedundancyType,
    /// The versioning state; `None` when it was never set.
    pub versioning: Option<VersioningStatus>,
    /// Whether public access is blocked.
    pub block_public_access: bool,
    /// The owner.
    pub owner: Owner,
    /// The access control list.
    pub acl: BucketAcl,
    /// Default encryption: `AES256`; `None` when there is no rule.
    pub sse_algorithm: Option<String>,
    /// Target bucket of access logs, empty when off.
    pub log_bucket: String,
    /// Key prefix of access logs, empty when off.
    pub log_prefix: String,
}

impl BucketInfo {
    /// The `BucketInfo` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(1536);
        w.open("BucketInfo");
        w.open("Bucket");
        w.text("AccessMonitor", "Disabled");
        w.boolean("BlockPublicAccess", self.block_public_access);
        w.text("Comment", "");
        w.text("CreationDate", &time::xml(self.creation_date));
        w.text("CrossRegionReplication", "Disabled");
        w.text("DataRedundancyType", self.data_redundancy_type.as_str());
        w.text("ExtranetEndpoint", &self.extranet_endpoint);
        w.text("IntranetEndpoint", &self.intranet_endpoint);
        w.text("Location", &self.location);
        w.text("Name", &self.name);
        w.text("StorageClass", self.storage_class.as_str());
        w.text("ResourceGroupId", "rg-default-id");
        w.text("TransferAcceleration", "Disabled");
        if let Some(versioning) = self.versioning {
            w.text("Versioning", versioning.as_str());
        }
        write_owner(&mut w, &self.owner);
        write_grant(&mut w, self.acl.as_str());
        w.open("ServerSideEncryptionRule");
        // The absence of a rule is the literal word, which every SDK maps to "none".
        w.text("SSEAlgorithm", self.sse_algorithm.as_deref().unwrap_or("None"));
        w.close("ServerSideEncryptionRule");
        w.open("BucketPolicy");
        w.text("LogBucket", &self.log_bucket);
        w.text("LogPrefix", &self.log_prefix);
        w.close("BucketPolicy");
        w.close("Bucket");
        w.close("BucketInfo");
        w.finish()
    }
}

fn write_grant(w: &mut Writer, grant: &str) {
    w.open("AccessControlList");
    w.text("Grant", grant);
    w.close("AccessControlList");
}

/// How the copies of a bucket are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataRedundancyType {
    /// In one zone.
    #[default]
    Lrs,
    /// In several zones.
    Zrs,
}

impl DataRedundancyType {
    /// `LRS` or `ZRS`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lrs => "LRS",
            Self::Zrs => "ZRS",
        }
    }
}

/// The answer of GetBucketAcl and GetObjectAcl.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessControlPolicy {
    /// The owner.
    pub owner: Owner,
    /// `private`, `public-read`, `public-read-write`; for an object also `default`.
    pub grant: Cow<'static, str>,
}

impl AccessControlPolicy {
    /// The `AccessControlPolicy` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(256);
        w.open("AccessControlPolicy");
        write_owner(&mut w, &self.owner);
        write_grant(&mut w, &self.grant);
        w.close("AccessControlPolicy");
        w.finish()
    }

    /// Reads an `AccessControlPolicy` document.
    ///
    /// # Errors
    /// [`XmlError`] for any other document.
    pub fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let root = Element::parse_root(document, "AccessControlPolicy", SMALL)?;
        let list = root.child("AccessControlList");
        let grant = list.and_then(|list| list.child_value("Grant"));
        Ok(Self {
            owner: root.child("Owner").map(read_owner).unwrap_or_default(),
            grant: grant.ok_or(XmlError::Missing("Grant"))?.to_owned().into(),
        })
    }
}

/// The answer of GetBucketLocation: `oss-<region>`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocationConstraint(pub String);

impl LocationConstraint {
    /// The `LocationConstraint` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(64);
        w.text("LocationConstraint", &self.0);
        w.finish()
    }
}

/// The body of PutBucket; what is `None` was not named and means the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateBucketConfiguration {
    /// Class of objects that name none.
    pub storage_class: Option<StorageClass>,
    /// How copies are kept.
    pub data_redundancy_type: Option<DataRedundancyType>,
    /// Where the bucket should be, as older clients say it.
    pub location: Option<String>,
}

impl CreateBucketConfiguration {
    /// The `CreateBucketConfiguration` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(160);
        w.open("CreateBucketConfiguration");
        if let Some(location) = &self.location {
            w.text("LocationConstraint", location);
        }
        if let Some(class) = self.storage_class {
            w.text("StorageClass", class.as_str());
        }
        if let Some(redundancy) = self.data_redundancy_type {
            w.text("DataRedundancyType", redundancy.as_str());
        }
        w.close("CreateBucketConfiguration");
        w.finish()
    }

    /// Reads the body of PutBucket. No body and empty elements stand for the defaults.
    ///
    /// # Errors
    /// 400 `MalformedXML` for a broken document, 400 `InvalidArgument` for an unknown class or redundancy.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        if document.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let root = Element::parse_root(document, "CreateBucketConfiguration", SMALL)
            .map_err(|error| error.into_oss(EC_BUCKET_XML))?;
        let storage_class = match root.child_value("StorageClass") {
            None => None,
            Some(name) => Some(StorageClass::from_name(name).ok_or_else(|| {
                let message = "No such bucket storage class exists.";
                OssError::invalid_argument("StorageClass", name, message)
            })?),
        };
        let data_redundancy_type = match root.child_value("DataRedundancyType") {
            None => None,
            Some("LRS") => Some(DataRedundancyType::Lrs),
            Some("ZRS") => Some(DataRedundancyType::Zrs),
            Some(name) => {
                let message = "No such data redundancy type exists.";
                return Err(OssError::invalid_argument("DataRedundancyType", name, message));
            }
        };
        let location = root.child_value("LocationConstraint").map(str::to_owned);
        Ok(Self { storage_class, data_redundancy_type, location })
    }
}

/// The answer of GetBucketStat. Storage is in bytes, all versions and parts included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BucketStat {
    /// Bytes of everything.
    pub storage: u64,
    /// Objects.
    pub object_count: u64,
    /// Unfinished multipart uploads.
    pub multipart_upload_count: u64,
    /// Parts of unfinished uploads.
    pub multipart_part_count: u64,
    /// Delete markers.
    pub delete_marker_count: u64,
    /// Unix seconds when the numbers were gathered.
    pub last_modified_time: i64,
    /// Standard.
    pub standard: ClassStat,
    /// IA.
    pub infrequent_access: ClassStat,
    /// Archive.
    pub archive: ClassStat,
    /// ColdArchive.
    pub cold_archive: ClassStat,
    /// DeepColdArchive.
    pub deep_cold_archive: ClassStat,
}

/// What one storage class holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassStat {
    /// Bytes.
    pub storage: u64,
    /// Objects.
    pub object_count: u64,
}

impl BucketStat {
    /// The `BucketStat` document. A server that bills nobody has no minimum billed size: `RealStorage` equals `Storage`.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(1536);
        w.open("BucketStat");
        w.number("Storage", self.storage);
        w.number("ObjectCount", self.object_count);
        w.number("MultipartUploadCount", self.multipart_upload_count);
        w.number("LiveChannelCount", 0);
        w.number("LastModifiedTime", u64::try_from(self.last_modified_time).unwrap_or(0));
        w.number("StandardStorage", self.standard.storage);
        w.number("StandardObjectCount", self.standard.object_count);
        for (storage, real_storage, object_count, class) in [
            (
                "InfrequentAccessStorage",
                "InfrequentAccessRealStorage",
                "InfrequentAccessObjectCount",
                self.infrequent_access,
            ),
            ("ArchiveStorage", "ArchiveRealStorage", "ArchiveObjectCount", self.archive),
            (
                "ColdArchiveStorage",
                "ColdArchiveRealStorage",
                "ColdArchiveObjectCount",
                self.cold_archive,
            ),
            (
                "DeepColdArchiveStorage",
                "DeepColdArchiveRealStorage",
                "DeepColdArchiveObjectCount",
                self.deep_cold_archive,
            ),
        ] {
            w.number(storage, class.storage);
            w.number(real_storage, class.storage);
            w.number(object_count, class.object_count);
        }
        w.number("MultipartPartCount", self.multipart_part_count);
        w.number("DeleteMarkerCount", self.delete_marker_count);
        w.close("BucketStat");
        w.finish()
    }
}

/// The answer of ListLiveChannel. A bucket here never has live channels, and clean-ups ask before they delete a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListLiveChannelOutput {
    /// The prefix asked for, empty when none.
    pub prefix: String,
    /// The marker asked for, empty when none.
    pub marker: String,
    /// The page size asked for.
    pub max_keys: u64,
}

impl ListLiveChannelOutput {
    /// The `ListLiveChannelResult` document, without a channel.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(256);
        w.open("ListLiveChannelResult");
        w.text("Prefix", &self.prefix);
        w.text("Marker", &self.marker);
        w.number("MaxKeys", self.max_keys);
        w.boolean("IsTruncated", false);
        w.text("NextMarker", "");
        w.close("ListLiveChannelResult");
        w.finish()
    }
}

/// The answer of GetBucketAccessMonitor: always off here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccessMonitorConfiguration;

impl AccessMonitorConfiguration {
    /// The `AccessMonitorConfiguration` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(96);
        w.open("AccessMonitorConfiguration");
        w.text("Status", "Disabled");
        w.close("AccessMonitorConfiguration");
        w.finish()
    }
}
