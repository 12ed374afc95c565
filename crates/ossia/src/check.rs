//! `ossia check`: reads a store through and says what is wrong with it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use ossia_engine::{FileFinding, Inspection, OpenError};
use ossia_keys::MasterKeys;
use ossia_objects::{CheckOptions, Checked, Failure, Finding, StoreCheck};
use ossia_store::Store;

use crate::keyfile;

/// Everything read was as it was written.
pub(crate) const CLEAN: u8 = 0;
/// Something was found.
pub(crate) const FOUND: u8 = 1;
/// It could not be done.
pub(crate) const COULD_NOT: u8 = 2;
/// A server has the folder.
pub(crate) const IN_USE: u8 = 3;

/// What `ossia check` takes.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The data folder
    #[arg(value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The file with the master keys [default: beside the data folder, if it is there]. Without it, what is encrypted is compared
    /// with the store's own checksums alone
    #[arg(long, value_name = "FILE")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// Check records, and that blobs are there, but do not read the bytes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Objects to read at once
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) jobs: u8,
    /// Read no more than so many MiB a second; 0 for as fast as it goes
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    pub(crate) mib_per_s: u64,
    /// Print one JSON object a line: findings, then a summary
    #[arg(long)]
    pub(crate) json: bool,
}

/// Checks a data folder that no server has open.
pub(crate) async fn run(arguments: CheckArgs) -> ExitCode {
    let options = CheckOptions {
        bytes: !arguments.quick,
        jobs: arguments.jobs.into(),
        bytes_per_s: arguments.mib_per_s << 20,
    };
    let keys = match keyfile::for_reading(arguments.master_key_file.as_deref(), &arguments.data) {
        Ok(keys) => Arc::new(keys),
        Err(error) => {
            eprintln!("ossia: {error}");
            return ExitCode::from(COULD_NOT);
        }
    };
    let code = check(&arguments.data, &options, keys, arguments.json).await;
    ExitCode::from(code)
}

/// Checks a folder and prints what it finds. The exit code.
pub(crate) async fn check(
    data: &Path,
    options: &CheckOptions,
    keys: Arc<MasterKeys>,
    json: bool,
) -> u8 {
    let began = Instant::now();
    let report = Report { json, found: Arc::default() };
    let folder = data.to_owned();
    let opened =
        tokio::task::spawn_blocking(move || Inspection::open(&folder, &std::env::temp_dir()));
    let inspection = match opened.await {
        Ok(Ok(inspection)) => Arc::new(inspection),
        Ok(Err(error)) => return refused(data, error, &report),
        Err(error) => {
            eprintln!("ossia: {error}");
            return COULD_NOT;
        }
    };
    match walk(&inspection, options, keys, &report).await {
        Ok((checked, journal, tables)) => {
            let found = report.found.load(Ordering::Relaxed);
            report.summary(&inspection, &checked, (journal, tables), began.elapsed(), options);
            if found == 0 { CLEAN } else { FOUND }
        }
        Err(failure) => {
            eprintln!("ossia: the check could not go on: {}", inspection.real_names(&failure));
            COULD_NOT
        }
    }
}

/// Tells why the store could not be opened; damage is a finding.
fn refused(data: &Path, error: OpenError, report: &Report) -> u8 {
    match error {
        OpenError::Locked { .. } => {
            eprintln!(
                "ossia: {error}: a server is running on it; stop it to check the folder, or leave it to the server \
                 itself, whose scrub reads everything in turn (scrub.bytes_per_s) and tells of damage in its log and \
                 metrics"
            );
            IN_USE
        }
        OpenError::Damaged { file, offset, what, advice } => {
            report.file(
                &FileFinding { file, offset, what: format!("{what}; a server does not start") },
                &advice,
            );
            if !report.json {
                println!("{}: 1 finding; nothing more can be read before that", data.display());
            }
            FOUND
        }
        other => {
            eprintln!("ossia: {other}");
            COULD_NOT
        }
    }
}

type Walked = (Checked, ossia_engine::JournalCounts, ossia_engine::TableCounts);

async fn walk(
    inspection: &Arc<Inspection>,
    options: &CheckOptions,
    keys: Arc<MasterKeys>,
    report: &Report,
) -> Result<Walked, String> {
    let (files, of) = (report.clone(), Arc::clone(inspection));
    let read_tables = options.bytes;
    let (journal, tables) = tokio::task::spawn_blocking(move || {
        let mut told = |found: FileFinding| {
            files.file(
                &found,
                "restore the store from a backup, or keep a copy of it before you try anything",
            );
        };
        let journal = of.check_journal(&mut told);
        (journal, if read_tables { of.check_tables(&mut told) } else { Default::default() })
    })
    .await
    .map_err(|error| error.to_string())?;
    let (objects, of) = (report.clone(), Arc::clone(inspection));
    let store: Arc<dyn Store> = Arc::clone(inspection) as Arc<dyn Store>;
    let told = move |found: Finding| objects.object(&of, &found);
    let mut check = StoreCheck::new(store, options, keys, told);
    let failed = |failure: Failure| failure.to_string();
    let store: Arc<dyn Store> = Arc::clone(inspection) as Arc<dyn Store>;
    for what in ossia_ram::check(&store).await.map_err(|error| error.to_string())? {
        let advice = "restore the store from a backup";
        report.object(inspection, &Finding { what, advice, ..Finding::default() });
    }
    check.buckets().await.map_err(failed)?;
    let mut at = None;
    while let Some(partition) = inspection.next_partition(at).map_err(|error| error.to_string())? {
        check.partition(partition);
        at = Some(partition);
    }
    for first in 0..=u8::MAX {
        for id in inspection.adopted_blobs(first).map_err(|error| error.to_string())? {
            let path = inspection.blob_path(id);
            let owner = inspection
                .blob_owner(id)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            check.blob(id, owner.as_deref()).await.map_err(failed)?;
        }
    }
    check.unnamed().await.map_err(failed)?;
    Ok((check.checked(), journal, tables))
}

/// Where findings go.
#[derive(Debug, Clone)]
struct Report {
    json: bool,
    found: Arc<AtomicU64>,
}

impl Report {
    fn file(&self, found: &FileFinding, advice: &str) {
        self.found.fetch_add(1, Ordering::Relaxed);
        let FileFinding { file, offset, what } = found;
        if self.json {
            let file = file.display().to_string();
            println!(
                "{}",
                serde_json::json!({ "finding": what, "file": file, "offset": offset, "advice": advice })
            );
        } else {
            println!("{} at {offset}: {what}; {advice}", file.display());
        }
    }

    fn object(&self, inspection: &Inspection, found: &Finding) {
        self.found.fetch_add(1, Ordering::Relaxed);
        if !self.json {
            println!("{}", inspection.real_names(&found.to_string()));
            return;
        }
        let what = inspection.real_names(&found.what);
        let Finding { bucket, key, range, blob, advice, .. } = found;
        println!(
            "{}",
            serde_json::json!({
                "finding": what, "bucket": bucket, "key": key, "range": range, "blob": blob, "advice": advice,
            })
        );
    }

    fn summary(
        &self,
        inspection: &Inspection,
        checked: &Checked,
        (journal, tables): (ossia_engine::JournalCounts, ossia_engine::TableCounts),
        took: Duration,
        options: &CheckOptions,
    ) {
        let found = self.found.load(Ordering::Relaxed);
        let Checked {
            buckets,
            objects,
            extents,
            bytes,
            references,
            blobs,
            let_go,
            let_go_bytes,
            unopened,
            ..
        } = *checked;
        if self.json {
            println!(
                "{}",
                serde_json::json!({
                    "findings": found, "buckets": buckets, "objects": objects, "extents": extents,
                    "bytes": bytes, "references": references, "blobs": blobs, "let_go": let_go,
                    "let_go_bytes": let_go_bytes, "unopened": unopened, "segments": journal.segments, "frames": journal.frames,
                    "tables": tables.tables, "format": inspection.format(), "shards": inspection.shards(),
                    "quick": !options.bytes, "seconds": took.as_secs_f64(),
                })
            );
            return;
        }
        let read = if options.bytes {
            format!("{bytes} bytes read")
        } else {
            "no bytes read (--quick)".to_owned()
        };
        println!(
            "{buckets} buckets, {objects} objects in {extents} extents, {read}, {blobs} blobs, {} frames in {} \
             segments, {} tables; {let_go_bytes} bytes let go and not yet reclaimed; {:.1} s",
            journal.frames,
            journal.segments,
            tables.tables,
            took.as_secs_f64()
        );
        if unopened > 0 {
            println!(
                "{unopened} encrypted objects could not be opened for want of their master key: only the store's own checksums \
                 were compared"
            );
        }
        match found {
            0 => println!("clean"),
            1 => println!("1 finding"),
            _ => println!("{found} findings"),
        }
    }
}
