//! `tidy`: what no compiler looks at. Room edges, left-overs, long lines, machine paths, that the files which
//! ARCHITECTURE.md names exist, and the tests that docs/DURABILITY.md names. Every rule is a pure function of a file's name and text.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{Outcome, tree};

/// Which rooms a room may use in production code. Test code may look in from outside.
const ROOMS: [(&str, &[&str]); 14] = [
    ("protocol", &[]),
    ("store", &[]),
    ("engine", &["store"]),
    ("rados", &["store"]),
    ("access", &["protocol"]),
    ("keys", &[]),
    ("objects", &["keys", "protocol", "store"]),
    ("ram", &["access", "keys", "protocol", "store"]),
    ("server", &["access", "keys", "objects", "protocol", "ram", "store"]),
    ("client", &["protocol"]),
    ("cli", &["client", "protocol"]),
    (
        "ossia",
        &[
            "access", "cli", "client", "engine", "keys", "objects", "protocol", "rados", "ram",
            "server", "store",
        ],
    ),
    ("model", &["protocol"]),
    ("sim", &["client", "engine", "model", "objects", "protocol", "rados", "server", "store"]),
];

/// Columns of a line of Rust beyond which rustfmt has given up and a person should not.
const COLUMNS_MAX: usize = 120;
/// The same for comments, which rustfmt never breaks.
const COMMENT_COLUMNS_MAX: usize = 134;
/// A larger file is a mistake more often than a wish.
const FILE_BYTES_MAX: usize = 1024 * 1024;

const STRAY_ENDINGS: [&str; 8] =
    [".orig", ".rej", ".swp", ".log", ".tmp", ".pyc", "~", ".DS_Store"];

/// Words of unfinished work; put together here so that this file does not contain them.
const UNFINISHED: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Places on one machine, and marks of a lock file that names where packages were downloaded from.
const PLACES: [&str; 4] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("\"reso", "lved\": \"http"),
];

/// The page on which each sentence names the test that shows it.
const PROMISES: &str = "docs/DURABILITY.md";

/// Checks the whole tree and prints what is wrong.
pub(crate) fn run() -> Outcome<bool> {
    let files = tree::files()?;
    let names: BTreeSet<String> =
        files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
    let mut wrong = Vec::new();
    let mut functions = BTreeSet::new();
    for name in &names {
        wrong.extend(stray(name));
        let bytes =
            fs::read(tree::root().join(name)).map_err(|error| format!("{name}: {error}"))?;
        if bytes.len() > FILE_BYTES_MAX {
            wrong.push(format!("{name}: {} bytes", bytes.len()));
        }
        // What is not text has no lines.
        if let Ok(text) = String::from_utf8(bytes) {
            wrong.extend(lines(name, &text));
            if name.ends_with(".rs") {
                functions.extend(functions_of(&text).map(str::to_owned));
            }
            if let Some(room) = room_of_manifest(name) {
                wrong.extend(edges(room, &text));
            }
        }
    }
    match fs::read_to_string(tree::root().join("ARCHITECTURE.md")) {
        Ok(text) => wrong.extend(named_files(&text, &names)),
        Err(error) => wrong.push(format!("ARCHITECTURE.md: {error}")),
    }
    match fs::read_to_string(tree::root().join(PROMISES)) {
        Ok(text) => wrong.extend(named_tests(&text, &functions)),
        Err(error) => wrong.push(format!("{PROMISES}: {error}")),
    }
    for line in &wrong {
        println!("tidy: {line}");
    }
    println!("tidy: {} files, {} remarks", names.len(), wrong.len());
    Ok(wrong.is_empty())
}

/// Files that editors and runs leave behind.
fn stray(name: &str) -> Option<String> {
    let in_modules =
        Path::new(name).iter().any(|part| part == "node_modules" || part == "__pycache__");
    let stray = in_modules || STRAY_ENDINGS.iter().any(|ending| name.ends_with(ending));
    stray.then(|| format!("{name}: a stray file"))
}

/// Rules about single lines.
fn lines(name: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mut remark = |what: String| wrong.push(format!("{name}:{number}: {what}"));
        for word in UNFINISHED {
            if line.split(|c: char| !c.is_alphanumeric()).any(|part| part == word) {
                remark(format!("unfinished work: {word}"));
            }
        }
        for place in PLACES {
            if line.contains(place) {
                remark(format!("a place that others do not have: {place}"));
            }
        }
        let conflict = ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark));
        if conflict {
            remark("a conflict was left".to_owned());
        }
        let columns = line.chars().count();
        if let Some(max) = columns_max(line).filter(|max| name.ends_with(".rs") && columns > *max) {
            remark(format!("{columns} columns, {max} are enough"));
        }
    }
    wrong
}

/// How long a line of Rust may be; no limit where it cannot be broken, in texts and in the rows of a table.
fn columns_max(line: &str) -> Option<usize> {
    match line.trim_start().strip_prefix("//") {
        Some(comment) if comment.trim_start_matches(['/', '!', ' ']).starts_with('|') => None,
        Some(_) => Some(COMMENT_COLUMNS_MAX),
        None if line.contains('"') => None,
        None => Some(COLUMNS_MAX),
    }
}

fn room_of_manifest(name: &str) -> Option<&str> {
    name.strip_prefix("crates/")?.strip_suffix("/Cargo.toml").filter(|room| !room.contains('/'))
}

/// The rooms that a manifest uses and may not.
fn edges(room: &str, manifest: &str) -> Vec<String> {
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("crates/{room}: no room of that name is planned")];
    };
    used(manifest)
        .into_iter()
        .filter(|other| !allowed.contains(&other.as_str()))
        .map(|other| format!("crates/{room}: must not know {other}"))
        .collect()
}

/// The rooms that a manifest names as production or build dependencies.
fn used(manifest: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let mut production = false;
    for line in manifest.lines() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            let (table, key) = match section.rsplit_once("dependencies.") {
                Some((before, key)) => (format!("{before}dependencies"), Some(key)),
                None => (section.to_owned(), None),
            };
            production = table.ends_with("dependencies") && !table.ends_with("dev-dependencies");
            if let Some(room) =
                key.filter(|_| production).and_then(|key| key.strip_prefix("ossia-"))
            {
                rooms.insert(room.to_owned());
            }
        } else if let Some(room) = line.strip_prefix("ossia-").filter(|_| production) {
            let end = room.find(|c: char| !(c.is_alphanumeric() || c == '-')).unwrap_or(room.len());
            rooms.insert(room[..end].to_owned());
        }
    }
    rooms
}

/// The files that a text names in backticks and that do not exist.
fn named_files(text: &str, names: &BTreeSet<String>) -> Vec<String> {
    let mut missing = BTreeSet::new();
    for line in text.lines() {
        for quoted in line.split('`').skip(1).step_by(2) {
            if is_file_name(quoted) && !exists(quoted, names) {
                missing.insert(quoted);
            }
        }
    }
    missing.into_iter().map(|name| format!("ARCHITECTURE.md: there is no {name}")).collect()
}

/// The names of a source file's functions.
fn functions_of(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let after = line
            .trim_start()
            .strip_prefix("fn ")
            .or_else(|| line.split_once(" fn ").map(|(_, after)| after))?;
        after.split(['(', '<']).next()
    })
}

/// The tests that a text names in backticks and that do not exist.
fn named_tests(text: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let missing: BTreeSet<&str> =
        quoted.filter(|word| is_test_name(word) && !functions.contains(*word)).collect();
    missing.into_iter().map(|name| format!("{PROMISES}: there is no test {name}")).collect()
}

/// Whether a quoted word is meant as a test: tests are sentences, so they have many words.
fn is_test_name(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    plain && word.matches('_').count() >= 3
}

/// Whether a quoted word is meant as a file: a path without blanks or wildcards, with an ending that files here have.
fn is_file_name(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let ending = Path::new(word).extension().and_then(|ending| ending.to_str());
    plain
        && matches!(
            ending,
            Some(
                "rs" | "md"
                    | "toml"
                    | "json"
                    | "lock"
                    | "xml"
                    | "txt"
                    | "js"
                    | "py"
                    | "go"
                    | "java"
            )
        )
}

/// A file may be named in full, or by the end of its path where the room is clear.
fn exists(name: &str, names: &BTreeSet<String>) -> bool {
    let ending = format!("/{name}");
    names.iter().any(|file| file == name || file.ends_with(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_may_use_its_neighbours_and_no_others() {
        let manifest =
            "[package]\nname = \"ossia-engine\"\n[dependencies]\nossia-store.workspace = true\n";
        assert_eq!(edges("engine", manifest), Vec::<String>::new());
        let curious = format!("{manifest}ossia-objects = {{ workspace = true }}\n");
        assert_eq!(edges("engine", &curious), ["crates/engine: must not know objects"]);
        assert_eq!(edges("common", manifest).len(), 1);
    }

    #[test]
    fn dependencies_are_read_from_every_kind_of_section() {
        let manifest = "[dependencies]\nossia-store.workspace = true\ntokio = \"1\"\n\
            [dev-dependencies]\nossia-client.workspace = true\n\
            [build-dependencies]\nossia-protocol.workspace = true\n\
            [target.'cfg(unix)'.dependencies]\nossia-engine = { workspace = true, optional = true }\n\
            [dependencies.ossia-cli]\nworkspace = true\n\
            [dev-dependencies.ossia-sim]\nworkspace = true\n\
            [features]\nossia-rados = []\n";
        let rooms: Vec<String> = used(manifest).into_iter().collect();
        assert_eq!(rooms, ["cli", "engine", "protocol", "store"]);
    }

    #[test]
    fn every_planned_room_uses_planned_rooms_and_never_itself() {
        for (room, allowed) in ROOMS {
            for other in allowed {
                assert!(ROOMS.iter().any(|(name, _)| name == other), "{room} uses {other}");
                assert_ne!(room, *other);
            }
        }
    }

    #[test]
    fn lines_of_unfinished_work_places_and_excess_are_told() {
        let text =
            format!("good\n// {}: later\n{}x\n{}\n", UNFINISHED[0], PLACES[0], "x".repeat(121));
        let wrong = lines("crates/a/src/lib.rs", &text);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].starts_with("crates/a/src/lib.rs:2: "));
        assert!(wrong[2].ends_with("121 columns, 120 are enough"));
        let comment = format!("// {}", "x".repeat(132));
        assert!(lines("a.rs", &comment)[0].ends_with("135 columns, 134 are enough"));
        let row = format!("//! | {} |", "x".repeat(200));
        let text = format!("let x = \"{}\";", "x".repeat(200));
        assert_eq!(
            lines("a.rs", &format!("{row}\n{text}\n{}", &comment[..134])),
            Vec::<String>::new()
        );
        let widest = format!("{}\n{}S", "x".repeat(120), UNFINISHED[0]);
        assert_eq!(lines("a.rs", &widest), Vec::<String>::new());
        assert_eq!(lines("README.md", &"x".repeat(500)), Vec::<String>::new());
    }

    #[test]
    fn left_overs_are_strays() {
        for name in ["a/b.orig", "x/node_modules/y.js", "notes~", "suite.log"] {
            assert!(stray(name).is_some(), "{name}");
        }
        assert!(stray("docs/catalog").is_none());
    }

    #[test]
    fn the_files_that_architecture_names_must_exist() {
        let names =
            BTreeSet::from(["crates/objects/src/append.rs".to_owned(), "README.md".to_owned()]);
        let text = "see `objects/src/append.rs`, `append.rs`, `README.md`, `Position`, `server/http`, `*.rs`\n\
            but `objects/src/gone.rs` and `ppend.rs`";
        let missing = named_files(text, &names);
        assert_eq!(
            missing,
            [
                "ARCHITECTURE.md: there is no objects/src/gone.rs",
                "ARCHITECTURE.md: there is no ppend.rs",
            ]
        );
    }

    #[test]
    fn the_tests_that_the_promises_name_must_exist() {
        let source = "#[test]\nfn a_kill_after_any_group_loses_nothing() {\n    pub(super) async fn put_is_there_or_not<T>(\n";
        let functions: BTreeSet<String> = functions_of(source).map(str::to_owned).collect();
        let text = "`a_kill_after_any_group_loses_nothing`, `put_is_there_or_not`, `journal_bytes`, `a_test_that_is_gone`";
        let missing = named_tests(text, &functions);
        assert_eq!(missing, ["docs/DURABILITY.md: there is no test a_test_that_is_gone"]);
    }
}
