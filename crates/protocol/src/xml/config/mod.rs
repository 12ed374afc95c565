//! Documents of configurations: what a bucket or an object is set to, as it is sent, kept and sent back.
//!
//! A configuration is kept in the one form that `to_xml` writes: only elements that the protocol names, in their documented order,
//! whatever the client's writer made of it. So what is read back is the same for every SDK, and nothing unknown is ever echoed.
//!
//! | file | owns |
//! |---|---|
//! | `schema.rs` | grammars as tables, and the writer that keeps what they name |
//! | `tagging.rs` | tags of objects and buckets |
//! | `cors.rs`, `referer.rs`, `website.rs` | who may look, and what is shown |
//! | `lifecycle.rs`, `inventory.rs` | work that is done in the background |
//! | `retention.rs` | retention, legal hold, restores |
//! | `overwrite.rs`, `small.rs` | the rest |

mod cors;
mod inventory;
mod lifecycle;
mod overwrite;
mod referer;
mod retention;
mod schema;
mod small;
mod tagging;
mod website;

pub use self::cors::{CORS_RULES_MAX, CorsConfiguration, CorsRule};
pub use self::inventory::{Frequency, InventoryConfiguration, InventoryRule};
pub use self::lifecycle::{
    LIFECYCLE_RULES_MAX, LifecycleConfiguration, LifecycleRule, NotFilter, Transition, When,
};
pub use self::overwrite::{OVERWRITE_RULES_MAX, OverwriteConfiguration, OverwriteRule};
pub use self::referer::RefererConfiguration;
pub use self::retention::{
    ObjectWormConfiguration, RETENTION_DAYS_MAX, RestoreRequest, RetentionDocument, Tier,
    WormConfiguration, WormMode, WormPeriod, legal_hold, parse_extend_worm, parse_initiate_worm,
    parse_legal_hold,
};
pub use self::small::{
    EncryptionConfiguration, LoggingConfiguration, LoggingTarget, PublicAccessBlockConfiguration,
    QuotaConfiguration, RegionInfo, RequestPaymentConfiguration, policy_status, region_list,
};
pub use self::tagging::{BUCKET_TAGS_MAX, Tagging};
pub use self::website::{
    ErrorDocument, HeaderCondition, IndexDocument, Redirect, RedirectKind, RoutingRule,
    WebsiteConfiguration,
};
