//! `ossia usage`: what each bucket holds.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use ossia_engine::{Inspection, OpenError};
use ossia_store::Store;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::{check, control};

/// What `ossia usage` takes.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// The data folder, of a running server or not
    #[arg(value_name = "DIR", default_value = "ossia-data")]
    data: PathBuf,
    /// Print one JSON object a line: buckets, then the folder
    #[arg(long)]
    json: bool,
}

/// Tells what each bucket holds.
pub(crate) async fn run(arguments: UsageArgs) -> ExitCode {
    match buckets(&arguments.data).await {
        Ok(buckets) => {
            print(&buckets, &arguments);
            ExitCode::SUCCESS
        }
        Err((message, code)) => {
            eprintln!("ossia: {message}");
            ExitCode::from(code)
        }
    }
}

async fn buckets(data: &Path) -> Result<Vec<serde_json::Value>, (String, u8)> {
    let failed = |error: &dyn std::fmt::Display| (error.to_string(), check::COULD_NOT);
    let folder = data.to_owned();
    let opened =
        tokio::task::spawn_blocking(move || Inspection::open(&folder, &std::env::temp_dir()));
    match opened.await.map_err(|error| failed(&error))? {
        Ok(inspection) => {
            let store: Arc<dyn Store> = Arc::new(inspection);
            let mut buckets = Vec::new();
            let told = ossia_objects::usage(&store, |usage| buckets.push(control::json(&usage)));
            told.await.map_err(|error| failed(&error))?;
            Ok(buckets)
        }
        Err(locked @ OpenError::Locked { .. }) => {
            let of_server = ask(data).await;
            of_server.map_err(|error| {
                (format!("{locked}, and it does not tell: {error}"), check::IN_USE)
            })
        }
        Err(error) => Err(failed(&error)),
    }
}

/// Asks the running server.
async fn ask(data: &Path) -> io::Result<Vec<serde_json::Value>> {
    let (from, mut to) = control::connect(data).await?.into_split();
    to.write_all(b"usage\n").await?;
    let mut lines = BufReader::new(from).lines();
    let mut buckets = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if line == "end" {
            return Ok(buckets);
        }
        if let Some(why) = line.strip_prefix("error ") {
            return Err(io::Error::other(why.to_owned()));
        }
        buckets.push(serde_json::from_str(&line)?);
    }
    Err(io::Error::other("it ended in the middle"))
}

/// What the parts of the folder take on the disk.
fn on_disk(data: &Path) -> [(&'static str, u64); 5] {
    let mut sums = [("journal", 0), ("index", 0), ("values", 0), ("blobs", 0), ("staging", 0)];
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        // Files come and go; what has gone takes nothing.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            use std::os::unix::fs::MetadataExt as _;
            let path = entry.path();
            let Ok(told) = entry.metadata() else { continue };
            if told.is_dir() {
                folders.push(path);
            } else if let Some((_, sum)) = sums.iter_mut().find(|(kind, _)| {
                path.strip_prefix(data).is_ok_and(|path| path.iter().any(|part| part == *kind))
            }) {
                *sum += told.blocks() * 512;
            }
        }
    }
    sums
}

fn print(buckets: &[serde_json::Value], arguments: &UsageArgs) {
    let disk = on_disk(&arguments.data);
    if arguments.json {
        for bucket in buckets {
            println!("{bucket}");
        }
        let disk: serde_json::Map<_, _> =
            disk.into_iter().map(|(kind, bytes)| (kind.to_owned(), bytes.into())).collect();
        println!("{}", serde_json::json!({ "on_disk": disk }));
        return;
    }
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
    println!("{:<40} {:>12} {:>18} {:>18}", "bucket", "objects", "bytes", "let go");
    for bucket in buckets {
        let name = bucket["bucket"].as_str().unwrap_or_default();
        let (objects, bytes) = (number(&bucket["objects"]), number(&bucket["bytes"]));
        println!("{name:<40} {objects:>12} {bytes:>18} {:>18}", number(&bucket["let_go"]["bytes"]));
        let older = &bucket["noncurrent"];
        if number(&older["objects"]) > 0 {
            let (objects, bytes) = (number(&older["objects"]), number(&older["bytes"]));
            println!("  {:<38} {objects:>12} {bytes:>18}", "older versions");
        }
        if number(&bucket["delete_markers"]) > 0 {
            println!("  {:<38} {:>12}", "delete markers", number(&bucket["delete_markers"]));
        }
        for group in ["classes", "types"] {
            for (kind, told) in bucket[group].as_object().into_iter().flatten() {
                let (objects, bytes) = (number(&told["objects"]), number(&told["bytes"]));
                println!("  {kind:<38} {objects:>12} {bytes:>18}");
            }
        }
    }
    let all: u64 = disk.iter().map(|(_, bytes)| bytes).sum();
    let parts: Vec<String> = disk.iter().map(|(kind, bytes)| format!("{kind} {bytes}")).collect();
    println!("on disk: {all} bytes ({})", parts.join(", "));
}
