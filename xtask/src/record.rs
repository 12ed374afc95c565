//! Which client was seen doing which operation: read from the servers' logs, kept in `compat/record.tsv`.
//!
//! A suite announces each of its cases with a request of its own, so that the log says which requests belong to it. Who asked is
//! what the request's User-Agent says, and only requests that were answered with success count, in cases that passed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::report::{Case, Ending};
use crate::{Outcome, process, tree};

/// What a server has to log for this.
pub(crate) const LOG: &str = "info,ossia::operations=debug";

/// What a case's announcement has as its User-Agent, before `LABEL / CASE`.
const MARK: &str = "case: ";

/// Plain requests, which every suite may send.
const PLAIN: &str = "http";

/// A part of the User-Agent, and who sends it; the first that is found decides.
const CLIENTS: [(&str, &str); 10] = [
    ("ossutil", "ossutil"),
    ("aliyun-sdk-nodejs/", "ali-oss"),
    ("aliyun-sdk-python/", "oss2"),
    ("alibabacloud-python-sdk-v2/", "python-v2"),
    ("aliyun-sdk-go/", "go-v1"),
    ("alibabacloud-go-sdk-v2/", "go-v2"),
    ("aliyun-sdk-java/", "java"),
    ("opendal", "opendal"),
    ("Mozilla/", "browser"),
    ("", PLAIN),
];

/// By client and case, the operations that were answered with success.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(BTreeMap<(&'static str, String), BTreeSet<String>>);

impl Seen {
    /// Adds what a server's log tells of cases that passed.
    pub(crate) fn add(&mut self, log: &str, cases: &[Case]) {
        let mut passed: BTreeMap<&str, &str> = BTreeMap::new();
        let labels: Vec<String> =
            cases.iter().map(|case| format!("{} / {}", case.label, case.name)).collect();
        for (case, label) in cases.iter().zip(&labels) {
            if case.ending == Ending::Passed {
                passed.insert(label, &case.name);
            }
        }
        let mut case = None;
        for line in log.lines().filter(|line| line.contains(" ossia::operations: ")) {
            let agent = between(line, "user_agent=Some(\"", "\")").unwrap_or_default();
            if let Some(label) = agent.strip_prefix(MARK) {
                case = passed.get_key_value(label);
                continue;
            }
            let success = between(line, "status=", " ").is_some_and(|s| s.starts_with(['2', '3']));
            let operation = between(line, "operation=\"", "\"").unwrap_or("none");
            let (Some((label, case)), true, false) = (case, success, operation == "none") else {
                continue;
            };
            // One client says nothing of itself; its suite sends nothing else without a name.
            let nameless = agent.is_empty() && label.starts_with("opendal ");
            let agent = if nameless { "opendal" } else { agent };
            let client = CLIENTS.iter().find(|(part, _)| agent.contains(part));
            let client = client.map_or(PLAIN, |(_, client)| *client);
            let key = (client, (*case).to_owned());
            self.0.entry(key).or_default().insert(operation.to_owned());
        }
    }

    /// One row for each operation of each client, with the case in which the client did the least besides.
    fn rows(&self) -> Rows {
        let mut best: BTreeMap<(String, String), (usize, &str)> = BTreeMap::new();
        for ((client, case), operations) in &self.0 {
            for operation in operations {
                let candidate = (operations.len(), case.as_str());
                let key = (operation.clone(), (*client).to_owned());
                let least = best.entry(key).or_insert(candidate);
                *least = candidate.min(*least);
            }
        }
        best.into_iter().map(|(key, (_, case))| (key, case.to_owned())).collect()
    }

    /// What `compat/record.tsv` should say after this run, given what it says.
    fn merged(&self, old: &Rows, whole: bool) -> Rows {
        let clients: BTreeSet<&str> =
            self.0.keys().map(|(client, _)| *client).filter(|c| whole || *c != PLAIN).collect();
        let mut rows = old.clone();
        rows.retain(|(_, client), _| !clients.contains(client.as_str()));
        let new = self.rows().into_iter().filter(|((_, c), _)| clients.contains(c.as_str()));
        rows.extend(new);
        rows
    }
}

/// By operation and client, the case.
type Rows = BTreeMap<(String, String), String>;

fn between<'l>(line: &'l str, start: &str, end: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(start)?;
    rest.split_once(end).map(|(value, _)| value)
}

fn path() -> PathBuf {
    tree::root().join("compat/record.tsv")
}

fn parse(text: &str) -> Rows {
    let mut rows = Rows::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split('\t').map(str::to_owned);
        if let (Some(operation), Some(client), Some(case)) =
            (words.next(), words.next(), words.next())
        {
            rows.insert((operation, client), case);
        }
    }
    rows
}

fn text(rows: &Rows) -> String {
    let mut text = String::from(
        "# Made by `cargo xtask compat --write`: operation, client, the case in which it was seen done.\n",
    );
    for ((operation, client), case) in rows {
        text += &format!("{operation}\t{client}\t{case}\n");
    }
    text
}

/// What the record lacks or has too much, as remarks; with `write` it is brought up to date, and the page made of it too.
pub(crate) fn settle(seen: &Seen, whole: bool, write: bool) -> Outcome<Vec<String>> {
    let old = parse(&fs::read_to_string(path()).unwrap_or_default());
    let new = seen.merged(&old, whole);
    if write {
        fs::write(path(), text(&new)).map_err(|error| format!("{}: {error}", path().display()))?;
        let mut page =
            crate::check::cargo(&["test", "-q", "-p", "ossia-protocol", "--test", "compat"]);
        page.env("OSSIA_WRITE", "1");
        return Ok(if process::succeeds(&mut page)? {
            Vec::new()
        } else {
            vec!["docs/COMPAT.md was written, and not all of it is as it should be".to_owned()]
        });
    }
    let mut remarks = Vec::new();
    for (rows, others, what) in [(&new, &old, "was seen"), (&old, &new, "was not seen")] {
        for (row, case) in rows.iter().filter(|(row, case)| others.get(*row) != Some(*case)) {
            remarks.push(format!("{} of {} {what} in: {case}", row.0, row.1));
        }
    }
    if !remarks.is_empty() {
        remarks.insert(0, "compat/record.tsv is stale: cargo xtask compat --write".to_owned());
    }
    Ok(remarks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(operation: &str, status: u16, agent: &str) -> String {
        format!(
            "2026-01-15T08:30:45Z DEBUG ossia::operations: decided request_id=6 operation=\"{operation}\" \
             status={status} user_agent={agent}\n"
        )
    }

    #[test]
    fn only_success_in_a_case_that_passed_is_seen_and_the_least_case_shows_it() {
        let cases: Vec<Case> = [
            "ok - java v4 path / all",
            "ok - java v4 path / few",
            "not ok - java v4 path / bad: why",
        ]
        .iter()
        .filter_map(|line| Case::parse(line))
        .collect();
        let java = "Some(\"aliyun-sdk-java/3.18(Linux)\")";
        let log = [
            line("PutBucket", 200, java),
            line("none", 200, "Some(\"case: java v4 path / all\")"),
            line("PutObject", 200, java),
            line("GetObject", 200, java),
            line("HeadObject", 404, java),
            line("GetObject", 206, "None"),
            line("none", 200, "Some(\"case: java v4 path / few\")"),
            line("GetObject", 304, java),
            line("none", 200, "Some(\"case: java v4 path / bad\")"),
            line("CopyObject", 200, java),
        ];
        let mut seen = Seen::default();
        seen.add(&log.concat(), &cases);
        let rows = seen.rows();
        let rows: Vec<String> =
            rows.iter().map(|((o, c), case)| format!("{o} {c} {case}")).collect();
        assert_eq!(rows, ["GetObject http all", "GetObject java few", "PutObject java all"]);
    }

    #[test]
    fn a_part_of_the_suites_changes_its_own_rows_alone() {
        let old = parse("#\nA\tjava\tx\nA\thttp\tx\nB\tgo-v1\ty\nC\tjava\tz\n");
        let mut seen = Seen::default();
        let operations = BTreeSet::from(["A".to_owned()]);
        seen.0.insert(("java", "new".to_owned()), operations.clone());
        seen.0.insert((PLAIN, "new".to_owned()), operations);
        let part = seen.merged(&old, false);
        assert_eq!(part, parse("A\tjava\tnew\nA\thttp\tx\nB\tgo-v1\ty\n"));
        assert_eq!(parse(&text(&part)), part);
        assert_eq!(seen.merged(&old, true), parse("A\tjava\tnew\nA\thttp\tnew\nB\tgo-v1\ty\n"));
    }
}
