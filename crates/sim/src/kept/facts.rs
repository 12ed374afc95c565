//! All that can be seen of a bucket, a line each: as the server tells it, and as the specification does.

use std::collections::BTreeSet;

use ossia_client::{Client, ClientError, Method, RawRequest};
use ossia_model::{Bucket, Store, Versioning};
use ossia_protocol::{crc64, time};

use super::{Ids, send};

/// What a line is about, and what it says.
pub(super) struct Fact {
    /// The key and the version's id; of the bucket itself neither.
    version: Option<(String, String)>,
    says: String,
}

/// Looks at everything.
pub(super) async fn of_server(
    client: &Client,
    bucket: &str,
    store: &Store,
) -> Result<Vec<Fact>, String> {
    let text = |error: ClientError| format!("{bucket} cannot be looked at: {error}");
    let mut facts = Vec::new();
    let told = client.call(RawRequest::new(Method::GET, bucket, "").flag("versioning"));
    let told = told.await.map_err(text)?;
    let status = send::element(&told.body, "Status")?.unwrap_or_default();
    facts.push(Fact { version: None, says: format!("versioning {status}") });
    let worm = client.call(RawRequest::new(Method::GET, bucket, "").flag("worm")).await;
    let days = match worm {
        Ok(told) => send::element(&told.body, "RetentionPeriodInDays")?.unwrap_or_default(),
        Err(error) if error.status() == Some(404) => "none".to_owned(),
        Err(error) => return Err(text(error)),
    };
    facts.push(Fact { version: None, says: format!("policy {days}") });
    let listed = send::list_versions(client, bucket, "").await.map_err(text)??;
    for (key, versions) in &listed {
        for (place, version) in versions.iter().enumerate() {
            let mut says = format!("place {place}");
            if let Some((kind, length, etag)) = &version.object {
                says += &format!(", {kind:?}, {length} bytes, etag {etag}");
                let by_id = || {
                    RawRequest::new(Method::GET, bucket, key.as_str())
                        .query("versionId", version.id.as_str())
                };
                let mut get = by_id();
                get.answer_bytes_max = 1 << 30;
                match client.call(get).await {
                    Ok(told) => says += &format!(", crc {:016x}", crc64::checksum(&told.body)),
                    Err(error) if error.code() == Some("InvalidObjectState") => says += ", frozen",
                    Err(error) => return Err(text(error)),
                }
                if store.bucket.retains.is_some() {
                    let told = client.call(by_id().flag("legalHold")).await.map_err(text)?;
                    let held = send::element(&told.body, "Status")?.unwrap_or_default();
                    let retention = match client.call(by_id().flag("retention")).await {
                        Ok(told) => {
                            let mode = send::element(&told.body, "Mode")?.unwrap_or_default();
                            let until = send::element(&told.body, "RetainUntilDate")?;
                            format!("{mode} {}", until.unwrap_or_default())
                        }
                        Err(error) if error.status() == Some(404) => "free".to_owned(),
                        Err(error) => return Err(text(error)),
                    };
                    says += &format!(", hold {held}, {retention}");
                }
            }
            facts.push(Fact { version: Some((key.clone(), version.id.clone())), says });
        }
    }
    Ok(facts)
}

/// With the specification's names.
pub(super) fn named(facts: &[Fact], ids: &mut Ids) -> BTreeSet<String> {
    let line = |fact: &Fact| match &fact.version {
        None => fact.says.clone(),
        Some((key, id)) => format!("{key} {}: {}", ids.name(id), fact.says),
    };
    facts.iter().map(line).collect()
}

/// The same of what the specification says.
pub(super) fn of_model(store: &Store) -> BTreeSet<String> {
    let Bucket { versioning, retains, .. } = store.bucket;
    let status = match versioning {
        Versioning::Never => String::new(),
        Versioning::Enabled | Versioning::Suspended => format!("{versioning:?}"),
    };
    let days = store.bucket.active_policy().map(|policy| policy.days.to_string());
    let mut all = BTreeSet::from([
        format!("versioning {status}"),
        format!("policy {}", days.unwrap_or_else(|| "none".to_owned())),
    ]);
    let keys: BTreeSet<&str> = store.versions().map(|(key, _)| key).collect();
    for key in keys {
        let there = store.key(key);
        for (place, version) in there.versions.iter().rev().enumerate() {
            let mut says = format!("place {place}");
            if let Some(info) = version.object.info() {
                says += &format!(", {:?}, {} bytes, etag {}", info.kind, info.length, info.etag);
                match version.is_frozen(&store.bucket) {
                    true => says += ", frozen",
                    false => says += &format!(", crc {:016x}", info.crc64),
                }
                if retains.is_some() {
                    let held = if version.held { "ON" } else { "OFF" };
                    let retention = version.retention.map_or("free".to_owned(), |own| {
                        let mode = if own.compliance { "COMPLIANCE" } else { "GOVERNANCE" };
                        let until = i64::try_from(own.until_s).unwrap_or(i64::MAX);
                        format!("{mode} {}", time::xml(until))
                    });
                    says += &format!(", hold {held}, {retention}");
                }
            }
            all.insert(format!("{key} {}: {says}", version.id));
        }
    }
    all
}

/// What differs, a line each.
pub(super) fn difference(seen: &BTreeSet<String>, expected: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for line in expected.difference(seen) {
        text.push_str("\n  missing: ");
        text.push_str(line);
    }
    for line in seen.difference(expected) {
        text.push_str("\n  found:   ");
        text.push_str(line);
    }
    text
}
