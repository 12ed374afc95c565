//! What requests to a bucket are decided by, read once.

use std::sync::Arc;

use ossia_protocol::policy::{Policy, PolicyKind};
use ossia_protocol::xml::config::{
    CorsConfiguration, EncryptionConfiguration, LifecycleConfiguration, LoggingConfiguration,
    OverwriteConfiguration, PublicAccessBlockConfiguration, QuotaConfiguration,
    RefererConfiguration, RequestPaymentConfiguration, Tagging, WebsiteConfiguration,
};

use super::ConfigKind;
use crate::{
    Failure,
    words::{BucketAcl, ObjectAcl},
};

/// The configurations of a bucket that requests are decided by. The default is a bucket without any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketRules {
    /// Tags of the bucket.
    pub tags: Tagging,
    /// Pages of which origins may use it.
    pub cors: Option<CorsConfiguration>,
    /// Pages that may refer to it.
    pub referer: Option<RefererConfiguration>,
    /// How it is shown as a site.
    pub website: Option<WebsiteConfiguration>,
    /// Where its access logs go.
    pub logging: LoggingConfiguration,
    /// Who pays for requests.
    pub payment: RequestPaymentConfiguration,
    /// Whether public access is switched off, by the bucket or by the account.
    pub blocked: bool,
    /// Whether the bucket says so itself.
    pub bucket_blocked: bool,
    /// What must not be overwritten.
    pub overwrite: OverwriteConfiguration,
    /// How much it may hold.
    pub quota: Option<QuotaConfiguration>,
    /// When its objects expire.
    pub lifecycle: Option<Arc<LifecycleConfiguration>>,
    /// Its policy.
    pub policy: Option<Arc<Policy>>,
    /// Whether objects are encrypted that do not say.
    pub encrypted: bool,
    /// The bytes of all documents.
    pub(crate) bytes: usize,
}

impl BucketRules {
    /// The bucket's ACL as it counts.
    pub fn effective_bucket_acl(&self, acl: BucketAcl) -> BucketAcl {
        if self.blocked { BucketAcl::Private } else { acl }
    }

    /// An object's ACL as it counts.
    pub fn effective_object_acl(&self, acl: ObjectAcl) -> ObjectAcl {
        match acl {
            ObjectAcl::PublicRead | ObjectAcl::PublicReadWrite if self.blocked => {
                ObjectAcl::Private
            }
            acl => acl,
        }
    }

    /// Takes a kept document in. Those of the account come first, those of the bucket after them.
    pub(super) fn add(&mut self, kind: ConfigKind, document: &[u8]) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(document.len());
        self.read(kind, document).map_err(|error| {
            Failure::Damaged(format!("a bucket's {kind:?} cannot be read: {error}"))
        })
    }

    fn read(
        &mut self,
        kind: ConfigKind,
        document: &[u8],
    ) -> Result<(), ossia_protocol::error::OssError> {
        match kind {
            ConfigKind::Tags => self.tags = Tagging::parse_of_bucket(document)?,
            ConfigKind::Cors => self.cors = Some(CorsConfiguration::parse(document)?),
            ConfigKind::Referer => self.referer = Some(RefererConfiguration::parse(document)?),
            ConfigKind::Website => self.website = Some(WebsiteConfiguration::parse(document)?),
            ConfigKind::Logging => self.logging = LoggingConfiguration::parse(document)?,
            ConfigKind::RequestPayment => {
                self.payment = RequestPaymentConfiguration::parse(document)?;
            }
            ConfigKind::PublicAccessBlock => {
                self.bucket_blocked = PublicAccessBlockConfiguration::parse(document)?.block;
                self.blocked |= self.bucket_blocked;
            }
            ConfigKind::Overwrite => {
                self.overwrite = OverwriteConfiguration::parse(document, String::new)?;
            }
            ConfigKind::Quota => self.quota = Some(QuotaConfiguration::parse(document)?),
            ConfigKind::Encryption => {
                EncryptionConfiguration::parse(document)?;
                self.encrypted = true;
            }
            ConfigKind::Policy => {
                let text = String::from_utf8_lossy(document);
                self.policy = Some(Arc::new(Policy::of_stored(&text, PolicyKind::Bucket)));
            }
            ConfigKind::Lifecycle => {
                let rules = LifecycleConfiguration::parse(document, true, String::new)?;
                self.lifecycle = Some(Arc::new(rules));
            }
            // The background's.
            ConfigKind::Inventory => {}
        }
        Ok(())
    }
}
