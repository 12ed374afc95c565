//! `stat`, `cat`, `rm`.

use std::io::{self, Write as _};

use ossia_client::{ByteRange, Client, GetObjectRequest};
use serde_json::{Map, Value, json};

use crate::Session;
use crate::args::{CatArgs, OssUri, RmArgs, StatArgs};
use crate::failure::Failure;
use crate::output::{date, shown};

/// A place that must name an object.
pub(crate) fn object(place: &OssUri) -> Result<(&str, &str), Failure> {
    if place.key.is_empty() {
        return Err(Failure::Usage(format!("{place} names a bucket; an object is wanted")));
    }
    Ok((&place.bucket, &place.key))
}

pub(crate) async fn stat(session: Session, args: StatArgs) -> Result<(), Failure> {
    let fields = if args.place.key.is_empty() {
        bucket_fields(&session.client, &args.place.bucket).await?
    } else {
        object_fields(&session.client, &args.place).await?
    };
    let lines: Vec<String> = fields.iter().map(|(name, value)| line(name, value)).collect();
    let value = Value::Object(fields.into_iter().collect::<Map<String, Value>>());
    session.output.result(&lines.join("\n"), &value)
}

type Fields = Vec<(String, Value)>;

fn field(fields: &mut Fields, name: &str, value: impl Into<Value>) {
    let value = value.into();
    if !value.is_null() && value.as_str() != Some("") {
        fields.push((name.to_owned(), value));
    }
}

/// One field for people.
fn line(name: &str, value: &Value) -> String {
    let value = match value {
        Value::String(text) => shown(text),
        Value::Object(pairs) => {
            let pair = |(name, value): (&String, &Value)| {
                format!("{}={}", shown(name), shown(value.as_str().unwrap_or_default()))
            };
            pairs.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    format!("{:22}{value}", name.replace('_', " "))
}

async fn bucket_fields(client: &Client, bucket: &str) -> Result<Fields, Failure> {
    let details = client.get_bucket_info(bucket).await?;
    let mut fields = Fields::new();
    field(&mut fields, "bucket", details.name);
    field(&mut fields, "created", details.creation_date.map(date));
    field(&mut fields, "location", details.location);
    field(&mut fields, "storage_class", details.storage_class);
    field(&mut fields, "acl", details.acl);
    field(&mut fields, "versioning", details.versioning);
    Ok(fields)
}

async fn object_fields(client: &Client, place: &OssUri) -> Result<Fields, Failure> {
    let meta = client.head_object(&place.bucket, &place.key).await?.meta;
    let mut fields = Fields::new();
    field(&mut fields, "key", place.key.as_str());
    field(&mut fields, "length", meta.length);
    field(&mut fields, "type", meta.object_type);
    field(&mut fields, "last_modified", meta.last_modified.map(date));
    field(&mut fields, "etag", meta.etag);
    // As text: it exceeds what many JSON readers keep exactly.
    field(&mut fields, "crc64", meta.crc64.map(|crc64| crc64.to_string()));
    field(&mut fields, "next_append_position", meta.next_append_position);
    field(&mut fields, "sealed", meta.sealed_time);
    field(&mut fields, "storage_class", meta.storage_class);
    field(&mut fields, "content_type", meta.content_type);
    field(&mut fields, "version_id", meta.version_id);
    if !meta.metadata.is_empty() {
        let pairs: Map<String, Value> =
            meta.metadata.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        field(&mut fields, "metadata", pairs);
    }
    Ok(fields)
}

pub(crate) async fn cat(session: Session, args: CatArgs) -> Result<(), Failure> {
    let (bucket, key) = object(&args.object)?;
    let mut request = GetObjectRequest::new(bucket, key);
    request.range = match (args.offset, args.length) {
        (None, None) => None,
        (Some(first), None) => Some(ByteRange::From(first)),
        (_, Some(0)) => return Ok(()),
        (first, Some(length)) => {
            let first = first.unwrap_or(0);
            Some(ByteRange::Span { first, last: first.saturating_add(length - 1) })
        }
    };
    let mut body = session.client.get_object(request).await?.body;
    while let Some(chunk) = body.next_chunk().await {
        io::stdout().lock().write_all(&chunk?).map_err(|error| Failure::output(&error))?;
    }
    io::stdout().lock().flush().map_err(|error| Failure::output(&error))
}

/// Deletes all that were named, and fails as the first that could not be.
pub(crate) async fn remove(session: Session, args: RmArgs) -> Result<(), Failure> {
    for place in &args.objects {
        object(place)?;
    }
    let mut first = None;
    for place in &args.objects {
        match session.client.delete_object(&place.bucket, &place.key).await {
            Ok(_) => {
                let value = json!({ "bucket": place.bucket, "key": place.key });
                session.output.result(&format!("deleted {}", shown(&place.to_string())), &value)?;
            }
            Err(error) => {
                let failure = Failure::from(error);
                failure.tell();
                first.get_or_insert(failure.code());
            }
        }
    }
    first.map_or(Ok(()), |code| Err(Failure::Told(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_shown_for_people_without_empty_ones() {
        let mut fields = Fields::new();
        field(&mut fields, "next_append_position", 11u64);
        field(&mut fields, "sealed", None::<String>);
        field(&mut fields, "etag", "");
        assert_eq!(fields.len(), 1);
        assert_eq!(line(&fields[0].0, &fields[0].1), "next append position  11");
        assert_eq!(
            line("metadata", &json!({ "a": "1", "b": "\n" })),
            "metadata              a=1, b=\\n"
        );
    }
}
