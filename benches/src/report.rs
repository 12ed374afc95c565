//! Tables: Markdown for people, JSON lines for programs, and the same Markdown put into a document.

use std::{fmt::Write as _, fs, path::Path};

use crate::error::BenchError;

/// One place in a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// A name.
    Text(String),
    /// A number, with how many digits after the point to show.
    Number(f64, usize),
    /// Why there is no number: `n/a`, `skipped`.
    Absent(&'static str),
}

impl Cell {
    /// A name.
    pub(crate) fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    /// A number if there is one, else `n/a`.
    pub(crate) fn number(value: Option<f64>, digits: usize) -> Cell {
        match value {
            Some(value) if value.is_finite() => Cell::Number(value, digits),
            _ => Cell::Absent("n/a"),
        }
    }

    fn markdown(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Number(value, digits) => grouped(*value, *digits),
            Cell::Absent(why) => (*why).to_owned(),
        }
    }

    fn json(&self) -> String {
        match self {
            Cell::Text(text) => quoted(text),
            // All digits, not only those that a person wants to see.
            Cell::Number(value, _) => value.to_string(),
            Cell::Absent(_) => "null".to_owned(),
        }
    }
}

/// A table with its heading.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
}

impl Table {
    /// Without rows.
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Table {
        let columns = columns.to_vec();
        Table { title: title.into(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row, which has a cell for every column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a row of {} fits its table", self.title);
        self.rows.push(cells);
    }

    /// Adds a sentence below the table.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn markdown(&self) -> String {
        let mut out = format!("### {}\n\n| {} |\n|", self.title, self.columns.join(" | "));
        for column in 0..self.columns.len() {
            let number = self.rows.iter().any(|row| matches!(row[column], Cell::Number(..)));
            out.push_str(if number { " ---: |" } else { " --- |" });
        }
        out.push('\n');
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::markdown).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        for note in &self.notes {
            let _ = write!(out, "\n{note}\n");
        }
        out
    }

    fn json_lines(&self, facts: &[(&'static str, String)]) -> String {
        let mut out = String::new();
        for row in &self.rows {
            let mut pairs: Vec<String> = facts
                .iter()
                .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
                .collect();
            pairs.push(format!("\"table\":{}", quoted(&self.title)));
            pairs.extend(
                self.columns
                    .iter()
                    .zip(row)
                    .map(|(name, cell)| format!("{}:{}", quoted(name), cell.json())),
            );
            let _ = writeln!(out, "{{{}}}", pairs.join(","));
        }
        out
    }
}

/// All that one bench has to say. Each table is printed when it is complete.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    facts: Vec<(&'static str, String)>,
    markdown: String,
    json: String,
}

impl Report {
    /// Begins with the circumstances: machine, commit, settings.
    pub(crate) fn new(name: &'static str, facts: Vec<(&'static str, String)>) -> Report {
        let mut report = Report { name, facts, markdown: String::new(), json: String::new() };
        let mut head = String::new();
        for (name, value) in &report.facts {
            let _ = writeln!(head, "- {name}: {value}");
        }
        report.print(&head);
        report
    }

    /// Adds a sentence and prints it.
    pub(crate) fn sentence(&mut self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    /// Adds a table and prints it.
    pub(crate) fn table(&mut self, table: &Table) {
        self.json.push_str(&table.json_lines(&self.facts));
        self.print(&table.markdown());
    }

    fn print(&mut self, markdown: &str) {
        println!("{markdown}");
        self.markdown.push_str(markdown);
        self.markdown.push('\n');
    }

    /// Writes `NAME.md` and `NAME.jsonl` into a folder, and the Markdown into a document if one is given.
    pub(crate) fn save(&self, folder: &Path, document: Option<&Path>) -> Result<(), BenchError> {
        let write = |path: &Path, text: &str| {
            fs::write(path, text).map_err(BenchError::io(format!("write {}", path.display())))
        };
        fs::create_dir_all(folder).map_err(BenchError::io(format!("make {}", folder.display())))?;
        write(&folder.join(format!("{}.md", self.name)), &self.markdown)?;
        write(&folder.join(format!("{}.jsonl", self.name)), &self.json)?;
        let Some(document) = document else { return Ok(()) };
        let old = fs::read_to_string(document)
            .map_err(BenchError::io(format!("read {}", document.display())))?;
        let new = replaced(&old, self.name, &self.markdown).ok_or_else(|| {
            let name = self.name;
            BenchError::Usage(format!("{} has no <!-- bench {name} -->", document.display()))
        })?;
        write(document, &new)
    }
}

/// The document with what stands between `<!-- bench NAME -->` and `<!-- end NAME -->` replaced.
fn replaced(document: &str, name: &str, text: &str) -> Option<String> {
    let (before, rest) = document.split_once(&format!("<!-- bench {name} -->\n"))?;
    let end = format!("<!-- end {name} -->");
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}<!-- bench {name} -->\n\n{}\n\n{end}{after}", text.trim()))
}

/// A number with its thousands apart.
fn grouped(value: f64, digits: usize) -> String {
    let plain = format!("{value:.digits$}");
    let (whole, fraction) =
        plain.split_once('.').map_or((plain.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut out = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Speed", &["who", "rate", "ratio"]);
        table.row([Cell::text("a \"b\""), Cell::Number(1_234_567.89, 1), Cell::Absent("n/a")]);
        table.row([Cell::text("c"), Cell::number(Some(12.0), 0), Cell::number(None, 2)]);
        table.note("Measured.");
        table
    }

    #[test]
    fn a_table_is_markdown_with_numbers_to_the_right() {
        let wanted = "### Speed\n\n| who | rate | ratio |\n| --- | ---: | --- |\n\
            | a \"b\" | 1,234,567.9 | n/a |\n| c | 12 | n/a |\n\nMeasured.\n";
        assert_eq!(table().markdown(), wanted);
    }

    #[test]
    fn every_row_is_a_json_line_with_the_circumstances() {
        let lines = table().json_lines(&[("commit", "1\n2".to_owned())]);
        let mut lines = lines.lines();
        let wanted = r#"{"commit":"1\u000a2","table":"Speed","who":"a \"b\"","rate":1234567.89,"ratio":null}"#;
        assert_eq!(lines.next(), Some(wanted));
        assert_eq!(lines.count(), 1);
    }

    #[test]
    fn only_the_named_part_of_a_document_is_replaced() {
        let document = "# P\n<!-- bench read -->\nold\n<!-- end read -->\ntail\n";
        let wanted = "# P\n<!-- bench read -->\n\nnew\n\n<!-- end read -->\ntail\n";
        let once = replaced(document, "read", "new\n").unwrap();
        assert_eq!(once, wanted);
        assert_eq!(replaced(&once, "read", "new").as_deref(), Some(wanted), "and again the same");
        assert_eq!(replaced(document, "append", "new"), None);
    }

    #[test]
    fn thousands_stand_apart() {
        for (value, digits, wanted) in
            [(0.0, 0, "0"), (999.0, 0, "999"), (1_000.0, 0, "1,000"), (-1_234.56, 1, "-1,234.6")]
        {
            assert_eq!(grouped(value, digits), wanted);
        }
    }
}
