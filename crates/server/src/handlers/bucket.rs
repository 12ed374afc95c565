//! Operations on the service and on buckets.

use http::{HeaderValue, StatusCode, header};
use ossia_objects::{Bucket, BucketError, ClassStat, CreateBucketInput, ListBucketsInput};
use ossia_protocol::{
    attributes::{self, BucketAcl, StorageClass},
    error::{EC_BUCKET_XML, ErrorCode, OssError},
    names::BucketName,
    xml::{
        AccessControlPolicy, AccessMonitorConfiguration, BucketInfo, BucketStat, BucketSummary,
        BucketsPage, ClassStat as WireClassStat, CreateBucketConfiguration, ListBucketsOutput,
        ListLiveChannelOutput, LocationConstraint, Owner,
    },
};

use super::{
    error as errors,
    fields::seconds,
    list::{max_keys, text},
    upload::small_body,
};
use crate::{
    auth::HeaderView,
    http::Reply,
    service::{Call, is_reserved},
};

/// The longest body of PutBucket in bytes.
const CONFIGURATION_BYTES_MAX: usize = 16 << 10;
/// The one resource group.
const RESOURCE_GROUP: &str = "rg-default-id";

fn document(text: String) -> Reply {
    Reply::xml(StatusCode::OK, text)
}

fn owner(call: &Call<'_>) -> Owner {
    Owner::account(&call.app.account)
}

fn location(call: &Call<'_>) -> String {
    format!("oss-{}", call.app.config.region)
}

/// The bucket that the operation needs; it was looked up before.
pub(super) fn existing<'c>(call: &'c Call<'_>) -> Result<&'c Bucket, OssError> {
    call.bucket.as_ref().ok_or_else(|| OssError::new(ErrorCode::InternalError))
}

pub(super) async fn list_buckets(call: &Call<'_>) -> Result<Reply, OssError> {
    let (prefix, marker, max_keys) =
        (text(call, "prefix")?, text(call, "marker")?, max_keys(call)?);
    // No bucket's name can begin so: who asks, asks for something else, and one SDK's existence probe wants to hear of it.
    let legal =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if !prefix.bytes().all(legal) {
        let message = "The prefix is no part of a bucket's name.";
        return Err(OssError::invalid_argument("prefix", prefix, message));
    }
    let limit = usize::try_from(max_keys).unwrap_or(usize::MAX);
    let input = ListBucketsInput {
        prefix: prefix.clone(),
        marker: (!marker.is_empty()).then(|| marker.clone()),
        limit,
    };
    let tag = tag_filter(call)?;
    let filtered_by_tag = tag.is_some();
    let mut output = match tag {
        Some(tag) => list_tagged(call, input, tag).await?,
        None => {
            let listed = call.app.objects.list_buckets(input).await;
            listed.map_err(|failure| errors::failure(&failure))?
        }
    };
    if !in_resource_group(call)? {
        output.buckets.clear();
        output.truncated = false;
    }
    let filtered = ["prefix", "marker", "max-keys"]
        .iter()
        .any(|name| call.query.get_bytes(name).is_some_and(|value| !value.is_empty()));
    let next_marker = output.next_marker.filter(|_| output.truncated);
    let page = (filtered || filtered_by_tag || output.truncated).then_some(BucketsPage {
        prefix,
        marker,
        max_keys,
        next_marker,
    });
    let mut buckets: Vec<_> = output.buckets.iter().map(|bucket| summary(call, bucket)).collect();
    if filtered_by_tag {
        for (bucket, listed) in buckets.iter_mut().zip(&output.buckets) {
            let rules = call.app.objects.rules(&listed.name).await;
            let rules = rules.map_err(|failure| errors::failure(&failure))?;
            let tags = rules.tags.tags.iter();
            bucket.tags = tags.map(|tag| (tag.key.clone(), tag.value.clone())).collect();
        }
    }
    Ok(document(ListBucketsOutput { owner: owner(call), page, buckets }.to_xml()))
}

fn summary(call: &Call<'_>, bucket: &Bucket) -> BucketSummary {
    BucketSummary {
        name: bucket.name.as_str().to_owned(),
        creation_date: seconds(bucket.created),
        extranet_endpoint: call.app.endpoints.0.clone(),
        intranet_endpoint: call.app.endpoints.1.clone(),
        location: location(call),
        region: call.app.config.region.clone(),
        storage_class: bucket.storage_class.as_str().into(),
        resource_group_id: Some(RESOURCE_GROUP.to_owned()),
        tags: Vec::new(),
    }
}

/// Every bucket is in the default resource group; an absent header means all groups, a blank one the default.
fn in_resource_group(call: &Call<'_>) -> Result<bool, OssError> {
    match call.header_text("x-oss-resource-group-id") {
        None | Some(RESOURCE_GROUP) => Ok(true),
        Some(group) if group.starts_with("rg-") => Ok(false),
        Some(group) => {
            let message = "The resource group id is invalid.";
            Err(OssError::invalid_argument("x-oss-resource-group-id", group, message)
                .with_ec("0017-00000138"))
        }
    }
}

/// Tags that a bucket must all have; where no value is named, whatever it is.
type TagFilter = Vec<(String, Option<String>)>;

/// The tags that a listing is filtered by: `tag-key` with or without `tag-value`, or `tagging="key":"value"`, several with commas.
fn tag_filter(call: &Call<'_>) -> Result<Option<TagFilter>, OssError> {
    let (key, value) = (text(call, "tag-key")?, text(call, "tag-value")?);
    if !key.is_empty() {
        return Ok(Some(vec![(key, Some(value).filter(|value| !value.is_empty()))]));
    }
    if !value.is_empty() {
        return Err(OssError::invalid_argument("tag-value", value, "The tag key is missing."));
    }
    let pair = text(call, "tagging")?;
    if pair.is_empty() {
        return Ok(None);
    }
    let parts = pair.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let one = |pair: &str| {
        let (key, value) = pair.split_once("\":\"")?;
        Some((key.to_owned(), Some(value.to_owned())))
    };
    match parts.and_then(|parts| parts.split("\",\"").map(one).collect()) {
        Some(tags) => Ok(Some(tags)),
        None => Err(OssError::invalid_argument("tagging", pair, "The tag is not valid.")),
    }
}

/// A page of the buckets that have these tags. The buckets of an account are few: they are all looked at.
async fn list_tagged(
    call: &Call<'_>,
    mut input: ListBucketsInput,
    filter: TagFilter,
) -> Result<ossia_objects::ListBucketsOutput, OssError> {
    let objects = &call.app.objects;
    let limit = std::mem::replace(&mut input.limit, 1_000);
    let mut output = ossia_objects::ListBucketsOutput::default();
    loop {
        let page = objects.list_buckets(input.clone()).await;
        let page = page.map_err(|failure| errors::failure(&failure))?;
        for bucket in page.buckets {
            let rules = objects.rules(&bucket.name).await;
            let rules = rules.map_err(|failure| errors::failure(&failure))?;
            let has = |(key, value): &(String, Option<String>)| {
                rules.tags.tags.iter().any(|tag| {
                    tag.key == *key && value.as_ref().is_none_or(|value| tag.value == *value)
                })
            };
            if !filter.iter().all(has) {
                continue;
            }
            if output.buckets.len() == limit {
                output.truncated = true;
                output.next_marker =
                    output.buckets.last().map(|last| last.name.as_str().to_owned());
                return Ok(output);
            }
            output.buckets.push(bucket);
        }
        if page.next_marker.is_none() {
            return Ok(output);
        }
        input.marker = page.next_marker;
    }
}

pub(super) async fn put_bucket(call: &Call<'_>) -> Result<Reply, OssError> {
    let name = call.bucket_name()?;
    let acl = attributes::bucket_acl(&HeaderView(call.headers()))?;
    if call.header_text("x-oss-hns-status").is_some_and(|v| v.eq_ignore_ascii_case("enabled")) {
        return Err(OssError::new(ErrorCode::OperationNotSupported)
            .with_field("Detail", "Hierarchical namespaces are not supported."));
    }
    check_block(call, &name, acl).await?;
    let configuration = CreateBucketConfiguration::parse(
        &configuration_body(call, CONFIGURATION_BYTES_MAX).await?,
    )?;
    if let Some(asked) = &configuration.location
        && !call.app.config.is_at(asked)
    {
        return Err(OssError::new(ErrorCode::InvalidLocationConstraint)
            .with_field("LocationConstraint", asked));
    }
    let encrypted = attributes::encryption(&HeaderView(call.headers()))?;
    let input = CreateBucketInput {
        name: name.clone(),
        acl,
        storage_class: configuration.storage_class,
        redundancy: configuration.data_redundancy_type,
    };
    let made = create(call, input).await?;
    if encrypted {
        // Also where the bucket is there already: the first try may have come so far and not been answered.
        super::config::encrypt(call, &name).await?;
    }
    Ok(made)
}

/// Refuses a public ACL where public access is blocked, by the bucket or by the account.
async fn check_block(
    call: &Call<'_>,
    name: &BucketName,
    acl: Option<BucketAcl>,
) -> Result<(), OssError> {
    if !matches!(acl, Some(BucketAcl::PublicRead | BucketAcl::PublicReadWrite)) {
        return Ok(());
    }
    let rules = call.app.objects.rules(name).await;
    if rules.map_err(|failure| errors::failure(&failure))?.blocked {
        return Err(OssError::new(ErrorCode::AccessDenied)
            .with_message("Public access is blocked: the ACL must not be public.")
            .with_field("BucketName", name.as_str()));
    }
    Ok(())
}

async fn create(call: &Call<'_>, input: CreateBucketInput) -> Result<Reply, OssError> {
    let name = input.name.clone();
    let objects = &call.app.objects;
    if is_reserved(&name) && objects.bucket(&name).await == Err(BucketError::NoSuchBucket) {
        return Err(
            OssError::new(ErrorCode::BucketAlreadyExists).with_field("BucketName", name.as_str())
        );
    }
    objects.create_bucket(input).await.map_err(|error| errors::create_bucket(error, &name))?;
    Ok(located(&name))
}

/// 200 with the bucket's `Location`, without which one SDK takes the bucket for unnamed.
fn located(name: &BucketName) -> Reply {
    let value = HeaderValue::try_from(format!("/{name}")).expect("a bucket's name is ASCII");
    Reply::ok().with(header::LOCATION, value)
}

/// The body of a bucket configuration.
pub(super) async fn configuration_body(
    call: &Call<'_>,
    limit: usize,
) -> Result<bytes::Bytes, OssError> {
    let too_long = || OssError::malformed_xml("the document is too long").with_ec(EC_BUCKET_XML);
    small_body(call, limit, too_long).await
}

pub(super) async fn delete_bucket(call: &Call<'_>) -> Result<Reply, OssError> {
    let name = call.bucket_name()?;
    call.app
        .objects
        .delete_bucket(&name)
        .await
        .map_err(|error| errors::delete_bucket(error, &name))?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(super) fn get_bucket_info(call: &Call<'_>) -> Result<Reply, OssError> {
    let bucket = existing(call)?;
    let log = call.rules.logging.enabled.as_ref();
    let info = BucketInfo {
        name: bucket.name.as_str().to_owned(),
        creation_date: seconds(bucket.created),
        extranet_endpoint: call.app.endpoints.0.clone(),
        intranet_endpoint: call.app.endpoints.1.clone(),
        location: location(call),
        storage_class: bucket.storage_class,
        data_redundancy_type: bucket.redundancy,
        versioning: bucket.versioning,
        block_public_access: call.rules.bucket_blocked,
        owner: owner(call),
        acl: bucket.acl,
        sse_algorithm: call.rules.encrypted.then(|| "AES256".to_owned()),
        log_bucket: log.map(|log| log.bucket.as_str().to_owned()).unwrap_or_default(),
        log_prefix: log.map(|log| log.prefix.clone()).unwrap_or_default(),
    };
    Ok(document(info.to_xml()))
}

pub(super) fn get_bucket_location(call: &Call<'_>) -> Result<Reply, OssError> {
    Ok(document(LocationConstraint(location(call)).to_xml()))
}

/// Creates the bucket if there is none, as OSS does. Without the header nothing changes.
pub(super) async fn put_bucket_acl(call: &Call<'_>) -> Result<Reply, OssError> {
    let name = call.bucket_name()?;
    let objects = &call.app.objects;
    let acl = attributes::bucket_acl(&HeaderView(call.headers()))?;
    check_block(call, &name, acl).await?;
    let changed = match acl {
        Some(acl) => objects.set_bucket_acl(&name, acl).await,
        None => objects.bucket(&name).await.map(|_| ()),
    };
    match (changed, acl) {
        (Ok(()), _) => Ok(located(&name)),
        (Err(BucketError::NoSuchBucket), Some(_)) => {
            // It may have been there when that was decided.
            call.check_access().await?;
            let input = CreateBucketInput { name, acl, storage_class: None, redundancy: None };
            create(call, input).await
        }
        (Err(error), _) => Err(errors::bucket(error, &name)),
    }
}

pub(super) fn get_bucket_acl(call: &Call<'_>) -> Result<Reply, OssError> {
    let grant = existing(call)?.acl.as_str().into();
    Ok(document(AccessControlPolicy { owner: owner(call), grant }.to_xml()))
}

pub(super) async fn get_bucket_stat(call: &Call<'_>) -> Result<Reply, OssError> {
    let name = call.bucket_name()?;
    let stat =
        call.app.objects.bucket_stat(&name).await.map_err(|error| errors::bucket(error, &name))?;
    let class = |class: StorageClass| {
        let ClassStat { object_count, storage } =
            stat.classes.get(&class).copied().unwrap_or_default();
        WireClassStat { object_count, storage }
    };
    let document_of = BucketStat {
        storage: stat.storage,
        object_count: stat.object_count,
        multipart_upload_count: stat.multipart_upload_count,
        multipart_part_count: stat.multipart_part_count,
        delete_marker_count: stat.delete_marker_count,
        last_modified_time: seconds(stat.gathered),
        standard: class(StorageClass::Standard),
        infrequent_access: class(StorageClass::Ia),
        archive: class(StorageClass::Archive),
        cold_archive: class(StorageClass::ColdArchive),
        deep_cold_archive: class(StorageClass::DeepColdArchive),
    };
    Ok(document(document_of.to_xml()))
}

/// Always off.
pub(super) fn get_bucket_access_monitor() -> Result<Reply, OssError> {
    Ok(document(AccessMonitorConfiguration.to_xml()))
}

/// Always empty. Clean-ups ask before they delete a bucket.
pub(super) fn list_live_channel(call: &Call<'_>) -> Result<Reply, OssError> {
    let output = ListLiveChannelOutput {
        prefix: text(call, "prefix")?,
        marker: text(call, "marker")?,
        max_keys: max_keys(call)?,
    };
    Ok(document(output.to_xml()))
}
