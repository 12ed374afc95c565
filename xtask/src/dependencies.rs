//! What we depend on, and what no compiler vouches for: licences, banned crates and sources by `cargo deny`, and the number of
//! `unsafe` in our own code, which stands in a document and must be the one that is counted.

use std::fs;
use std::path::PathBuf;

use crate::{Outcome, check, process, tree};

const STATED: &str = "docs/durability/dependencies.md";
/// The line of that document that ends in the number.
const LABEL: &str = "`unsafe` in our own code: ";

/// Checks both and prints what is wrong.
pub(crate) fn run() -> Outcome<bool> {
    let counted = unsafe_code()?;
    let good = counted & denied()?;
    println!("dependencies: {}", if good { "good" } else { "failed" });
    Ok(good)
}

/// Licences, bans and sources. Advisories need a database from elsewhere, so that a check may fail though nothing has changed; they
/// are not looked at here.
fn denied() -> Outcome<bool> {
    let Some(program) = program() else {
        let required = std::env::var("OSSIA_REQUIRE_ALL").is_ok_and(|value| value == "1");
        println!("dependencies: cargo-deny is absent; licences, bans and sources were not checked");
        return Ok(!required);
    };
    let mut command = std::process::Command::new(program);
    command.args(["--locked", "check", "licenses", "bans", "sources"]).current_dir(tree::root());
    // Cargo tells its subcommands which one it is; this one is started by hand.
    command.env("CARGO", check::cargo(&[]).get_program());
    process::succeeds(&mut command)
}

/// Where continuous integration installs it, or where a person has it.
fn program() -> Option<PathBuf> {
    let installed = tree::target().join("deny/bin/cargo-deny");
    let candidates = [installed, PathBuf::from("cargo-deny")];
    candidates.into_iter().find(|one| process::is_present(&one.to_string_lossy(), &["--version"]))
}

/// Counts `unsafe` in every Rust file of the repository and compares.
fn unsafe_code() -> Outcome<bool> {
    let mut found = Vec::new();
    for file in
        tree::files()?.into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"))
    {
        let name = file.to_string_lossy().into_owned();
        let text = fs::read_to_string(tree::root().join(&file))
            .map_err(|error| format!("{name}: {error}"))?;
        found.extend(unsafe_lines(&text).into_iter().map(|line| format!("{name}:{line}")));
    }
    let text = fs::read_to_string(tree::root().join(STATED))
        .map_err(|error| format!("{STATED}: {error}"))?;
    let stated =
        stated(&text).ok_or_else(|| format!("{STATED} does not say how much `unsafe` there is"))?;
    if stated == found.len() {
        return Ok(true);
    }
    println!("dependencies: {STATED} says {stated} `unsafe`, and there are {}:", found.len());
    found.iter().for_each(|place| println!("  {place}"));
    Ok(false)
}

fn stated(document: &str) -> Option<usize> {
    let line = document.lines().find_map(|line| line.split_once(LABEL))?;
    line.1.trim_end_matches('.').trim().parse().ok()
}

/// Lines with the keyword, neither in a comment nor in a string of one line. A string over many lines may be counted by mistake,
/// which is the harmless side to err on.
fn unsafe_lines(text: &str) -> Vec<usize> {
    let word = concat!("un", "safe");
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut code = String::new();
        let (mut quoted, mut escaped) = (false, false);
        for (at, letter) in line.char_indices() {
            match letter {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '/' if !quoted && line[at..].starts_with("//") => break,
                letter if !quoted => code.push(letter),
                _ => {}
            }
        }
        let words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        lines.extend(words.filter(|one| *one == word).map(|_| number));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyword_counts_in_code_alone() {
        let word = concat!("un", "safe");
        let text = format!(
            "{word} fn a() {{}}\n// {word}\nlet b = \"{word} \\\" {word}\"; {word} {{ c() }}\n#![deny({word}_code)]\n"
        );
        assert_eq!(unsafe_lines(&text), [1, 3]);
        assert_eq!(stated(&format!("x\n- {LABEL}12.\n")), Some(12));
        assert_eq!(stated("nothing"), None);
    }
}
