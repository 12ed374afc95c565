//! The same through the program and HTTP: no 200 with other bytes than were acknowledged. A body that ends before its length is a
//! refusal; one that has its whole length must be right.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Stdio},
    sync::mpsc,
    time::Duration,
};

use ossia_client::{
    Client, ClientError, Credentials, GetObjectRequest, ListObjectsRequest, RetryPolicy,
};

use crate::{
    common::{self, Random},
    harm, judge,
    judge::Verdict,
    number,
    store::{self, BUCKET, Known, Made},
};

/// Damages in a usual run.
const DAMAGES: usize = 20;
/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(60);
/// The settings that the store was made with.
const SETTINGS: [&str; 4] = [
    "engine.segment_bytes=16384",
    "engine.journal_bytes=262144",
    "engine.memtable_bytes=24576",
    "engine.reserve_bytes=0",
];

#[test]
fn no_damaged_store_is_served_wrong_over_http() {
    let count = number("OSSIA_SERVED_DAMAGES", DAMAGES);
    let mut random = Random::seeded();
    let made = store::make(&mut random);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut sums = [0; 3];
    let mut silent = Vec::new();
    for _ in 0..count {
        let harm = harm::random(&made, &mut random);
        let folder = judge::damaged_copy(&made, &harm);
        match serve(folder.path(), &made, &runtime) {
            Verdict::Served => sums[0] += 1,
            Verdict::Refused(_) => sums[1] += 1,
            Verdict::Stopped(_) => sums[2] += 1,
            Verdict::Silent(what) => silent.push(format!("{harm:?}: {what}")),
        }
    }
    let [served, refused, stopped] = sums;
    println!(
        "{count}: {served} served, {refused} refused, {stopped} stopped, {} silent",
        silent.len()
    );
    assert!(silent.is_empty(), "{silent:#?}");
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(data: &Path, made: &Made, runtime: &tokio::runtime::Runtime) -> Verdict {
    let mut command = common::ossia();
    let keys = concat!(env!("CARGO_TARGET_TMPDIR"), "/test.master-key");
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--master-key-file", keys, "--data"])
        .arg(data);
    for setting in SETTINGS {
        command.args(["--set", setting]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let out = running.0.stdout.take().unwrap();
    let mut err = running.0.stderr.take().unwrap();
    // Read all the time, so that the server never waits for someone to read.
    let log = std::thread::spawn(move || {
        let mut text = String::new();
        // What is no text is not compared.
        let _ = err.read_to_string(&mut text);
        text
    });
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            // Nobody listens once the address is known.
            let _ = send.send(line);
        }
    });
    let endpoint = loop {
        match lines.recv_timeout(START_MAX) {
            Ok(line) => {
                if let Some(address) = line.trim().strip_prefix("listening on ") {
                    break Some(address.to_owned());
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break None,
            Err(mpsc::RecvTimeoutError::Timeout) => return Verdict::Silent("no start".into()),
        }
    };
    let Some(endpoint) = endpoint else {
        let status = running.0.wait().unwrap();
        let log = log.join().unwrap();
        let message = log.lines().find(|line| line.starts_with("ossia: ")).unwrap_or_default();
        return match status.code() {
            Some(1 | 4) => judge::stopped(data, message.to_owned()),
            code => Verdict::Silent(format!("it ended with {code:?}: {log}")),
        };
    };
    let client = Client::builder(endpoint)
        .credentials(Credentials::new(common::KEY_ID, common::KEY_SECRET))
        .retry(RetryPolicy::NONE)
        .build()
        .unwrap();
    let told = runtime.block_on(look(&client, &made.objects));
    drop(running);
    match told {
        Ok(0) => Verdict::Served,
        Ok(refused) => Verdict::Refused(refused),
        Err(what) => Verdict::Silent(what),
    }
}

async fn look(client: &Client, known: &BTreeMap<String, Known>) -> Result<usize, String> {
    let mut refused = 0;
    for (name, known) in known {
        refused += usize::from(!get(client, name, known).await?);
    }
    let mut listed = BTreeMap::new();
    let mut pages = client.list_objects_pages(ListObjectsRequest::new(BUCKET));
    loop {
        match pages.next_page().await {
            Ok(Some(page)) => {
                listed.extend(page.objects.into_iter().map(|object| (object.key, object.size)));
            }
            Ok(None) => break,
            Err(error) => return refusal("the listing", &error).map(|()| refused + 1),
        }
    }
    let expected: BTreeMap<_, _> =
        known.iter().map(|(name, known)| (name.clone(), known.bytes.len() as u64)).collect();
    if listed == expected { Ok(refused) } else { Err(format!("the listing is {listed:?}")) }
}

fn refusal(name: &str, error: &ClientError) -> Result<(), String> {
    let refused = match error {
        ClientError::Transport { .. } => true,
        error => error.status().is_some_and(|status| status >= 500),
    };
    if refused { Ok(()) } else { Err(format!("{name}: {error}")) }
}

async fn get(client: &Client, name: &str, known: &Known) -> Result<bool, String> {
    let answer = match client.get_object(GetObjectRequest::new(BUCKET, name)).await {
        Ok(answer) => answer,
        Err(error) => return refusal(name, &error).map(|()| false),
    };
    if answer.meta.length != known.bytes.len() as u64 || answer.meta.crc64 != Some(known.crc64) {
        return Err(format!("{name}: {:?}", answer.meta));
    }
    let mut body = answer.body;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next_chunk().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) if bytes.len() < known.bytes.len() && known.bytes.starts_with(&bytes) => {
                return refusal(name, &error).map(|()| false);
            }
            Err(error) => return Err(format!("{name}: {} bytes, then {error}", bytes.len())),
        }
    }
    if bytes == known.bytes { Ok(true) } else { Err(format!("{name}: wrong bytes")) }
}
