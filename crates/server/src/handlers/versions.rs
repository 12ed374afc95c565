//! PutBucketVersioning, GetBucketVersioning, ListObjectVersions, and the version that a request names.

use http::StatusCode;
use ossia_objects::{ListVersionsInput, VersionId, VersionInfo};
use ossia_protocol::{
    error::OssError,
    xml::{ListObjectVersionsOutput, ObjectSummary, Owner, VersionEntry, VersioningConfiguration},
};

use super::{
    bucket::existing,
    error as errors, fields,
    list::{Page, summary, text},
    upload::small_body,
};
use crate::{http::Reply, service::Call};

/// The longest document that sets a bucket's versioning.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;
/// Lengths of ids that another server may have made; the cloud's also begin in a way of their own.
const ID_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// The version that a request names, `None` for the current one. What looks like an id and is none names a version that is not
/// there.
pub(crate) fn version(call: &Call<'_>) -> Result<Option<VersionId>, OssError> {
    match call.query.get_bytes("versionId") {
        None => Ok(None),
        Some(b"") => {
            let message = "Version id can not be the empty string.";
            Err(OssError::invalid_argument("versionId", "", message))
        }
        Some(id) => parse("versionId", id).map(Some),
    }
}

/// Reads an id; `name` is the parameter that it stands in.
pub(super) fn parse(name: &'static str, id: &[u8]) -> Result<VersionId, OssError> {
    let text = String::from_utf8_lossy(id);
    if let Some(id) = VersionId::parse(&text) {
        return Ok(id);
    }
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_=".contains(&b);
    let long = ID_BYTES.contains(&text.len()) || text.starts_with("CAEQ");
    if long && text.bytes().all(safe) {
        return Ok(VersionId::NOT_MADE);
    }
    Err(OssError::invalid_argument(name, text, "Invalid version id specified."))
}

pub(super) async fn put_bucket_versioning(call: &Call<'_>) -> Result<Reply, OssError> {
    let name = call.bucket_name()?;
    let too_long = || OssError::malformed_xml("the document is too long");
    let body = small_body(call, DOCUMENT_BYTES_MAX, too_long).await?;
    let configuration = VersioningConfiguration::parse(&body)
        .map_err(|error| OssError::malformed_xml(error.to_string()))?;
    let status = configuration.status.ok_or_else(|| OssError::malformed_xml("no Status"))?;
    let set = call.app.objects.set_bucket_versioning(&name, status).await;
    set.map_err(|error| errors::bucket(error, &name))?;
    Ok(Reply::ok())
}

pub(super) fn get_bucket_versioning(call: &Call<'_>) -> Result<Reply, OssError> {
    let status = existing(call)?.versioning;
    Ok(Reply::xml(StatusCode::OK, VersioningConfiguration { status }.to_xml()))
}

pub(super) async fn list_object_versions(call: &Call<'_>) -> Result<Reply, OssError> {
    let page = Page::read(call)?;
    let (key_marker, version_id_marker) =
        (text(call, "key-marker")?, text(call, "version-id-marker")?);
    if key_marker.is_empty() && !version_id_marker.is_empty() {
        let message = "A version-id marker cannot be specified without a key marker.";
        return Err(OssError::invalid_argument("version-id-marker", version_id_marker, message));
    }
    let after_version = match &*version_id_marker {
        "" => None,
        marker => Some(parse("version-id-marker", marker.as_bytes())?),
    };
    let bucket = call.bucket_name()?;
    let reserved = page.reserve(call).await?;
    let input = ListVersionsInput {
        bucket: bucket.clone(),
        prefix: page.prefix.clone(),
        delimiter: (!page.delimiter.is_empty()).then(|| page.delimiter.clone()),
        after: (!key_marker.is_empty()).then(|| key_marker.clone()),
        after_version,
        limit: usize::try_from(page.max_keys).unwrap_or(usize::MAX),
    };
    let listed = call.app.objects.list_versions(input).await;
    let listed = listed.map_err(|error| errors::list(error, &bucket))?;
    let document = ListObjectVersionsOutput {
        name: bucket.as_str().to_owned(),
        prefix: page.prefix,
        key_marker,
        version_id_marker,
        delimiter: page.delimiter,
        max_keys: page.max_keys,
        url_encoded: page.url_encoded,
        next_key_marker: listed.last.filter(|_| listed.truncated),
        next_version_id_marker: listed
            .last_version
            .filter(|_| listed.truncated)
            .map(|version| version.to_string()),
        owner: Owner::account(&call.app.account),
        versions: listed.versions.into_iter().map(|one| entry(call, one)).collect(),
        common_prefixes: listed.prefixes,
    };
    Ok(Reply::xml(StatusCode::OK, document.to_xml()).holding(reserved))
}

fn entry(call: &Call<'_>, version: VersionInfo) -> VersionEntry {
    let (version_id, is_latest) = (version.version.to_string(), version.latest);
    match version.object {
        Some(info) => {
            VersionEntry { version_id, is_latest, is_marker: false, object: summary(call, info) }
        }
        None => {
            let object = ObjectSummary {
                key: version.key.as_str().to_owned(),
                last_modified: fields::seconds(version.last_modified),
                ..ObjectSummary::default()
            };
            VersionEntry { version_id, is_latest, is_marker: true, object }
        }
    }
}
