//! How a keeper's operations travel, and what their answers say.

use std::collections::BTreeMap;

use ossia_client::{Client, ClientError, CreateBucketRequest, Method, RawOutput, RawRequest};
use ossia_model::{
    Answer, Info, Kind, ListedVersion, Operation, Refusal, Reply, Setting, Step, Versioning,
    stable_etag,
};
use ossia_protocol::{
    crc64, time, uri,
    xml::{Element, Limits},
};

use super::Ids;

/// The most bytes of an object.
const READ_BYTES_MAX: usize = 1 << 30;
/// Far more than any answer here has.
const LIMITS: Limits = Limits { bytes: 16 << 20, depth: 16, elements: 1 << 20 };
/// A listing of more pages than this goes round in circles.
const PAGES_MAX: usize = 10_000;
/// Versions on a page: few, so that where pages meet is looked at too.
const PAGE: &str = "7";

/// Makes a bucket; one that is there stays.
pub(crate) async fn create(client: &Client, bucket: &str) -> Result<(), ClientError> {
    client.create_bucket(CreateBucketRequest::new(bucket)).await.map(drop)
}

/// The codes that a refusal may have.
pub(super) fn codes(refusal: &Refusal) -> &'static [&'static str] {
    match refusal {
        Refusal::NoSuchKey => &["NoSuchKey"],
        // A marker that is named is no object to be read; one that is copied is not there.
        Refusal::Marker { named: true, .. } => &["MethodNotAllowed", "NoSuchKey"],
        Refusal::Marker { named: false, .. } => &["NoSuchKey"],
        Refusal::NoSuchVersion => &["NoSuchVersion"],
        Refusal::AlreadyExists => &["FileAlreadyExists", "WORMConfigurationAlreadyExists"],
        Refusal::NotAppendable => &["ObjectNotAppendable"],
        Refusal::Sealed => &["AppendSealedObjectNotAllowed"],
        Refusal::WrongPosition { .. } => &["PositionNotEqualToLength"],
        Refusal::Immutable => &["FileImmutable"],
        Refusal::Frozen => &["InvalidObjectState"],
        Refusal::RestoreUnderWay => &["RestoreAlreadyInProgress"],
        Refusal::BadDays | Refusal::Past => &["InvalidArgument"],
        Refusal::Shorter => &["FileImmutable", "InvalidWORMConfiguration"],
        Refusal::NotArchived | Refusal::NotNormal | Refusal::SourceAppendable => {
            &["OperationNotSupported"]
        }
        Refusal::NoSuchPolicy => &["NoSuchWORMConfiguration"],
        Refusal::Locked => &["WORMConfigurationLocked"],
        Refusal::Excluded => &["OperationNotSupported", "InvalidArgument", "InvalidRequest"],
        Refusal::QuotaExceeded => &["QuotaExceeded"],
        _ => &[],
    }
}

/// The text of an element, wherever it is in a document.
pub(super) fn element(document: &[u8], name: &str) -> Result<Option<String>, String> {
    fn find(element: &Element, name: &str) -> Option<String> {
        if element.name == name {
            return Some(element.text.clone());
        }
        element.children.iter().find_map(|child| find(child, name))
    }
    let root = Element::parse(document, LIMITS);
    let root = root.map_err(|error| format!("an answer is no document: {error}"))?;
    Ok(find(&root, name))
}

/// What an answer says, or why it cannot be so.
fn told(ids: &mut Ids, answer: &RawOutput, reply: Reply) -> Reply {
    match answer.header("x-oss-version-id") {
        None => reply,
        Some(id) => Reply::of(&ids.name(id), reply),
    }
}

fn number(answer: &RawOutput, name: &str) -> u64 {
    answer.header(name).and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

fn etag(answer: &RawOutput, kind: Kind) -> String {
    let etag = answer.header("etag").unwrap_or_default().trim_matches('"');
    stable_etag(kind, etag).unwrap_or_else(|| format!("not of the right form: {etag}"))
}

fn kind(text: &str) -> Option<Kind> {
    match text {
        "Normal" => Some(Kind::Normal),
        "Appendable" => Some(Kind::Appendable),
        "Multipart" => Some(Kind::Multipart),
        _ => None,
    }
}

/// Does an operation once.
pub(super) async fn send(
    client: &Client,
    bucket: &str,
    ids: &mut Ids,
    operation: &Operation,
) -> Result<Answer, ClientError> {
    Ok(match operation {
        Operation::On { key, step } => Answer::One(one(client, bucket, ids, key, step).await?),
        Operation::Copy { source, version, key, forbid_overwrite } => {
            let mut from = format!("/{bucket}/{}", uri::encode_path(source.as_bytes()));
            if let Some(version) = version {
                from += &format!("?versionId={}", ids.id(version));
            }
            let forbid = forbid_overwrite.to_string();
            let request = RawRequest::new(Method::PUT, bucket, key.as_str())
                .header("x-oss-copy-source", from)
                .header("x-oss-forbid-overwrite", forbid);
            let answer = client.call(request).await?;
            let etag = element(&answer.body, "ETag").ok().flatten().unwrap_or_default();
            let version = answer.header("x-oss-version-id").map(|id| ids.name(id));
            Answer::Copied { etag: etag.trim_matches('"').to_owned(), version }
        }
        Operation::ListVersions { prefix } => match list_versions(client, bucket, prefix).await? {
            Ok(mut all) => {
                for version in all.values_mut().flatten() {
                    version.id = ids.name(&version.id);
                }
                Answer::Versions(all)
            }
            Err(strange) => Answer::One(Reply::PartStored { etag: strange, crc64: 0 }),
        },
        Operation::List { prefix } => {
            let request = RawRequest::new(Method::GET, bucket, "")
                .query("list-type", "2")
                .query("max-keys", "1000")
                .query("prefix", prefix.as_str());
            let answer = client.call(request).await?;
            let root = Element::parse(&answer.body, LIMITS).unwrap_or_default();
            let entry = |object: &Element| {
                let text = |name| object.child_text(name).unwrap_or_default();
                let kind = kind(text("Type"))?;
                let etag = stable_etag(kind, text("ETag").trim_matches('"'))?;
                Some((text("Key").to_owned(), (kind, text("Size").parse().ok()?, etag)))
            };
            Answer::Listed(root.children_named("Contents").filter_map(entry).collect())
        }
        Operation::Set(setting) => {
            set(client, bucket, setting).await?;
            Answer::Done
        }
        Operation::CopyPart { .. } | Operation::ListUploads { .. } | Operation::Round => {
            unreachable!("a keeper does not choose it")
        }
    })
}

/// What the answer to a read says, whatever version it is about.
pub(crate) fn read(answer: &RawOutput) -> Reply {
    let kind = kind(answer.header("x-oss-object-type").unwrap_or_default());
    let kind = kind.unwrap_or(Kind::Multipart);
    let info = Info {
        kind,
        length: number(answer, "content-length"),
        crc64: number(answer, "x-oss-hash-crc64ecma"),
        etag: etag(answer, kind),
        sealed: answer.header("x-oss-sealed-time").is_some(),
    };
    let crc64 = crc64::checksum(&answer.body);
    Reply::Read { info, crc64, length: answer.body.len() as u64 }
}

async fn one(
    client: &Client,
    bucket: &str,
    ids: &mut Ids,
    key: &str,
    step: &Step,
) -> Result<Reply, ClientError> {
    let request = |method| RawRequest::new(method, bucket, key);
    let (mut class, mut named) = (None, None);
    let step = match step {
        Step::Making { archived, step, .. } => {
            class = archived.then_some("Archive");
            step
        }
        Step::Of { version, step } => {
            named = Some(ids.id(version));
            step
        }
        step => step,
    };
    let of = |request: RawRequest| match &named {
        Some(id) => request.query("versionId", id.as_str()),
        None => request,
    };
    Ok(match step {
        Step::Append { position, body } => {
            let request = request(Method::POST)
                .flag("append")
                .query("position", position.to_string())
                .body(body.bytes().clone());
            let answer = client.call(request).await?;
            let reply = Reply::Appended {
                next_position: number(&answer, "x-oss-next-append-position"),
                crc64: number(&answer, "x-oss-hash-crc64ecma"),
                etag: etag(&answer, Kind::Appendable),
            };
            told(ids, &answer, reply)
        }
        Step::Put { content, forbid_overwrite } => {
            let bytes = content.last_body().map(|body| body.bytes().clone()).unwrap_or_default();
            let mut request = request(Method::PUT)
                .header("x-oss-forbid-overwrite", forbid_overwrite.to_string())
                .body(bytes);
            if let Some(class) = class {
                request = request.header("x-oss-storage-class", class);
            }
            let answer = client.call(request).await?;
            let crc64 = number(&answer, "x-oss-hash-crc64ecma");
            told(ids, &answer, Reply::Stored { etag: etag(&answer, Kind::Normal), crc64 })
        }
        Step::Seal { position } => {
            let position = position.to_string();
            client.call(request(Method::POST).flag("seal").query("position", position)).await?;
            Reply::Sealed
        }
        Step::Delete => {
            let answer = client.call(of(request(Method::DELETE))).await?;
            let marker = answer.header("x-oss-delete-marker") == Some("true");
            match &named {
                None => told(ids, &answer, Reply::Deleted),
                // What names no version is called as it was asked for.
                Some(_) => match step_version(&answer, ids) {
                    Some(name) => Reply::of(&name, Reply::Removed { marker }),
                    None => Reply::Removed { marker },
                },
            }
        }
        Step::Get { .. } => {
            let mut request = of(request(Method::GET));
            request.answer_bytes_max = READ_BYTES_MAX;
            let answer = client.call(request).await?;
            told(ids, &answer, read(&answer))
        }
        Step::Restore { days } => {
            let body = format!("<RestoreRequest><Days>{days}</Days></RestoreRequest>");
            let request = of(request(Method::POST).flag("restore")).body(body);
            let answer = client.call(request).await?;
            told(ids, &answer, Reply::Restored { extended: answer.status == 200 })
        }
        Step::Hold(held) => {
            let status = if *held { "ON" } else { "OFF" };
            let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
            let request = of(request(Method::PUT).flag("legalHold")).body(body);
            let answer = client.call(request).await?;
            about(ids, &answer, named, Reply::Retained)
        }
        Step::Retain { to, bypass } => {
            let mode = if to.compliance { "COMPLIANCE" } else { "GOVERNANCE" };
            let until = time::xml(i64::try_from(to.until_s).unwrap_or(i64::MAX));
            let body = format!(
                "<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
            );
            let request = of(request(Method::PUT).flag("retention"))
                .header("x-oss-bypass-governance-retention", bypass.to_string())
                .body(body);
            let answer = client.call(request).await?;
            about(ids, &answer, named, Reply::Retained)
        }
        _ => unreachable!("a keeper does not choose it"),
    })
}

/// The version that an answer names; where it names none, the one that was asked for.
fn about(ids: &mut Ids, answer: &RawOutput, named: Option<String>, reply: Reply) -> Reply {
    let id = answer.header("x-oss-version-id").map(str::to_owned).or(named);
    match id {
        Some(id) => Reply::of(&ids.name(&id), reply),
        None => reply,
    }
}

fn step_version(answer: &RawOutput, ids: &Ids) -> Option<String> {
    let id = answer.header("x-oss-version-id")?;
    let place = ids.0.iter().position(|known| known == id);
    Some(place.map_or_else(|| id.to_owned(), ossia_model::Store::name))
}

async fn set(client: &Client, bucket: &str, setting: &Setting) -> Result<(), ClientError> {
    let request = |method| RawRequest::new(method, bucket, "");
    let request = match setting {
        Setting::Versioning(to) => {
            let status = if *to == Versioning::Enabled { "Enabled" } else { "Suspended" };
            let status = format!("<Status>{status}</Status>");
            let body = format!("<VersioningConfiguration>{status}</VersioningConfiguration>");
            request(Method::PUT).flag("versioning").body(body)
        }
        Setting::BeginPolicy(days) => {
            let days = format!("<RetentionPeriodInDays>{days}</RetentionPeriodInDays>");
            let body = format!("<InitiateWormConfiguration>{days}</InitiateWormConfiguration>");
            request(Method::POST).flag("worm").body(body)
        }
        Setting::AbortPolicy => request(Method::DELETE).flag("worm"),
        Setting::Retain(_) => request(Method::PUT).flag("objectWorm").body(
            "<ObjectWormConfiguration><ObjectWormEnabled>Enabled</ObjectWormEnabled></ObjectWormConfiguration>",
        ),
        Setting::Quota(Some(bytes)) => {
            let inside = format!("<StorageQuota>{bytes}</StorageQuota><Mode>Strict</Mode>");
            let body = format!("<QuotaConfiguration>{inside}</QuotaConfiguration>");
            request(Method::PUT).flag("quota").body(body)
        }
        _ => unreachable!("a keeper does not choose it"),
    };
    client.call(request).await.map(drop)
}

/// Page after page: the versions of each key by their ids at the server. The inner error is of a listing that cannot be so.
pub(crate) async fn list_versions(
    client: &Client,
    bucket: &str,
    prefix: &str,
) -> Result<Result<BTreeMap<String, Vec<ListedVersion>>, String>, ClientError> {
    let mut all: BTreeMap<String, Vec<ListedVersion>> = BTreeMap::new();
    let (mut key_marker, mut version_marker) = (String::new(), String::new());
    for _ in 0..PAGES_MAX {
        let mut request = RawRequest::new(Method::GET, bucket, "")
            .flag("versions")
            .query("max-keys", PAGE)
            .query("prefix", prefix);
        if !key_marker.is_empty() {
            request = request.query("key-marker", key_marker.as_str());
        }
        if !version_marker.is_empty() {
            request = request.query("version-id-marker", version_marker.as_str());
        }
        let answer = client.call(request).await?;
        let root = match Element::parse(&answer.body, LIMITS) {
            Ok(root) => root,
            Err(error) => return Ok(Err(format!("a listing is no document: {error}"))),
        };
        for entry in &root.children {
            let text = |name| entry.child_text(name).unwrap_or_default();
            let object = match entry.name.as_str() {
                "DeleteMarker" => None,
                "Version" => {
                    let kind = kind(text("Type"));
                    let etag = kind.and_then(|it| stable_etag(it, text("ETag").trim_matches('"')));
                    match (kind, text("Size").parse(), etag) {
                        (Some(kind), Ok(size), Some(etag)) => Some((kind, size, etag)),
                        _ => return Ok(Err(format!("a listing names {entry:?}"))),
                    }
                }
                _ => continue,
            };
            let of_key = all.entry(text("Key").to_owned()).or_default();
            let latest = text("IsLatest") == "true";
            // Between two pages another one may have come on top.
            if latest && !of_key.is_empty()
                || !latest && of_key.is_empty() && text("Key") != key_marker
            {
                return Ok(Err(format!("which is the latest of {}: {entry:?}", text("Key"))));
            }
            of_key.push(ListedVersion { id: text("VersionId").to_owned(), object });
        }
        if root.child_text("IsTruncated") != Some("true") {
            return Ok(Ok(all));
        }
        key_marker = root.child_text("NextKeyMarker").unwrap_or_default().to_owned();
        version_marker = root.child_text("NextVersionIdMarker").unwrap_or_default().to_owned();
    }
    Ok(Err(format!("a listing has no end; the last page began after {key_marker}")))
}
