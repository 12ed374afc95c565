//! Configurations of buckets: documents that are checked, kept and told. What they decide is decided in `service.rs` and by the
//! handlers of what they are about.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use ossia_objects::{BucketError, ConfigEntries, ConfigError, ConfigKind};
use ossia_protocol::{
    error::{EC_BUCKET_XML, ErrorCode, OssError},
    names::BucketName,
    operation::Operation,
    policy::{BUCKET_POLICY_BYTES_MAX, Policy, PolicyKind},
    query::Query,
    xml::config::{
        CorsConfiguration, EncryptionConfiguration, InventoryConfiguration, InventoryRule,
        LifecycleConfiguration, LoggingConfiguration, OverwriteConfiguration,
        PublicAccessBlockConfiguration, QuotaConfiguration, RefererConfiguration, RegionInfo,
        RequestPaymentConfiguration, Tagging, WebsiteConfiguration, policy_status, region_list,
    },
};

use super::{bucket::configuration_body, error as errors, upload::small_body};
use crate::{access_log, http::Reply, inventory, service::Call};

/// Longest documents, in bytes: of most kinds, and of those with up to 1,000 rules.
const BYTES_MAX: usize = 64 << 10;
const RULES_BYTES_MAX: usize = 512 << 10;
/// Inventories of one bucket, and of one page of their list.
const INVENTORIES_MAX: usize = 1_000;
const INVENTORY_PAGE: usize = 100;

/// Runs an operation on a configuration.
pub(super) async fn handle(call: &Call<'_>) -> Result<Reply, OssError> {
    use ConfigKind as Kind;
    use Operation::*;
    match call.operation {
        PutBucketTags => put(call, Kind::Tags, |b| Ok(Tagging::parse_of_bucket(b)?.to_xml())).await,
        GetBucketTags => get_or(call, Kind::Tags, || Ok(Tagging::default().to_xml())).await,
        DeleteBucketTags => delete_tags(call).await,
        PutBucketCors => put(call, Kind::Cors, |b| Ok(CorsConfiguration::parse(b)?.to_xml())).await,
        GetBucketCors => get_or(call, Kind::Cors, absent(ErrorCode::NoSuchCORSConfiguration)).await,
        DeleteBucketCors => remove(call, Kind::Cors).await,
        PutBucketReferer => {
            put(call, Kind::Referer, |b| Ok(RefererConfiguration::parse(b)?.to_xml())).await
        }
        GetBucketReferer => {
            get_or(call, Kind::Referer, || Ok(RefererConfiguration::default().to_xml())).await
        }
        PutBucketWebsite => {
            put(call, Kind::Website, |b| Ok(WebsiteConfiguration::parse(b)?.document)).await
        }
        GetBucketWebsite => {
            get_or(call, Kind::Website, absent(ErrorCode::NoSuchWebsiteConfiguration)).await
        }
        DeleteBucketWebsite => remove(call, Kind::Website).await,
        PutBucketLifecycle => put_lifecycle(call).await,
        GetBucketLifecycle => {
            get_or(call, Kind::Lifecycle, absent(ErrorCode::NoSuchLifecycle)).await
        }
        DeleteBucketLifecycle => remove(call, Kind::Lifecycle).await,
        PutBucketLogging => put_logging(call).await,
        GetBucketLogging => {
            get_or(call, Kind::Logging, || Ok(LoggingConfiguration::default().to_xml())).await
        }
        DeleteBucketLogging => remove(call, Kind::Logging).await,
        PutBucketEncryption => {
            put(call, Kind::Encryption, |b| Ok(EncryptionConfiguration::parse(b)?.to_xml())).await
        }
        GetBucketEncryption => {
            let code = ErrorCode::NoSuchServerSideEncryptionRule;
            get_or(call, Kind::Encryption, absent(code)).await
        }
        DeleteBucketEncryption => remove(call, Kind::Encryption).await,
        PutBucketRequestPayment => {
            let parse = |b: &[u8]| Ok(RequestPaymentConfiguration::parse(b)?.to_xml());
            put(call, Kind::RequestPayment, parse).await
        }
        GetBucketRequestPayment => {
            let unset = || Ok(RequestPaymentConfiguration::default().to_xml());
            get_or(call, Kind::RequestPayment, unset).await
        }
        PutBucketInventory => put_inventory(call).await,
        GetBucketInventory => get_inventory(call).await,
        ListBucketInventory => list_inventory(call).await,
        DeleteBucketInventory => delete_inventory(call).await,
        PutBucketOverwriteConfig => {
            let parse = |b: &[u8]| Ok(OverwriteConfiguration::parse(b, new_id)?.to_xml());
            put_up_to(call, Kind::Overwrite, 4 * BYTES_MAX, parse).await
        }
        GetBucketOverwriteConfig => {
            get_or(call, Kind::Overwrite, absent(ErrorCode::NoSuchBucketOverwriteConfig)).await
        }
        DeleteBucketOverwriteConfig => remove(call, Kind::Overwrite).await,
        PutBucketPublicAccessBlock | PutPublicAccessBlock => {
            let parse = |b: &[u8]| Ok(PublicAccessBlockConfiguration::parse(b)?.to_xml());
            put(call, Kind::PublicAccessBlock, parse).await
        }
        GetBucketPublicAccessBlock | GetPublicAccessBlock => {
            let unset = || Ok(PublicAccessBlockConfiguration::default().to_xml());
            get_or(call, Kind::PublicAccessBlock, unset).await
        }
        DeleteBucketPublicAccessBlock | DeletePublicAccessBlock => {
            remove(call, Kind::PublicAccessBlock).await
        }
        PutBucketStorageQuota => {
            put(call, Kind::Quota, |b| Ok(QuotaConfiguration::parse(b)?.to_xml(None))).await
        }
        GetBucketStorageQuota => get_quota(call).await,
        DeleteBucketStorageQuota => remove(call, Kind::Quota).await,
        PutBucketPolicy => put_policy(call).await,
        GetBucketPolicy => get_policy(call).await,
        DeleteBucketPolicy => remove(call, Kind::Policy).await,
        GetBucketPolicyStatus => {
            let public = call.rules.policy.as_ref().is_some_and(|policy| policy.is_public());
            Ok(Reply::xml(StatusCode::OK, policy_status(public)))
        }
        DescribeRegions => describe_regions(call),
        other => Err(OssError::operation_not_implemented(other.name())),
    }
}

/// Names what the client did not.
fn new_id() -> String {
    let mut random = [0; 16];
    if let Err(error) = getrandom::fill(&mut random) {
        tracing::error!(%error, "no random bytes");
    }
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

fn refused(call: &Call<'_>, error: ConfigError) -> OssError {
    match error {
        ConfigError::NoSuchBucket => match call.bucket_name() {
            Ok(name) => OssError::no_such_bucket(name.as_str()),
            Err(error) => error,
        },
        ConfigError::Exists => OssError::new(ErrorCode::InventoryConfigurationAlreadyExists),
        ConfigError::TooMany if call.operation == Operation::PutBucketInventory => {
            OssError::new(ErrorCode::InventoryExceedLimit)
        }
        ConfigError::TooMany => {
            OssError::malformed_xml("the document is too long").with_ec(EC_BUCKET_XML)
        }
        ConfigError::Store(failure) => errors::failure(&failure),
    }
}

fn absent(code: ErrorCode) -> impl FnOnce() -> Result<String, OssError> {
    move || Err(OssError::new(code))
}

async fn entries(call: &Call<'_>, kind: ConfigKind) -> Result<ConfigEntries, OssError> {
    let bucket = call.bucket.as_ref().map(|bucket| &bucket.name);
    let entries = call.app.objects.configuration(bucket, kind).await;
    entries.map_err(|error| refused(call, error))
}

/// The one document of a kind.
async fn read(call: &Call<'_>, kind: ConfigKind) -> Result<Option<Bytes>, OssError> {
    Ok(entries(call, kind).await?.into_iter().next().map(|(_, document)| document))
}

async fn edit(
    call: &Call<'_>,
    kind: ConfigKind,
    edit: impl Fn(ConfigEntries) -> Result<ConfigEntries, ConfigError> + Send + Sync + 'static,
) -> Result<(), OssError> {
    let bucket = call.bucket.as_ref().map(|bucket| &bucket.name);
    let edited = call.app.objects.configure(bucket, kind, edit).await;
    edited.map_err(|error| refused(call, error))
}

async fn put(
    call: &Call<'_>,
    kind: ConfigKind,
    parse: impl FnOnce(&[u8]) -> Result<String, OssError>,
) -> Result<Reply, OssError> {
    put_up_to(call, kind, BYTES_MAX, parse).await
}

async fn put_up_to(
    call: &Call<'_>,
    kind: ConfigKind,
    limit: usize,
    parse: impl FnOnce(&[u8]) -> Result<String, OssError>,
) -> Result<Reply, OssError> {
    let document = parse(&configuration_body(call, limit).await?)?;
    store(call, kind, document.into()).await
}

async fn store(call: &Call<'_>, kind: ConfigKind, document: Bytes) -> Result<Reply, OssError> {
    edit(call, kind, move |_| Ok(vec![(String::new(), document.clone())])).await?;
    Ok(Reply::ok())
}

/// Has a bucket that was just made encrypt what is put in it.
pub(super) async fn encrypt(call: &Call<'_>, name: &BucketName) -> Result<(), OssError> {
    let document = Bytes::from(EncryptionConfiguration.to_xml());
    let edit = move |_| Ok(vec![(String::new(), document.clone())]);
    let edited = call.app.objects.configure(Some(name), ConfigKind::Encryption, edit).await;
    edited.map_err(|error| refused(call, error))
}

async fn remove(call: &Call<'_>, kind: ConfigKind) -> Result<Reply, OssError> {
    edit(call, kind, |_| Ok(Vec::new())).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn get_or(
    call: &Call<'_>,
    kind: ConfigKind,
    unset: impl FnOnce() -> Result<String, OssError>,
) -> Result<Reply, OssError> {
    let document = match read(call, kind).await? {
        Some(document) => document,
        None => unset()?.into(),
    };
    Ok(Reply::xml(StatusCode::OK, document))
}

/// All tags, or those that `?tagging=k1,k2` names.
async fn delete_tags(call: &Call<'_>) -> Result<Reply, OssError> {
    let named = call.query.get_bytes("tagging").unwrap_or_default();
    let named = String::from_utf8_lossy(named).into_owned();
    if named.is_empty() {
        return remove(call, ConfigKind::Tags).await;
    }
    edit(call, ConfigKind::Tags, move |entries| {
        let Some((_, document)) = entries.first() else { return Ok(Vec::new()) };
        // It was checked when it was put.
        let Ok(mut tagging) = Tagging::parse(document) else { return Ok(entries) };
        tagging.tags.retain(|tag| !named.split(',').any(|name| name == tag.key));
        if tagging.tags.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![(String::new(), tagging.to_xml().into())])
    })
    .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn put_lifecycle(call: &Call<'_>) -> Result<Reply, OssError> {
    let overlap = call.header_text("x-oss-allow-same-action-overlap");
    let overlap = overlap.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    put_up_to(call, ConfigKind::Lifecycle, RULES_BYTES_MAX, |body| {
        let lifecycle = LifecycleConfiguration::parse(body, overlap, new_id)?;
        // Not when it is read again: what was kept before this was asked stays readable.
        lifecycle.check_order_across()?;
        Ok(lifecycle.document)
    })
    .await
}

async fn put_logging(call: &Call<'_>) -> Result<Reply, OssError> {
    let logging = LoggingConfiguration::parse(&configuration_body(call, BYTES_MAX).await?)?;
    let Some(target) = &logging.enabled else {
        remove(call, ConfigKind::Logging).await?;
        return Ok(Reply::ok());
    };
    let source = call.bucket_name()?;
    let sample = access_log::sample(target, source.as_str(), call.app.clock.now_ms());
    call.permit_target(&target.bucket, &sample).await?;
    match call.app.objects.bucket(&target.bucket).await {
        Ok(_) => store(call, ConfigKind::Logging, logging.to_xml().into()).await,
        Err(BucketError::NoSuchBucket) => {
            Err(OssError::new(ErrorCode::InvalidTargetBucketForLogging)
                .with_field("TargetBucket", target.bucket.as_str()))
        }
        Err(error) => Err(errors::bucket(error, &target.bucket)),
    }
}

/// The inventory that the query names.
fn inventory_id(query: &Query) -> Result<String, OssError> {
    match query.get("inventoryId").filter(|id| !id.is_empty()) {
        Some(id) => Ok(id.to_owned()),
        None => Err(OssError::invalid_argument("inventoryId", "", "The inventory id is missing.")),
    }
}

async fn put_inventory(call: &Call<'_>) -> Result<Reply, OssError> {
    let id = inventory_id(call.query)?;
    let inventory = InventoryConfiguration::parse(&configuration_body(call, BYTES_MAX).await?)?;
    if inventory.id != id {
        let message = "The id in the document is not that of the request.";
        return Err(OssError::invalid_argument("Id", inventory.id, message));
    }
    let rule = InventoryRule::parse(inventory.element.as_bytes())?;
    // In the cloud a role of the owner's writes there; here the server does, for whoever tells it to.
    let sample = inventory::sample(&call.bucket_name()?, &rule, call.app.clock.now_ms());
    let destination = rule.destination;
    call.permit_target(&destination, &sample).await?;
    match call.app.objects.bucket(&destination).await {
        Ok(_) => {}
        Err(BucketError::NoSuchBucket) => {
            let message = "The destination bucket does not exist.";
            return Err(OssError::invalid_argument("Bucket", inventory.destination, message));
        }
        Err(error) => return Err(errors::bucket(error, &destination)),
    }
    let element = Bytes::from(inventory.element);
    edit(call, ConfigKind::Inventory, move |mut entries| {
        match entries.binary_search_by(|(known, _)| known.as_str().cmp(&id)) {
            Ok(_) => Err(ConfigError::Exists),
            Err(_) if entries.len() >= INVENTORIES_MAX => Err(ConfigError::TooMany),
            Err(at) => {
                entries.insert(at, (id.clone(), element.clone()));
                Ok(entries)
            }
        }
    })
    .await?;
    Ok(Reply::ok())
}

async fn get_inventory(call: &Call<'_>) -> Result<Reply, OssError> {
    let id = inventory_id(call.query)?;
    let entries = entries(call, ConfigKind::Inventory).await?;
    let found = entries.into_iter().find(|(known, _)| *known == id);
    let (_, element) = found.ok_or_else(|| OssError::new(ErrorCode::NoSuchInventory))?;
    let document = InventoryConfiguration::to_xml(&String::from_utf8_lossy(&element));
    Ok(Reply::xml(StatusCode::OK, document))
}

async fn list_inventory(call: &Call<'_>) -> Result<Reply, OssError> {
    let after = call.query.get("continuation-token").unwrap_or_default().to_owned();
    let entries = entries(call, ConfigKind::Inventory).await?;
    if entries.is_empty() {
        return Err(OssError::new(ErrorCode::NoSuchInventory));
    }
    let token = Some(after.as_str()).filter(|token| !token.is_empty());
    let mut rest = entries.into_iter().filter(|(id, _)| *id > after).peekable();
    let page: Vec<(String, Bytes)> = rest.by_ref().take(INVENTORY_PAGE).collect();
    let next = rest.peek().and_then(|_| page.last()).map(|(id, _)| id.clone());
    let elements: Vec<String> =
        page.iter().map(|(_, element)| String::from_utf8_lossy(element).into_owned()).collect();
    let document = InventoryConfiguration::list(&elements, token, next.as_deref());
    Ok(Reply::xml(StatusCode::OK, document))
}

async fn delete_inventory(call: &Call<'_>) -> Result<Reply, OssError> {
    let id = inventory_id(call.query)?;
    edit(call, ConfigKind::Inventory, move |mut entries| {
        entries.retain(|(known, _)| *known != id);
        Ok(entries)
    })
    .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn get_quota(call: &Call<'_>) -> Result<Reply, OssError> {
    let document = read(call, ConfigKind::Quota).await?;
    let document = document.ok_or_else(|| OssError::new(ErrorCode::NoSuchQuotaConfiguration))?;
    let quota = QuotaConfiguration::parse(&document)?;
    let name = call.bucket_name()?;
    let stat = call.app.objects.bucket_stat(&name).await;
    let stat = stat.map_err(|error| errors::bucket(error, &name))?;
    Ok(Reply::xml(StatusCode::OK, quota.to_xml(Some(stat.storage))))
}

async fn put_policy(call: &Call<'_>) -> Result<Reply, OssError> {
    let invalid = |what: String| {
        OssError::new(ErrorCode::InvalidPolicyDocument)
            .with_message(format!("Invalid Policy: {what}."))
    };
    let too_long = || invalid(format!("the policy is longer than {BUCKET_POLICY_BYTES_MAX} bytes"));
    let body = small_body(call, BUCKET_POLICY_BYTES_MAX, too_long).await?;
    let text = std::str::from_utf8(&body).map_err(|_| invalid("it is not UTF-8".to_owned()))?;
    let policy = Policy::parse(text, PolicyKind::Bucket);
    let policy = policy.map_err(|error| invalid(error.to_string()))?;
    if let Some(outside) = policy.resource_outside(call.bucket_name()?.as_str()) {
        return Err(invalid(format!("the resource {outside:?} is not in this bucket")));
    }
    if policy.is_public() && call.rules.blocked {
        return Err(OssError::new(ErrorCode::AccessDenied)
            .with_message("Public access is blocked: the policy must not be public."));
    }
    store(call, ConfigKind::Policy, body).await
}

/// Byte for byte as it was put.
async fn get_policy(call: &Call<'_>) -> Result<Reply, OssError> {
    let policy = read(call, ConfigKind::Policy).await?;
    let policy = policy.ok_or_else(|| OssError::new(ErrorCode::NoSuchBucketPolicy))?;
    Ok(Reply::whole(StatusCode::OK, policy)
        .with(header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
}

fn describe_regions(call: &Call<'_>) -> Result<Reply, OssError> {
    let region = format!("oss-{}", call.app.config.region);
    match call.query.get("regions").filter(|asked| !asked.is_empty()) {
        Some(asked) if asked != region => Err(OssError::new(ErrorCode::NoSuchRegion)),
        _ => {
            let (internet, internal) = call.app.endpoints.clone();
            // A server with a name of its own has one for everything.
            let accelerate_endpoint = match call.app.config.domain.is_empty() {
                true => "oss-accelerate.aliyuncs.com".to_owned(),
                false => internet.clone(),
            };
            let info = RegionInfo {
                region,
                accelerate_endpoint,
                internet_endpoint: internet,
                internal_endpoint: internal,
            };
            Ok(Reply::xml(StatusCode::OK, region_list(&[info])))
        }
    }
}
