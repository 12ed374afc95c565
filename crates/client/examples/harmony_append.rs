//! The append programs of the OSS guide for Harmony, in Rust: a string, a local file, and two blocks one behind the other.
//!
//! ```text
//! export OSSIA_ACCESS_KEY_ID=... OSSIA_ACCESS_KEY_SECRET=...
//! cargo run -p ossia-client --example harmony_append -- http://127.0.0.1:9000 my-bucket Cargo.toml
//! ```
//!
//! The guide's `client.appendObject({ bucket, key, data, position })` is [`Client::append_object`] with an
//! [`AppendObjectRequest`] of the same fields, and its `origRes.headers['x-oss-next-append-position']` is `next_position`.

use std::error::Error;
use std::path::Path;

use ossia_client::{
    AppendObjectOutput, AppendObjectRequest, Body, Client, ClientError, CreateBucketRequest,
    Credentials,
};

/// Appends a string to an object that does not exist yet: the position may be left out.
pub async fn append_a_string(
    client: &Client,
    bucket: &str,
    key: &str,
) -> Result<AppendObjectOutput, ClientError> {
    client
        .append_object(AppendObjectRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            data: "hello world".into(),
            ..Default::default()
        })
        .await
}

/// Appends a local file. It is read while it is sent, however long it is.
pub async fn append_a_file(
    client: &Client,
    bucket: &str,
    key: &str,
    file: &Path,
) -> Result<AppendObjectOutput, ClientError> {
    client
        .append_object(AppendObjectRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            data: Body::file(file),
            position: Some(0),
            ..Default::default()
        })
        .await
}

/// Appends two blocks; the first one's answer says where the second one goes.
pub async fn append_two_blocks(
    client: &Client,
    bucket: &str,
    key: &str,
) -> Result<AppendObjectOutput, ClientError> {
    let first = client
        .append_object(AppendObjectRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            data: "block one, ".into(),
            position: Some(0),
            ..Default::default()
        })
        .await?;
    client
        .append_object(AppendObjectRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            data: "block two".into(),
            position: Some(first.next_position),
            // Not needed; with it the client verifies that the service has every byte of both blocks.
            previous_crc64: first.crc64,
            ..Default::default()
        })
        .await
}

/// What the guide's `catch` does: the error tells code, message, request id, status and EC, and a refused position where the
/// object ends.
pub fn describe(error: &ClientError) -> String {
    match error {
        ClientError::PositionNotEqualToLength { next_position, .. } => {
            format!("the object ends at {next_position}")
        }
        ClientError::ObjectNotAppendable { .. } => {
            "the object was not made by an append".to_owned()
        }
        error => match error.service() {
            Some(service) => format!(
                "{} {}: {} (request {}, ec {})",
                service.status, service.code, service.message, service.request_id, service.ec
            ),
            None => error.to_string(),
        },
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_else(|| "http://127.0.0.1:9000".to_owned());
    let bucket = arguments.next().unwrap_or_else(|| "harmony".to_owned());
    let local = arguments.next().unwrap_or_else(|| "Cargo.toml".to_owned());
    let credentials = Credentials::from_env()
        .ok_or("set OSSIA_ACCESS_KEY_ID and OSSIA_ACCESS_KEY_SECRET to a key of the server")?;
    let client = Client::builder(endpoint).credentials(credentials).build()?;

    client.create_bucket(CreateBucketRequest::new(bucket.as_str())).await?;
    for key in ["string.txt", "file.txt", "blocks.txt"] {
        client.delete_object(&bucket, key).await?;
    }

    let string = append_a_string(&client, &bucket, "string.txt").await?;
    println!("string.txt: next position {}", string.next_position);
    let file = append_a_file(&client, &bucket, "file.txt", Path::new(&local)).await?;
    println!("file.txt:   next position {}", file.next_position);
    let blocks = append_two_blocks(&client, &bucket, "blocks.txt").await?;
    println!("blocks.txt: next position {}", blocks.next_position);

    // The string again, at a position that is no longer the object's end.
    match append_a_string(&client, &bucket, "string.txt").await {
        Ok(_) => return Err("an append at a wrong position was accepted".into()),
        Err(error) => println!("string.txt again: {}", describe(&error)),
    }
    Ok(())
}
