//! Documents of one or two values: logging, request payment, public access block, storage quota; and the regions.

use super::schema::{invalid, malformed, read_root};
use crate::error::{ErrorCode, OssError};
use crate::names::BucketName;
use crate::xml::writer::Writer;
use crate::xml::{SMALL, XmlError};

/// Longest prefix of log objects, in bytes: it leaves room for the rest of their names.
const LOG_PREFIX_BYTES_MAX: usize = 800;

fn document(root: &str, inside: impl FnOnce(&mut Writer)) -> String {
    let mut w = Writer::document(256);
    w.open(root);
    inside(&mut w);
    w.close(root);
    w.finish()
}

/// Where access logs go; `None` is off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoggingConfiguration {
    /// The target.
    pub enabled: Option<LoggingTarget>,
}

/// The target of access logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingTarget {
    /// The bucket that they are written into.
    pub bucket: BucketName,
    /// What their names begin with.
    pub prefix: String,
    /// A role, kept and told.
    pub role: Option<String>,
}

impl LoggingConfiguration {
    /// The `BucketLoggingStatus` document, empty when logging is off.
    pub fn to_xml(&self) -> String {
        document("BucketLoggingStatus", |w| {
            let Some(target) = &self.enabled else { return };
            w.open("LoggingEnabled");
            w.text("TargetBucket", target.bucket.as_str());
            w.text("TargetPrefix", &target.prefix);
            if let Some(role) = &target.role {
                w.text("LoggingRole", role);
            }
            w.close("LoggingEnabled");
        })
    }

    /// Reads a `BucketLoggingStatus` document.
    ///
    /// # Errors
    /// 400 `MalformedXML`, 400 `InvalidArgument` for a prefix that no key can begin with.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let root = read_root(document, "BucketLoggingStatus", SMALL)?;
        let Some(enabled) = root.child("LoggingEnabled") else {
            return Ok(Self::default());
        };
        let name = enabled.child_value("TargetBucket");
        let name = name.ok_or_else(|| malformed(XmlError::Missing("TargetBucket")))?;
        let prefix = enabled.child_text("TargetPrefix").unwrap_or_default().to_owned();
        if prefix.len() > LOG_PREFIX_BYTES_MAX || prefix.starts_with(['/', '\\']) {
            return Err(invalid("TargetPrefix", &prefix, "The prefix is not that of an object."));
        }
        Ok(Self {
            enabled: Some(LoggingTarget {
                bucket: BucketName::new(name)?,
                prefix,
                role: enabled.child_value("LoggingRole").map(str::to_owned),
            }),
        })
    }
}

/// Who pays for requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestPaymentConfiguration {
    /// The requester, not the bucket's owner.
    pub requester: bool,
}

impl RequestPaymentConfiguration {
    /// The `RequestPaymentConfiguration` document.
    pub fn to_xml(self) -> String {
        let payer = if self.requester { "Requester" } else { "BucketOwner" };
        document("RequestPaymentConfiguration", |w| w.text("Payer", payer))
    }

    /// Reads a `RequestPaymentConfiguration` document.
    ///
    /// # Errors
    /// 400 `MalformedXML`.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let root = read_root(document, "RequestPaymentConfiguration", SMALL)?;
        match root.child_value("Payer") {
            Some("Requester") => Ok(Self { requester: true }),
            Some("BucketOwner") => Ok(Self { requester: false }),
            Some(_) => Err(malformed(XmlError::Value("Payer"))),
            None => Err(malformed(XmlError::Missing("Payer"))),
        }
    }
}

/// How objects are encrypted that do not say: `AES256`, the only algorithm that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncryptionConfiguration;

impl EncryptionConfiguration {
    /// The `ServerSideEncryptionRule` document.
    pub fn to_xml(self) -> String {
        document("ServerSideEncryptionRule", |w| {
            w.open("ApplyServerSideEncryptionByDefault");
            w.text("SSEAlgorithm", "AES256");
            w.close("ApplyServerSideEncryptionByDefault");
        })
    }

    /// Reads a `ServerSideEncryptionRule` document.
    ///
    /// # Errors
    /// 400 `MalformedXML`; 400 `KmsServiceNotEnabled` for `KMS`, 400 `InvalidEncryptionAlgorithmError` for any other algorithm, 400
    /// `InvalidArgument` for a key's id beside `AES256`.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let root = read_root(document, "ServerSideEncryptionRule", SMALL)?;
        let rule = root.child("ApplyServerSideEncryptionByDefault");
        let value = |name| rule.and_then(|rule| rule.child_value(name));
        match value("SSEAlgorithm") {
            None => Err(malformed(XmlError::Missing("SSEAlgorithm"))),
            Some("AES256") if value("KMSMasterKeyID").is_some() => {
                Err(OssError::new(ErrorCode::InvalidArgument).with_message(
                    "KMSMasterKeyID is not applicable if the default sse algorithm is not KMS",
                ))
            }
            Some("AES256") => Ok(Self),
            Some("KMS") => Err(OssError::new(ErrorCode::KmsServiceNotEnabled)),
            Some(_) => Err(OssError::new(ErrorCode::InvalidEncryptionAlgorithmError)),
        }
    }
}

/// Whether public ACLs and public policies are switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublicAccessBlockConfiguration {
    /// They are.
    pub block: bool,
}

impl PublicAccessBlockConfiguration {
    /// The `PublicAccessBlockConfiguration` document.
    pub fn to_xml(self) -> String {
        document("PublicAccessBlockConfiguration", |w| w.boolean("BlockPublicAccess", self.block))
    }

    /// Reads a `PublicAccessBlockConfiguration` document. What is not plainly `true` or `false` must not open anything.
    ///
    /// # Errors
    /// 400 `MalformedXML`.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let root = read_root(document, "PublicAccessBlockConfiguration", SMALL)?;
        match root.child_value("BlockPublicAccess") {
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(Self { block: true }),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(Self { block: false }),
            Some(_) => Err(malformed(XmlError::Value("BlockPublicAccess"))),
            None => Err(malformed(XmlError::Missing("BlockPublicAccess"))),
        }
    }
}

/// How much a bucket may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaConfiguration {
    /// Bytes.
    pub bytes: u64,
    /// Writes that would pass it are refused; else they are only noted.
    pub strict: bool,
}

impl QuotaConfiguration {
    /// The `QuotaConfiguration` document, with the bytes in use where they are told.
    pub fn to_xml(self, usage: Option<u64>) -> String {
        document("QuotaConfiguration", |w| {
            w.number("StorageQuota", self.bytes);
            w.text("Mode", if self.strict { "Strict" } else { "Warning" });
            if let Some(usage) = usage {
                w.number("CurrentUsage", usage);
            }
        })
    }

    /// Reads a `QuotaConfiguration` document.
    ///
    /// # Errors
    /// 400 `MalformedXML`, 400 `InvalidArgument` for a quota that is no positive number and for another mode.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let root = read_root(document, "QuotaConfiguration", SMALL)?;
        let missing = |name| malformed(XmlError::Missing(name));
        let text = root.child_value("StorageQuota").ok_or_else(|| missing("StorageQuota"))?;
        let bytes = text.parse::<i64>().ok().filter(|bytes| *bytes > 0);
        let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok()).ok_or_else(|| {
            invalid("StorageQuota", text, "The storage quota must be a positive number of bytes.")
        })?;
        let strict = match root.child_value("Mode").ok_or_else(|| missing("Mode"))? {
            "Strict" => true,
            "Warning" => false,
            other => return Err(invalid("Mode", other, "The mode must be Strict or Warning.")),
        };
        Ok(Self { bytes, strict })
    }
}

/// One region, with the hosts that serve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionInfo {
    /// `oss-<region>`
    pub region: String,
    /// Public host.
    pub internet_endpoint: String,
    /// Internal host.
    pub internal_endpoint: String,
    /// Host for accelerated transfer.
    pub accelerate_endpoint: String,
}

/// The answer of DescribeRegions.
pub fn region_list(regions: &[RegionInfo]) -> String {
    document("RegionInfoList", |w| {
        for region in regions {
            w.open("RegionInfo");
            w.text("Region", &region.region);
            w.text("InternetEndpoint", &region.internet_endpoint);
            w.text("InternalEndpoint", &region.internal_endpoint);
            w.text("AccelerateEndpoint", &region.accelerate_endpoint);
            w.close("RegionInfo");
        }
    })
}

/// The answer of GetBucketPolicyStatus.
pub fn policy_status(public: bool) -> String {
    document("PolicyStatus", |w| w.boolean("IsPublic", public))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn small_documents_are_read_back_as_written() {
        let target = LoggingTarget {
            bucket: BucketName::new("logs").unwrap(),
            prefix: "日本+& /".into(),
            role: Some("r".into()),
        };
        for logging in [None, Some(target)].map(|enabled| LoggingConfiguration { enabled }) {
            assert_eq!(LoggingConfiguration::parse(logging.to_xml().as_bytes()), Ok(logging));
        }
        for requester in [true, false] {
            let payment = RequestPaymentConfiguration { requester };
            assert_eq!(
                RequestPaymentConfiguration::parse(payment.to_xml().as_bytes()),
                Ok(payment)
            );
            let block = PublicAccessBlockConfiguration { block: requester };
            assert_eq!(PublicAccessBlockConfiguration::parse(block.to_xml().as_bytes()), Ok(block));
            let quota = QuotaConfiguration { bytes: 1 << 40, strict: requester };
            assert_eq!(QuotaConfiguration::parse(quota.to_xml(Some(7)).as_bytes()), Ok(quota));
        }
    }

    #[test]
    fn absurd_values_are_refused() {
        let quota = |text: &str| {
            let text = format!("<QuotaConfiguration>{text}</QuotaConfiguration>");
            QuotaConfiguration::parse(text.as_bytes()).unwrap_err().code()
        };
        let mode = "<Mode>Strict</Mode>";
        for bytes in ["0", "-1", "x", "9223372036854775808", "1.5"] {
            let text = format!("<StorageQuota>{bytes}</StorageQuota>{mode}");
            assert_eq!(quota(&text), ErrorCode::InvalidArgument, "{bytes}");
        }
        assert_eq!(quota(mode), ErrorCode::MalformedXML);
        let lower = "<StorageQuota>1</StorageQuota><Mode>strict</Mode>";
        assert_eq!(quota(lower), ErrorCode::InvalidArgument);
        let payer =
            b"<RequestPaymentConfiguration><Payer>requester</Payer></RequestPaymentConfiguration>";
        let error = RequestPaymentConfiguration::parse(payer).unwrap_err();
        assert_eq!((error.code(), error.ec()), (ErrorCode::MalformedXML, Some("0015-00000231")));
        let block = b"<PublicAccessBlockConfiguration/>";
        assert!(PublicAccessBlockConfiguration::parse(block).is_err());
    }
}
