//! What the tests said: their lines read, added up, and laid out as a matrix. Pure.
//!
//! A suite prints `ok - SDK SIGNATURE ADDRESSING / case`, `not ok - SDK SIGNATURE ADDRESSING / case: why` or
//! `skip - SDK SIGNATURE ADDRESSING / case: why`, and at the end `N passed, N failed, N skipped`.

use std::collections::BTreeMap;
use std::fmt;

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Totals {
    pub(crate) fn add(&mut self, other: Totals) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    pub(crate) fn success() -> Totals {
        Totals { passed: 1, ..Totals::default() }
    }

    pub(crate) fn failure() -> Totals {
        Totals { failed: 1, ..Totals::default() }
    }

    pub(crate) fn skip() -> Totals {
        Totals { skipped: 1, ..Totals::default() }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Passed,
    Failed,
    Skipped,
}

/// One line of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) ending: Ending,
    /// SDK, signature version and addressing, separated by spaces.
    pub(crate) label: String,
    /// The case, and after it the reason where there is one.
    pub(crate) name: String,
}

impl Case {
    /// Reads a line; `None` when it is none of a suite's.
    pub(crate) fn parse(line: &str) -> Option<Case> {
        let forms = [
            ("ok - ", Ending::Passed),
            ("not ok - ", Ending::Failed),
            ("skip - ", Ending::Skipped),
        ];
        let (rest, ending) =
            forms.iter().find_map(|(start, ending)| Some((line.strip_prefix(start)?, *ending)))?;
        let (label, name) = rest.split_once(" / ")?;
        Some(Case { ending, label: label.to_owned(), name: name.to_owned() })
    }

    pub(crate) fn totals(&self) -> Totals {
        match self.ending {
            Ending::Passed => Totals { passed: 1, ..Totals::default() },
            Ending::Failed => Totals::failure(),
            Ending::Skipped => Totals::skip(),
        }
    }
}

/// Reads a suite's closing line.
pub(crate) fn closing(line: &str) -> Option<Totals> {
    let mut counts = [0; 3];
    let mut parts = line.split(", ");
    for (count, word) in counts.iter_mut().zip([" passed", " failed", " skipped"]) {
        *count = parts.next()?.strip_suffix(word)?.parse().ok()?;
    }
    let [passed, failed, skipped] = counts;
    parts.next().is_none().then_some(Totals { passed, failed, skipped })
}

/// Reads the line with which a Rust test program ends.
pub(crate) fn rust_result(line: &str) -> Option<Totals> {
    let rest = line.trim().strip_prefix("test result: ")?;
    let rest = rest.strip_prefix("ok. ").or_else(|| rest.strip_prefix("FAILED. "))?;
    let mut totals = Totals::default();
    for part in rest.split("; ") {
        let (number, word) = part.split_once(' ')?;
        match word {
            "passed" => totals.passed = number.parse().ok()?,
            "failed" => totals.failed = number.parse().ok()?,
            "ignored" => totals.skipped = number.parse().ok()?,
            _ => {}
        }
    }
    Some(totals)
}

/// Whether a line of a server's log is a warning, an error or a panic.
pub(crate) fn is_alarm(line: &str) -> bool {
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| {
        // A colour before the level ends in digits and an `m`.
        let bare = word.trim_start_matches(|c: char| c.is_ascii_digit());
        let bare = bare.strip_prefix('m').unwrap_or(bare);
        matches!(bare, "WARN" | "ERROR" | "panicked")
    })
}

const ADDRESSINGS: [(&str, &str); 4] = [
    ("path", "path style"),
    ("virtual", "virtual-hosted"),
    ("ip", "address, bucket in Host alone"),
    ("cname", "CNAME"),
];

/// The matrix of SDK and signature against addressing, as a Markdown table with footnotes for what cannot be.
pub(crate) fn matrix(cases: &[Case]) -> String {
    let mut cells: BTreeMap<(&str, &str, &str), Totals> = BTreeMap::new();
    let mut notes: Vec<String> = Vec::new();
    for case in cases {
        let mut words = case.label.split(' ');
        let (Some(sdk), Some(signature), Some(addressing)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        cells.entry((sdk, signature, addressing)).or_default().add(case.totals());
        if case.ending == Ending::Skipped {
            notes.push(format!(
                "{} {} {}: {}",
                sdk,
                signature.to_uppercase(),
                addressing,
                case.name
            ));
        }
    }
    let mut rows: Vec<(&str, &str)> =
        cells.keys().map(|(sdk, signature, _)| (*sdk, *signature)).collect();
    rows.dedup();
    let mut table = String::from("| SDK | signature |");
    for (_, title) in ADDRESSINGS {
        table += &format!(" {title} |");
    }
    table += "\n|---|---|";
    table += &"---|".repeat(ADDRESSINGS.len());
    table.push('\n');
    for (sdk, signature) in rows {
        table += &format!("| {sdk} | {} |", signature.to_uppercase());
        for (addressing, _) in ADDRESSINGS {
            let cell = match cells.get(&(sdk, signature, addressing)) {
                None => "–".to_owned(),
                Some(Totals { passed: 0, failed: 0, .. }) => "impossible".to_owned(),
                Some(Totals { passed, failed: 0, .. }) => format!("{passed} passed"),
                Some(Totals { passed, failed, .. }) => {
                    format!("**{failed} of {} failed**", passed + failed)
                }
            };
            table += &format!(" {cell} |");
        }
        table.push('\n');
    }
    if !notes.is_empty() {
        table += "\nWhat an SDK makes impossible:\n";
    }
    for note in notes {
        table += &format!("- {note}\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(line: &str) -> Case {
        Case::parse(line).unwrap()
    }

    #[test]
    fn a_line_gives_ending_label_and_case() {
        let passed = case("ok - ali-oss v1 path / appends a / b");
        assert_eq!((passed.ending, passed.label.as_str()), (Ending::Passed, "ali-oss v1 path"));
        assert_eq!(passed.name, "appends a / b");
        assert_eq!(case("not ok - java v4 cname / lists: why").ending, Ending::Failed);
        assert_eq!(case("skip - opendal v4 path / every case: why").ending, Ending::Skipped);
        for other in ["", "ok", "ok - no slash", "okay - a / b", " ok - a / b", "not okay - a / b"]
        {
            assert_eq!(Case::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_closing_line_is_read_whole_or_not_at_all() {
        let totals = Totals { passed: 12, failed: 0, skipped: 3 };
        assert_eq!(closing("12 passed, 0 failed, 3 skipped"), Some(totals));
        assert_eq!(closing(&totals.to_string()), Some(totals));
        for other in [
            "12 passed, 0 failed",
            "1 passed, 2 failed, 3 skipped, 4 more",
            "x passed, 0 failed, 0 skipped",
        ] {
            assert_eq!(closing(other), None, "{other}");
        }
    }

    #[test]
    fn a_rust_result_counts_ignored_as_skipped() {
        let line = "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 5 filtered out; finished in 0.10s";
        assert_eq!(rust_result(line), Some(Totals { passed: 3, failed: 1, skipped: 2 }));
        assert_eq!(rust_result("test result: ok. 7 passed; 0 failed").unwrap().passed, 7);
        assert_eq!(rust_result("test it ... ok"), None);
    }

    #[test]
    fn warnings_errors_and_panics_are_alarms() {
        for line in [
            "2026-01-15T08:30:45Z  WARN ossia: slow disk",
            "\u{1b}[31mERROR\u{1b}[0m ossia: damaged",
            "thread 'main' panicked at src/main.rs:1:1:",
        ] {
            assert!(is_alarm(line), "{line}");
        }
        for line in ["INFO listening", "DEBUG key=WARNING.txt", "an error was answered"] {
            assert!(!is_alarm(line), "{line}");
        }
    }

    #[test]
    fn the_matrix_has_a_row_for_each_signature_and_a_note_for_each_skip() {
        let cases = [
            case("ok - ali-oss v1 path / a"),
            case("ok - ali-oss v1 path / b"),
            case("not ok - ali-oss v1 ip / a: why"),
            case("ok - ali-oss v1 ip / b"),
            case("skip - ali-oss v1 ip / signed URLs: refused by the SDK"),
            case("skip - opendal v4 path / every case: no V4"),
        ];
        let lines: Vec<String> = matrix(&cases).lines().map(str::to_owned).collect();
        assert_eq!(lines[2], "| ali-oss | V1 | 2 passed | – | **1 of 2 failed** | – |");
        assert_eq!(lines[3], "| opendal | V4 | impossible | – | – | – |");
        assert_eq!(lines[6], "- ali-oss V1 ip: signed URLs: refused by the SDK");
        assert_eq!(lines.len(), 8);
    }
}
