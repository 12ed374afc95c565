//! Retention of buckets and objects, legal hold, and restores of archived objects.

use http::{HeaderName, HeaderValue, StatusCode};
use ossia_objects::{
    DefaultRetention, ObjectRetention, ObjectWormRules, RestoreError, RestoreInput, RestoreTier,
    RetentionChange, RetentionError, RetentionMode, RetentionPeriod, WormError,
};
use ossia_protocol::{
    error::{EC_DELETE_XML, ErrorCode, OssError},
    operation::Operation,
    xml::config::{
        ObjectWormConfiguration, RestoreRequest, RetentionDocument, Tier, WormConfiguration,
        WormMode, WormPeriod, legal_hold, parse_extend_worm, parse_initiate_worm, parse_legal_hold,
    },
};

use super::{
    attributes::refused, bucket::configuration_body, delete::bypasses_governance, error as errors,
    fields, upload::small_body, versions::version,
};
use crate::{access::FromBody, http::Reply, service::Call};

const WORM_ID: HeaderName = HeaderName::from_static("x-oss-worm-id");
const RESTORE_PRIORITY: HeaderName = HeaderName::from_static("x-oss-object-restore-priority");
/// Longest documents, in bytes.
const BYTES_MAX: usize = 16 << 10;
/// Of what is asked of an object while it is restored; documented for a lower priority, and SDKs want some number.
const EC_RESTORING: &str = "0016-00000715";

/// Runs an operation on retention.
pub(super) async fn handle(call: &Call<'_>) -> Result<Reply, OssError> {
    use Operation::*;
    match call.operation {
        InitiateBucketWorm => initiate(call).await,
        AbortBucketWorm => {
            let aborted = call.app.objects.abort_worm(&call.bucket_name()?).await;
            aborted.map_err(|error| worm(call, error))?;
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        CompleteBucketWorm => {
            let locked = call.app.objects.lock_worm(&call.bucket_name()?, worm_id(call)).await;
            locked.map_err(|error| worm(call, error))?;
            Ok(Reply::ok())
        }
        ExtendBucketWorm => {
            let days = parse_extend_worm(&configuration_body(call, BYTES_MAX).await?)?;
            let bucket = call.bucket_name()?;
            let extended = call.app.objects.extend_worm(&bucket, worm_id(call), days).await;
            extended.map_err(|error| worm(call, error))?;
            Ok(Reply::ok())
        }
        GetBucketWorm => get_bucket_worm(call).await,
        PutBucketObjectWormConfiguration => put_object_worm(call).await,
        GetBucketObjectWormConfiguration => get_object_worm(call).await,
        PutObjectRetention => put_retention(call).await,
        GetObjectRetention => get_retention(call).await,
        PutObjectLegalHold => {
            let held = parse_legal_hold(&configuration_body(call, BYTES_MAX).await?)?;
            change(call, RetentionChange::Hold(held)).await
        }
        GetObjectLegalHold => {
            let info = super::attributes::info(call).await?;
            let reply = Reply::xml(StatusCode::OK, legal_hold(info.lifetime.held()));
            Ok(super::attributes::versioned(reply, info.version_id))
        }
        RestoreObject => restore(call).await,
        CleanRestoredObject => clean(call).await,
        other => Err(OssError::operation_not_implemented(other.name())),
    }
}

fn worm_id<'a>(call: &'a Call<'_>) -> &'a str {
    call.query.get("wormId").unwrap_or_default()
}

fn worm(call: &Call<'_>, error: WormError) -> OssError {
    let objects = matches!(
        call.operation,
        Operation::PutBucketObjectWormConfiguration | Operation::GetBucketObjectWormConfiguration
    );
    match error {
        WormError::NoSuchBucket => match call.bucket_name() {
            Ok(name) => OssError::no_such_bucket(name.as_str()),
            Err(error) => error,
        },
        WormError::Exists => OssError::new(ErrorCode::WORMConfigurationAlreadyExists),
        WormError::NotFound if objects => OssError::new(ErrorCode::NoSuchObjectWormConfiguration),
        WormError::NotFound if call.query.get_bytes("wormId").is_some() => {
            OssError::new(ErrorCode::NoSuchWORMConfiguration)
                .with_message("The specified WORM ID does not exist.")
        }
        WormError::NotFound => OssError::new(ErrorCode::NoSuchWORMConfiguration),
        WormError::Locked => OssError::new(ErrorCode::WORMConfigurationLocked),
        WormError::NotLocked | WormError::Shorter => {
            OssError::new(ErrorCode::InvalidWORMConfiguration)
                .with_field("Detail", error.to_string())
        }
        WormError::Excluded(why) => OssError::new(ErrorCode::InvalidArgument)
            .with_message("The bucket cannot be retained so.")
            .with_field("Detail", why),
        WormError::Store(failure) => errors::failure(&failure),
    }
}

async fn initiate(call: &Call<'_>) -> Result<Reply, OssError> {
    let days = parse_initiate_worm(&configuration_body(call, BYTES_MAX).await?)?;
    let begun = call.app.objects.initiate_worm(&call.bucket_name()?, days).await;
    let id = begun.map_err(|error| worm(call, error))?;
    let id = HeaderValue::try_from(id).map_err(|_| OssError::new(ErrorCode::InternalError))?;
    Ok(Reply::ok().with(WORM_ID, id))
}

async fn get_bucket_worm(call: &Call<'_>) -> Result<Reply, OssError> {
    let found = call.app.objects.bucket_worm(&call.bucket_name()?).await;
    let found = found.map_err(|error| worm(call, error))?;
    let document = WormConfiguration {
        id: found.id,
        locked: found.locked,
        days: found.days,
        created: fields::seconds(found.created),
    };
    Ok(Reply::xml(StatusCode::OK, document.to_xml()))
}

async fn put_object_worm(call: &Call<'_>) -> Result<Reply, OssError> {
    let body = configuration_body(call, BYTES_MAX).await?;
    let wanted = ObjectWormConfiguration::parse(&body)?;
    let default = wanted.default.map(|(mode, period)| DefaultRetention {
        mode: mode_of(mode),
        period: match period {
            WormPeriod::Days(days) => RetentionPeriod::Days(days),
            WormPeriod::Years(years) => RetentionPeriod::Years(years),
        },
    });
    let bucket = call.bucket_name()?;
    let set = call.app.objects.set_object_worm(&bucket, ObjectWormRules { default }).await;
    set.map_err(|error| worm(call, error))?;
    Ok(Reply::ok())
}

async fn get_object_worm(call: &Call<'_>) -> Result<Reply, OssError> {
    let found = call.app.objects.object_worm(&call.bucket_name()?).await;
    let found = found.map_err(|error| worm(call, error))?;
    let default = found.default.map(|default| {
        let period = match default.period {
            RetentionPeriod::Days(days) => WormPeriod::Days(days),
            RetentionPeriod::Years(years) => WormPeriod::Years(years),
        };
        (mode_to(default.mode), period)
    });
    Ok(Reply::xml(StatusCode::OK, ObjectWormConfiguration { default }.to_xml()))
}

fn mode_of(mode: WormMode) -> RetentionMode {
    match mode {
        WormMode::Compliance => RetentionMode::Compliance,
        WormMode::Governance => RetentionMode::Governance,
    }
}

fn mode_to(mode: RetentionMode) -> WormMode {
    match mode {
        RetentionMode::Compliance => WormMode::Compliance,
        RetentionMode::Governance => WormMode::Governance,
    }
}

async fn put_retention(call: &Call<'_>) -> Result<Reply, OssError> {
    let wanted = RetentionDocument::parse(&configuration_body(call, BYTES_MAX).await?)?;
    call.check_body(FromBody::RetainUntil(wanted.until)).await?;
    let bypass = bypasses_governance(call);
    // A time before 1970 is as much over as one of last year.
    let until = u64::try_from(wanted.until).unwrap_or_default();
    let to = ObjectRetention { mode: mode_of(wanted.mode), until };
    change(call, RetentionChange::Retain { to, bypass }).await
}

async fn change(call: &Call<'_>, change: RetentionChange) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let version_id = version(call)?;
    let changed = call.app.objects.change_object_retention(&bucket, &key, version_id, change).await;
    let version = changed.map_err(|error| match error {
        RetentionError::Object(error) => refused(call, error, &bucket, &key),
        RetentionError::NotEnabled => OssError::new(ErrorCode::InvalidRequest)
            .with_message("Objects of this bucket have no retention of their own."),
        RetentionError::Appendable => OssError::new(ErrorCode::OperationNotSupported),
        RetentionError::Past => OssError::invalid_argument(
            "RetainUntilDate",
            "",
            "The retain until date must be in the future.",
        ),
        RetentionError::Shorter => OssError::new(ErrorCode::FileImmutable),
    })?;
    Ok(super::attributes::versioned(Reply::ok(), version))
}

async fn get_retention(call: &Call<'_>) -> Result<Reply, OssError> {
    let info = super::attributes::info(call).await?;
    let found = info.lifetime.retention();
    let found = found.ok_or_else(|| OssError::new(ErrorCode::NoSuchObjectRetention))?;
    let document =
        RetentionDocument { mode: mode_to(found.mode), until: fields::seconds(found.until) };
    let reply = Reply::xml(StatusCode::OK, document.to_xml());
    Ok(super::attributes::versioned(reply, info.version_id))
}

fn restore_error(call: &Call<'_>, error: RestoreError) -> OssError {
    let malformed = || OssError::malformed_xml(error.to_string()).with_ec(EC_DELETE_XML);
    match &error {
        RestoreError::Object(error) => match (call.bucket_name(), call.key()) {
            (Ok(bucket), Ok(key)) => refused(call, error.clone(), &bucket, &key),
            (Err(error), _) | (_, Err(error)) => error,
        },
        RestoreError::NotArchived => {
            OssError::new(ErrorCode::OperationNotSupported).with_ec("0016-00000702").with_field(
                "Detail",
                "RestoreObject operation does not support this object storage class",
            )
        }
        RestoreError::InProgress if call.operation == Operation::CleanRestoredObject => {
            OssError::new(ErrorCode::ArchiveRestoreNotFinished)
        }
        RestoreError::InProgress => {
            OssError::new(ErrorCode::RestoreAlreadyInProgress).with_ec(EC_RESTORING)
        }
        RestoreError::NoJob => malformed(),
        RestoreError::NoSuchTier => {
            OssError::invalid_argument("Tier", "", "The storage class has no such tier.")
        }
        RestoreError::Days { .. } => {
            OssError::invalid_argument("Days", "", "The number of days is out of range.")
        }
    }
}

async fn restore(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let version_id = version(call)?;
    let too_long = || OssError::malformed_xml("the document is too long").with_ec(EC_DELETE_XML);
    let request = RestoreRequest::parse(&small_body(call, BYTES_MAX, too_long).await?)?;
    let tier = |tier: Tier| match tier {
        Tier::Expedited => RestoreTier::Expedited,
        Tier::Standard => RestoreTier::Standard,
        Tier::Bulk => RestoreTier::Bulk,
    };
    let job = request.job.map(|job| job.map(tier));
    let input = RestoreInput { bucket, key, version: version_id, days: request.days, job };
    let taken = call.app.objects.restore(input).await;
    let taken = taken.map_err(|error| restore_error(call, error))?;
    let status = if taken.extended { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut reply = Reply::empty(status);
    if let Some(tier) = taken.tier.filter(|_| !taken.extended) {
        let name = match tier {
            RestoreTier::Expedited => Tier::Expedited.as_str(),
            RestoreTier::Standard => Tier::Standard.as_str(),
            RestoreTier::Bulk => Tier::Bulk.as_str(),
        };
        reply = reply.with(RESTORE_PRIORITY, HeaderValue::from_static(name));
    }
    Ok(super::attributes::versioned(reply, taken.version_id))
}

async fn clean(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let version_id = version(call)?;
    let cleaned = call.app.objects.freeze(&bucket, &key, version_id).await;
    let version = cleaned.map_err(|error| restore_error(call, error))?;
    Ok(super::attributes::versioned(Reply::ok(), version))
}
