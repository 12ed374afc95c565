//! `cp`: between files and objects, and from object to object.
//!
//! An object comes to this machine under a temporary name beside its target and takes the target's name only when all of it has
//! arrived and its CRC-64 is right.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ossia_client::{
    Body, CopyObjectRequest, Download, GetObjectRequest, ObjectAttributes, PutObjectRequest,
};
use serde_json::json;

use crate::Session;
use crate::args::{CpArgs, OssUri, Place};
use crate::failure::Failure;
use crate::input::Pieces;
use crate::objects::object;
use crate::output::shown;

pub(crate) async fn copy(session: Session, args: CpArgs) -> Result<(), Failure> {
    let CpArgs { source, target, content_type, no_overwrite } = args;
    match (source, target) {
        (Place::File(file), Place::Object(place)) => {
            upload(&session, &file, place, content_type, no_overwrite).await
        }
        (Place::Object(place), Place::File(file)) if content_type.is_none() => {
            download(&session, &place, file, no_overwrite).await
        }
        (Place::Object(source), Place::Object(target)) => {
            on_the_server(&session, source, target, content_type, no_overwrite).await
        }
        (Place::Object(_), Place::File(_)) => Err(Failure::usage("--content-type is for objects")),
        (Place::File(_), Place::File(_)) => {
            Err(Failure::usage("one of the two must be oss://bucket/key"))
        }
    }
}

fn is_stream(path: &Path) -> bool {
    path == Path::new("-")
}

/// The key of a target: one that is empty or ends in `/` takes the source's name behind it.
fn target_key(place: &OssUri, source_name: Option<&str>) -> Result<String, Failure> {
    if !place.key.is_empty() && !place.key.ends_with('/') {
        return Ok(place.key.clone());
    }
    match source_name {
        Some(name) if !name.is_empty() => Ok(format!("{}{name}", place.key)),
        _ => Err(Failure::Usage(format!("{place} names no object, and the source has no name"))),
    }
}

fn last_segment(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default()
}

async fn upload(
    session: &Session,
    file: &Path,
    place: OssUri,
    content_type_given: Option<String>,
    no_overwrite: bool,
) -> Result<(), Failure> {
    let name = file.file_name().and_then(|name| name.to_str()).filter(|_| !is_stream(file));
    let key = target_key(&place, name)?;
    let data = if is_stream(file) {
        Body::stream(Pieces::read(io::stdin()))
    } else {
        let metadata = fs::metadata(file).map_err(|error| Failure::file(file, &error))?;
        if metadata.is_file() {
            Body::file(file)
        } else {
            let opened = File::open(file).map_err(|error| Failure::file(file, &error))?;
            Body::stream(Pieces::read(opened))
        }
    };
    let attributes = ObjectAttributes {
        content_type: content_type_given.or_else(|| content_type(&key)),
        ..ObjectAttributes::default()
    };
    let request = PutObjectRequest {
        attributes,
        forbid_overwrite: no_overwrite,
        ..PutObjectRequest::new(place.bucket.as_str(), key.as_str(), data)
    };
    let stored = session.client.put_object(request).await?;
    let target = OssUri { bucket: place.bucket, key };
    let value = json!({ "bucket": target.bucket, "key": target.key, "etag": stored.etag });
    session.output.result(&format!("stored {}", shown(&target.to_string())), &value)
}

async fn on_the_server(
    session: &Session,
    source: OssUri,
    target: OssUri,
    content_type: Option<String>,
    no_overwrite: bool,
) -> Result<(), Failure> {
    object(&source)?;
    let key = target_key(&target, Some(last_segment(&source.key)))?;
    let attributes = content_type.map(|content_type| ObjectAttributes {
        content_type: Some(content_type),
        ..ObjectAttributes::default()
    });
    let copied = session
        .client
        .copy_object(CopyObjectRequest {
            source_bucket: source.bucket,
            source_key: source.key,
            bucket: target.bucket.clone(),
            key: key.clone(),
            attributes,
            forbid_overwrite: no_overwrite,
        })
        .await?;
    let target = OssUri { bucket: target.bucket, key };
    let value = json!({ "bucket": target.bucket, "key": target.key, "etag": copied.etag });
    session.output.result(&format!("copied to {}", shown(&target.to_string())), &value)
}

async fn download(
    session: &Session,
    place: &OssUri,
    file: PathBuf,
    no_overwrite: bool,
) -> Result<(), Failure> {
    let (bucket, key) = object(place)?;
    let request = GetObjectRequest::new(bucket, key);
    if is_stream(&file) {
        let body = session.client.get_object(request).await?.body;
        return receive(body, &mut io::stdout(), &Failure::output).await.map(drop);
    }
    let target = target_file(file, key)?;
    if no_overwrite && target.exists() {
        return Err(Failure::Usage(format!("{} exists", target.display())));
    }
    let body = session.client.get_object(request).await?.body;
    let length = save(body, &target).await?;
    let value = json!({ "file": target.display().to_string(), "length": length });
    let text = format!("wrote {} bytes to {}", length, shown(&target.display().to_string()));
    session.output.result(&text, &value)
}

/// The file to write: in a folder, the object's last name.
fn target_file(file: PathBuf, key: &str) -> Result<PathBuf, Failure> {
    let is_folder = file.is_dir() || file.as_os_str().as_encoded_bytes().ends_with(b"/");
    if !is_folder {
        return Ok(file);
    }
    match last_segment(key) {
        // A key is whatever its writer chose; it must not lead out of the folder.
        "" | "." | ".." => Err(Failure::Usage(format!("{key:?} does not end in a file name"))),
        name => Ok(file.join(name)),
    }
}

/// Writes a download to a temporary name and gives it the target's when it is whole.
async fn save(body: Download, target: &Path) -> Result<u64, Failure> {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    let part = target.with_file_name(name);
    let error = |path: &Path| {
        let path = path.to_owned();
        move |error: &io::Error| Failure::file(&path, error)
    };
    let mut file = File::create_new(&part).map_err(|failed| error(&part)(&failed))?;
    let received = receive(body, &mut file, &error(&part)).await;
    let result = received.and_then(|length| {
        fs::rename(&part, target).map_err(|failed| error(target)(&failed)).map(|()| length)
    });
    if result.is_err() {
        // What is left is of no use; that it cannot be removed changes nothing about the failure.
        let _ = fs::remove_file(&part);
    }
    result
}

/// Writes all of a download and says how long it was.
async fn receive(
    mut body: Download,
    out: &mut impl Write,
    failed: &impl Fn(&io::Error) -> Failure,
) -> Result<u64, Failure> {
    let mut length = 0;
    while let Some(chunk) = body.next_chunk().await {
        let chunk = chunk?;
        out.write_all(&chunk).map_err(|error| failed(&error))?;
        length += chunk.len() as u64;
    }
    out.flush().map_err(|error| failed(&error))?;
    Ok(length)
}

/// A content type by the ending of a name, for the endings that browsers and log viewers care about.
pub(crate) fn content_type(key: &str) -> Option<String> {
    let (_, ending) = last_segment(key).rsplit_once('.')?;
    let content_type = match ending.to_ascii_lowercase().as_str() {
        "txt" | "log" | "md" => "text/plain",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "js" | "mjs" => "text/javascript",
        "json" => "application/json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "tar" => "application/x-tar",
        "wasm" => "application/wasm",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "ts" => "video/mp2t",
        _ => return None,
    };
    Some(content_type.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_ends_in_a_slash_keeps_the_sources_name() {
        let uri = |text: &str| text.parse::<OssUri>().unwrap();
        let key = |target: &str, name| target_key(&uri(target), name).ok();
        assert_eq!(key("oss://b/k", Some("f")).as_deref(), Some("k"));
        assert_eq!(key("oss://b/d/", Some("f")).as_deref(), Some("d/f"));
        assert_eq!(key("oss://b", Some("f")).as_deref(), Some("f"));
        assert_eq!(key("oss://b/d/", None), None);
        assert_eq!(key("oss://b", Some("")), None);
    }

    #[test]
    fn a_key_cannot_lead_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let target = |key: &str| target_file(folder.path().to_owned(), key).ok();
        assert_eq!(target("a/b.txt"), Some(folder.path().join("b.txt")));
        assert_eq!(target("a/.."), None);
        assert_eq!(target("a/"), None);
        assert_eq!(target("."), None);
    }

    #[test]
    fn content_types_follow_the_last_ending() {
        assert_eq!(content_type("a/b.LOG").as_deref(), Some("text/plain"));
        assert_eq!(content_type("a.tar.gz").as_deref(), Some("application/gzip"));
        assert_eq!(content_type("a.b/c"), None);
        assert_eq!(content_type("README"), None);
    }
}
