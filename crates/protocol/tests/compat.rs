//! `docs/COMPAT.md` is what the code and the record of the SDK suites say, and every operation done was seen done.
//!
//! `cargo xtask compat --write` runs the suites, writes the record and then this page (`OSSIA_WRITE=1`).

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
};

use ossia_protocol::operation::{CLIENTS, Level, Operation, State};

/// What the suites did: by operation, by client, the case that did the least beside it.
type Record = BTreeMap<String, BTreeMap<String, String>>;

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn record() -> Record {
    let mut record = Record::new();
    let text = fs::read_to_string(file("compat/record.tsv")).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [operation, client, case] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("compat/record.tsv: {line}");
        };
        record.entry(operation.to_owned()).or_default().insert(client.to_owned(), case.to_owned());
    }
    record
}

/// The official SDKs among clients; the rest are tools, browsers and plain HTTP.
fn is_sdk(client: &str) -> bool {
    client == "java" || CLIENTS.iter().any(|(_, name)| *name == client)
}

#[test]
fn every_operation_done_was_seen_done_by_two_sdks_or_as_many_as_have_it() {
    let record = record();
    let mut wrong = String::new();
    for operation in Operation::ALL {
        let standing = operation.standing();
        let seen: BTreeSet<&str> = match record.get(operation.name()) {
            Some(clients) => clients.keys().map(String::as_str).collect(),
            None => BTreeSet::new(),
        };
        if let State::Refused(_) = standing.state {
            if !seen.is_empty() {
                writeln!(wrong, "{operation} is refused, but was answered to {seen:?}").unwrap();
            }
            continue;
        }
        let able = CLIENTS.iter().filter(|(letter, _)| standing.clients.contains(*letter)).count();
        let sdks = seen.iter().filter(|client| is_sdk(client)).count();
        // What fewer than two have is shown by what is left: a tool, a browser, or plain HTTP.
        let enough = sdks >= able.min(2) && (able >= 2 || seen.len() > usize::from(able > 0));
        // What is refused in each of its forms has no success that could be seen.
        let refuses =
            matches!(operation, Operation::PutBucketEncryption | Operation::GetBucketEncryption);
        if !enough && !refuses {
            writeln!(wrong, "{operation}: {able} SDKs have it, seen by {seen:?}").unwrap();
        }
    }
    for name in record.keys() {
        if !Operation::ALL.iter().any(|operation| operation.name() == name) {
            writeln!(wrong, "{name} is no operation").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_page_says_what_code_and_record_say() {
    let page = page(&record());
    let path = file("docs/COMPAT.md");
    if std::env::var_os("OSSIA_WRITE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "docs/COMPAT.md is stale: cargo xtask compat --write");
}

fn page(record: &Record) -> String {
    let count = |wanted: fn(State) -> bool| {
        Operation::ALL.iter().filter(|operation| wanted(operation.standing().state)).count()
    };
    let mut page = format!(
        "# Operations\n\n\
        Every operation of the protocol, what this server does with it, and which client was seen doing it.\n\n\
        {} of {} operations are done, {} in part, {} refused. What is refused answers 400 \
        `NotImplemented` and names the operation.\n\n\
        The page is made by `cargo xtask compat --write`: states stand beside `Operation` in \
        `crates/protocol`, and what shows them is\n\
        what the server saw while the SDK suites ran: who asked for the operation and was \
        answered with success, and the case in which\n\
        that client did the least besides. Clients: ali-oss (Node), oss2, python-v2 (alibabacloud-oss-v2), go-v1\n\
        (aliyun-oss-go-sdk), go-v2 (alibabacloud-oss-go-sdk-v2), java, opendal, ossutil, \
        browser (a page, by ali-oss's build for browsers\n\
        and by itself), and http (plain requests without an SDK). A priority of P0 is what \
        every program needs, P3 what has a meaning inside Alibaba's cloud alone.\n",
        count(|state| state == State::Done),
        Operation::ALL.len(),
        count(|state| matches!(state, State::Partial(_))),
        count(|state| matches!(state, State::Refused(_))),
    );
    for (level, title) in
        [(Level::Service, "Service"), (Level::Bucket, "Buckets"), (Level::Object, "Objects")]
    {
        write!(page, "\n## {title}\n\n| operation | | state | shown by |\n|---|---|---|---|\n")
            .unwrap();
        let of_level = || Operation::ALL.iter().filter(|operation| operation.level() == level);
        for operation in of_level() {
            let standing = operation.standing();
            let state = match standing.state {
                State::Done => "done".to_owned(),
                State::Partial(missing) => format!("partial: {missing}"),
                State::Refused(_) => continue,
            };
            let shown: Vec<String> = record
                .get(operation.name())
                .into_iter()
                .flatten()
                .map(|(client, case)| format!("{client}: {}", case.replace('|', "\\|")))
                .collect();
            let priority = standing.priority;
            let shown = shown.join("; ");
            writeln!(page, "| {operation} | P{priority} | {state} | {shown} |").unwrap();
        }
        let mut reasons: Vec<((u8, &str), Vec<&str>)> = Vec::new();
        for operation in of_level() {
            let standing = operation.standing();
            let State::Refused(reason) = standing.state else { continue };
            let key = (standing.priority, reason);
            match reasons.iter_mut().find(|(known, _)| *known == key) {
                Some((_, names)) => names.push(operation.name()),
                None => reasons.push((key, vec![operation.name()])),
            }
        }
        if reasons.is_empty() {
            continue;
        }
        page.push_str("\n| refused | | why |\n|---|---|---|\n");
        for ((priority, reason), names) in reasons {
            writeln!(page, "| {} | P{priority} | {reason} |", names.join(", ")).unwrap();
        }
    }
    page
}
