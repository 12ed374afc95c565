//! `mb`, `rb`, `ls`.

use ossia_client::{
    BucketAcl, BucketSummary, CreateBucketRequest, ListBucketsRequest, ListObjectsRequest,
    ObjectSummary,
};
use serde_json::json;

use crate::args::{LsArgs, MbArgs, OssUri, RbArgs};
use crate::failure::Failure;
use crate::output::{date, shown};
use crate::{Output, Session};

/// Entries asked for at once: the most that the protocol allows.
const PAGE: u16 = 1000;

pub(crate) async fn make(session: Session, args: MbArgs) -> Result<(), Failure> {
    let bucket = only_bucket(args.bucket)?;
    let acl = match args.acl.as_deref() {
        None => None,
        Some(name) => Some(BucketAcl::from_name(name).ok_or_else(|| {
            Failure::usage("--acl takes private, public-read or public-read-write")
        })?),
    };
    let request = CreateBucketRequest { acl, ..CreateBucketRequest::new(bucket.as_str()) };
    session.client.create_bucket(request).await?;
    session.output.result(&format!("made oss://{bucket}"), &json!({ "bucket": bucket }))
}

pub(crate) async fn remove(session: Session, args: RbArgs) -> Result<(), Failure> {
    let bucket = only_bucket(args.bucket)?;
    session.client.delete_bucket(&bucket).await?;
    session.output.result(&format!("removed oss://{bucket}"), &json!({ "bucket": bucket }))
}

/// The bucket of a place that names no key.
fn only_bucket(place: OssUri) -> Result<String, Failure> {
    if place.key.is_empty() {
        Ok(place.bucket)
    } else {
        Err(Failure::Usage(format!("{place} names an object; a bucket is wanted")))
    }
}

pub(crate) async fn list(session: Session, args: LsArgs) -> Result<(), Failure> {
    let limit = Limit(args.limit.unwrap_or(u64::MAX));
    match args.place {
        None => list_buckets(session, limit).await,
        Some(place) => list_objects(session, place, args.recursive, limit).await,
    }
}

/// How many entries may still be written.
struct Limit(u64);

impl Limit {
    /// Takes one; false when there is none left.
    fn take(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        left
    }

    /// How many to ask for.
    fn page(&self) -> u16 {
        u16::try_from(self.0).unwrap_or(PAGE).clamp(1, PAGE)
    }
}

async fn list_buckets(session: Session, mut limit: Limit) -> Result<(), Failure> {
    let mut marker = None;
    while limit.0 > 0 {
        let request = ListBucketsRequest {
            marker: marker.clone(),
            max_keys: Some(limit.page()),
            ..ListBucketsRequest::default()
        };
        let page = session.client.list_buckets(request).await?;
        for bucket in &page.buckets {
            if !limit.take() {
                return Ok(());
            }
            write_bucket(session.output, bucket)?;
        }
        // A marker that does not move on would be asked for again for ever.
        match page.next_marker {
            Some(next) if marker.as_ref() < Some(&next) => marker = Some(next),
            _ => break,
        }
    }
    Ok(())
}

fn write_bucket(output: Output, bucket: &BucketSummary) -> Result<(), Failure> {
    let created = date(bucket.creation_date);
    let value = json!({
        "bucket": bucket.name,
        "created": created,
        "storage_class": bucket.storage_class,
    });
    output.result(&format!("{created}  oss://{}", shown(&bucket.name)), &value)
}

async fn list_objects(
    session: Session,
    place: OssUri,
    recursive: bool,
    mut limit: Limit,
) -> Result<(), Failure> {
    let mut pages = session.client.list_objects_pages(ListObjectsRequest {
        prefix: place.key,
        delimiter: if recursive { String::new() } else { "/".to_owned() },
        max_keys: Some(limit.page()),
        ..ListObjectsRequest::new(place.bucket.as_str())
    });
    while limit.0 > 0
        && let Some(page) = pages.next_page().await?
    {
        for prefix in &page.common_prefixes {
            if !limit.take() {
                return Ok(());
            }
            let text = format!("{:20}  {:>14}  {:10}  {}", "", "", "prefix", shown(prefix));
            session.output.result(&text, &json!({ "prefix": prefix }))?;
        }
        for object in &page.objects {
            if !limit.take() {
                return Ok(());
            }
            write_object(session.output, object)?;
        }
    }
    Ok(())
}

fn write_object(output: Output, object: &ObjectSummary) -> Result<(), Failure> {
    let modified = date(object.last_modified);
    let text = format!(
        "{modified}  {:>14}  {:10}  {}",
        object.size,
        shown(&object.object_type),
        shown(&object.key)
    );
    let value = json!({
        "key": object.key,
        "length": object.size,
        "last_modified": modified,
        "type": object.object_type,
        "etag": object.etag,
        "storage_class": object.storage_class,
    });
    output.result(&text, &value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_runs_out_and_never_asks_for_nothing() {
        let mut limit = Limit(2);
        assert_eq!(limit.page(), 2);
        assert!(limit.take() && limit.take() && !limit.take());
        assert_eq!(limit.page(), 1);
        assert_eq!(Limit(u64::MAX).page(), PAGE);
        assert_eq!(Limit(1001).page(), PAGE);
    }
}
