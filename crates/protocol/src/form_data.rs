//! `multipart/form-data` as a form upload sends it: fields, then one file, read as it comes.
//!
//! A parser that is fed pieces and never holds the file: what belongs to it is handed on as slices of what came in, but for a few
//! bytes that might begin a delimiter. Fields are kept until they are whole, within bounds. Nothing here reads a socket.
//!
//! ```text
//! --BOUNDARY\r\n
//! Content-Disposition: form-data; name="key"\r\n
//! \r\n
//! value\r\n
//! --BOUNDARY\r\n
//! Content-Disposition: form-data; name="file"; filename="a.txt"\r\n
//! Content-Type: text/plain\r\n
//! \r\n
//! bytes\r\n
//! --BOUNDARY--
//! ```

use bytes::{Buf as _, Bytes};

use crate::error::{ErrorCode, OssError};

/// Longest name of a field, in bytes.
pub const FIELD_NAME_BYTES_MAX: usize = 8 << 10;
/// Longest value of a field, in bytes.
pub const FIELD_VALUE_BYTES_MAX: usize = 2 << 20;
/// Everything before the file together, in bytes: one value of the longest, and what usually is beside it.
pub const FIELDS_BYTES_MAX: usize = FIELD_VALUE_BYTES_MAX + (64 << 10);
/// Longest head of a part, in bytes: a name, a file name, a type.
const HEAD_BYTES_MAX: usize = FIELD_NAME_BYTES_MAX + (8 << 10);
/// What a field is counted for beside its bytes.
const FIELD_COST: usize = 128;
/// Longest boundary, in bytes. MIME allows 70.
const BOUNDARY_BYTES_MAX: usize = 200;
/// What may stand between a delimiter and the end of its line.
const PADDING_BYTES_MAX: usize = 64;

/// The name of the part that is the object.
const FILE: &str = "file";

/// Why a form cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormFault {
    /// The type of the body is not `multipart/form-data` with a boundary.
    #[error("no multipart/form-data with a boundary")]
    NotForm,
    /// It is not of the grammar, or ends too soon.
    #[error("not well-formed")]
    Malformed,
    /// The head of a part, with its name, is too long.
    #[error("the name of a field is too long")]
    NameTooLong,
    /// A value is too long.
    #[error("the value of a field is too long")]
    ValueTooLong,
    /// All fields together are too long.
    #[error("the fields are too long")]
    FieldsTooLong,
    /// No file, or more than one.
    #[error("not exactly one file")]
    FileCount,
}

impl From<FormFault> for OssError {
    fn from(fault: FormFault) -> OssError {
        OssError::new(match fault {
            FormFault::NotForm => ErrorCode::RequestIsNotMultiPartContent,
            FormFault::Malformed => ErrorCode::MalformedPOSTRequest,
            FormFault::NameTooLong => ErrorCode::FieldItemTooLong,
            FormFault::ValueTooLong => {
                return OssError::new(ErrorCode::FieldItemTooLong)
                    .with_message("Your value of form field is too long.");
            }
            FormFault::FieldsTooLong => ErrorCode::MaxPOSTPreDataLengthExceededError,
            FormFault::FileCount => ErrorCode::IncorrectNumberOfFilesInPOSTRequest,
        })
    }
}

/// The boundary that a `Content-Type` names.
///
/// # Errors
/// [`FormFault::NotForm`] for another type, and for a boundary that is absent, empty, or too long.
pub fn boundary(content_type: &str) -> Result<String, FormFault> {
    let (kind, parameters) = content_type.split_once(';').ok_or(FormFault::NotForm)?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(FormFault::NotForm);
    }
    let boundary = parameter(parameters.as_bytes(), "boundary").ok_or(FormFault::NotForm)?;
    let text = String::from_utf8(boundary).map_err(|_| FormFault::NotForm)?;
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&text.len());
    // A line break within would let the boundary stand for anything.
    if fits && !text.contains(['\r', '\n']) { Ok(text) } else { Err(FormFault::NotForm) }
}

/// What the file's part says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormFile {
    /// The file's name as sent, without the folders that some browsers send with it.
    pub name: String,
    /// The part's `Content-Type`.
    pub content_type: Option<String>,
}

/// What comes next of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormStep {
    /// Nothing before more has been fed.
    More,
    /// A field before the file, whole.
    Field {
        /// Its name.
        name: String,
        /// Its bytes.
        value: Vec<u8>,
    },
    /// The file begins.
    File(FormFile),
    /// Bytes of the file, never empty.
    Data(Bytes),
    /// The file is whole.
    FileEnd,
    /// The form is whole. What is fed after it is dropped.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Preamble,
    /// Behind a delimiter.
    Delimited,
    /// In the head of a part.
    Head,
    /// In a field.
    Value,
    /// In the file.
    File,
    /// In a field behind the file, which counts for nothing.
    Skip,
    /// Behind the last delimiter.
    Done,
}

/// Reads a form piece by piece.
#[derive(Debug)]
pub struct FormReader {
    /// `\r\n--BOUNDARY`. Its only `\r` is its first byte, so that a match that fails is tried anew from where it failed.
    delimiter: Bytes,
    state: State,
    input: Bytes,
    /// How much of the delimiter the bytes before `input` were.
    matched: usize,
    /// The head or value that is coming in.
    held: Vec<u8>,
    name: String,
    fields_bytes: usize,
    file_seen: bool,
}

enum Scanned {
    Nothing,
    Data(Bytes),
    Delimiter,
}

impl FormReader {
    /// A reader of a form with this boundary.
    pub fn new(boundary: &str) -> FormReader {
        FormReader {
            delimiter: Bytes::from(format!("\r\n--{boundary}")),
            state: State::Preamble,
            input: Bytes::new(),
            // The first delimiter has no line before it.
            matched: 2,
            held: Vec::new(),
            name: String::new(),
            fields_bytes: 0,
            file_seen: false,
        }
    }

    /// Hands in what has come. Only after [`FormStep::More`] or [`FormStep::End`]; what was handed in before and not looked at
    /// would be lost.
    pub fn feed(&mut self, piece: Bytes) {
        debug_assert!(self.input.is_empty() || self.state == State::Done, "fed too soon");
        self.input = if self.state == State::Done { Bytes::new() } else { piece };
    }

    /// Whether the form is whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The next step.
    ///
    /// # Errors
    /// [`FormFault`]. The reader must not be used after it.
    pub fn step(&mut self) -> Result<FormStep, FormFault> {
        loop {
            match self.state {
                State::Preamble | State::Skip => match self.scan() {
                    Scanned::Nothing => return Ok(FormStep::More),
                    Scanned::Data(_) => {}
                    Scanned::Delimiter => self.state = State::Delimited,
                },
                State::Delimited => {
                    if !self.delimited()? {
                        return Ok(FormStep::More);
                    }
                    if self.state == State::Done {
                        self.input = Bytes::new();
                        let whole = self.file_seen;
                        return if whole { Ok(FormStep::End) } else { Err(FormFault::FileCount) };
                    }
                }
                State::Head => match self.head()? {
                    None => return Ok(FormStep::More),
                    Some(Some(file)) => return Ok(FormStep::File(file)),
                    Some(None) => {}
                },
                State::Value => match self.scan() {
                    Scanned::Nothing => return Ok(FormStep::More),
                    Scanned::Data(piece) => self.hold_value(&piece)?,
                    Scanned::Delimiter => {
                        self.state = State::Delimited;
                        let name = std::mem::take(&mut self.name);
                        return Ok(FormStep::Field { name, value: std::mem::take(&mut self.held) });
                    }
                },
                State::File => match self.scan() {
                    Scanned::Nothing => return Ok(FormStep::More),
                    Scanned::Data(piece) => return Ok(FormStep::Data(piece)),
                    Scanned::Delimiter => {
                        self.state = State::Delimited;
                        return Ok(FormStep::FileEnd);
                    }
                },
                State::Done => return Ok(FormStep::End),
            }
        }
    }

    /// What stands before the next delimiter, or that it stands here.
    fn scan(&mut self) -> Scanned {
        while self.matched > 0 {
            let Some(byte) = self.input.first().copied() else { return Scanned::Nothing };
            if self.delimiter.get(self.matched) != Some(&byte) {
                // It was none. The byte is looked at again: it may begin another.
                let data = self.delimiter.slice(..self.matched);
                self.matched = 0;
                return Scanned::Data(data);
            }
            self.input.advance(1);
            self.matched += 1;
            if self.matched == self.delimiter.len() {
                self.matched = 0;
                return Scanned::Delimiter;
            }
        }
        if self.input.is_empty() {
            return Scanned::Nothing;
        }
        let mut from = 0;
        while let Some(at) = find(&self.input, from, b'\r') {
            let tail = self.input.get(at..).unwrap_or_default();
            let common =
                tail.iter().zip(&self.delimiter).take_while(|(one, other)| one == other).count();
            let whole = common == self.delimiter.len();
            if !whole && common < tail.len() {
                from = at + 1;
                continue;
            }
            if at > 0 {
                return Scanned::Data(self.input.split_to(at));
            }
            if whole {
                self.input.advance(common);
                return Scanned::Delimiter;
            }
            self.matched = common;
            self.input = Bytes::new();
            return Scanned::Nothing;
        }
        Scanned::Data(std::mem::take(&mut self.input))
    }

    /// Whether it is known what the delimiter was.
    fn delimited(&mut self) -> Result<bool, FormFault> {
        while let Some(byte) = self.input.first().copied() {
            self.input.advance(1);
            self.held.push(byte);
            if self.held == b"--" {
                self.held.clear();
                self.state = State::Done;
                return Ok(true);
            }
            if let Some(padding) = self.held.strip_suffix(b"\r\n") {
                if padding.iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
                    return Err(FormFault::Malformed);
                }
                self.held.clear();
                self.state = State::Head;
                return Ok(true);
            }
            if self.held.len() > PADDING_BYTES_MAX {
                return Err(FormFault::Malformed);
            }
        }
        Ok(false)
    }

    /// `None` while the head is not whole; the file if it is the file's.
    fn head(&mut self) -> Result<Option<Option<FormFile>>, FormFault> {
        const END: &[u8] = b"\r\n\r\n";
        while let Some(byte) = self.input.first().copied() {
            self.input.advance(1);
            self.held.push(byte);
            if self.held.ends_with(END) {
                return self.headed().map(Some);
            }
            if self.held.len() > HEAD_BYTES_MAX {
                return Err(FormFault::NameTooLong);
            }
        }
        Ok(None)
    }

    fn headed(&mut self) -> Result<Option<FormFile>, FormFault> {
        let head = std::mem::take(&mut self.held);
        let part = PartHead::parse(&head)?;
        if self.file_seen {
            if part.name.eq_ignore_ascii_case(FILE) {
                return Err(FormFault::FileCount);
            }
            self.state = State::Skip;
            return Ok(None);
        }
        if part.name.eq_ignore_ascii_case(FILE) {
            self.file_seen = true;
            self.state = State::File;
            let name = part.filename.unwrap_or_default();
            let name = name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
            return Ok(Some(FormFile { name, content_type: part.content_type }));
        }
        self.count(head.len() + FIELD_COST)?;
        self.name = part.name;
        self.state = State::Value;
        Ok(None)
    }

    fn hold_value(&mut self, piece: &[u8]) -> Result<(), FormFault> {
        if self.held.len() + piece.len() > FIELD_VALUE_BYTES_MAX {
            return Err(FormFault::ValueTooLong);
        }
        self.count(piece.len())?;
        self.held.extend_from_slice(piece);
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), FormFault> {
        self.fields_bytes = self.fields_bytes.saturating_add(bytes);
        if self.fields_bytes > FIELDS_BYTES_MAX { Err(FormFault::FieldsTooLong) } else { Ok(()) }
    }

    /// How many bytes the fields so far count for.
    pub fn fields_bytes(&self) -> usize {
        self.fields_bytes
    }
}

fn find(bytes: &[u8], from: usize, wanted: u8) -> Option<usize> {
    bytes.get(from..)?.iter().position(|byte| *byte == wanted).map(|at| from + at)
}

#[derive(Debug, PartialEq, Eq)]
struct PartHead {
    name: String,
    filename: Option<String>,
    content_type: Option<String>,
}

impl PartHead {
    fn parse(head: &[u8]) -> Result<PartHead, FormFault> {
        let text = std::str::from_utf8(head).map_err(|_| FormFault::Malformed)?;
        let (mut disposition, mut content_type) = (None, None);
        for line in text.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(FormFault::Malformed)?;
            if name.eq_ignore_ascii_case("content-disposition") {
                disposition = Some(value.trim());
            } else if name.eq_ignore_ascii_case("content-type") {
                content_type = Some(value.trim().to_owned());
            }
        }
        let disposition = disposition.ok_or(FormFault::Malformed)?;
        let (kind, parameters) = disposition.split_once(';').ok_or(FormFault::Malformed)?;
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return Err(FormFault::Malformed);
        }
        let text_of = |name| {
            let value = parameter(parameters.as_bytes(), name)?;
            // Cut from valid UTF-8 at ASCII characters.
            String::from_utf8(value).ok()
        };
        let name = text_of("name").ok_or(FormFault::Malformed)?;
        if name.len() > FIELD_NAME_BYTES_MAX {
            return Err(FormFault::NameTooLong);
        }
        let content_type = content_type.filter(|kind| !kind.is_empty());
        Ok(PartHead { name, filename: text_of("filename"), content_type })
    }
}

/// A parameter of a header: `name=token` or `name="text"`, in which only `\"` is an escape, since browsers send paths with
/// backslashes.
fn parameter(parameters: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let (name, tail) = rest.split_at(end);
        let name = name.trim_ascii();
        let Some(tail) = tail.strip_prefix(b"=") else {
            rest = tail.get(1..)?;
            continue;
        };
        let tail = tail.trim_ascii_start();
        let (value, after) = match tail.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = tail.iter().position(|byte| *byte == b';').unwrap_or(tail.len());
                let (value, after) = tail.split_at(end);
                (value.trim_ascii_end().to_vec(), after)
            }
        };
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            return Some(value);
        }
        let next = after.iter().position(|byte| *byte == b';')?;
        rest = after.get(next + 1..)?;
    }
}

fn unquoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut bytes = text.iter().copied().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((value, text.get(at + 1..)?)),
            b'\\' if bytes.peek().is_some_and(|(_, next)| *next == b'"') => {
                value.push(b'"');
                bytes.next();
            }
            byte => value.push(byte),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a form fed in pieces of `size` bytes; data in one.
    fn read(form: &[u8], size: usize) -> Result<Vec<FormStep>, FormFault> {
        let mut reader = FormReader::new("XX");
        let mut steps = Vec::new();
        let mut data = Vec::new();
        for piece in form.chunks(size) {
            reader.feed(Bytes::copy_from_slice(piece));
            loop {
                match reader.step()? {
                    FormStep::More => break,
                    FormStep::End => {
                        steps.push(FormStep::End);
                        return Ok(steps);
                    }
                    FormStep::Data(piece) => {
                        assert!(!piece.is_empty());
                        data.extend_from_slice(&piece);
                    }
                    FormStep::FileEnd => {
                        steps.push(FormStep::Data(std::mem::take(&mut data).into()));
                        steps.push(FormStep::FileEnd);
                    }
                    step => steps.push(step),
                }
            }
        }
        steps.push(FormStep::More);
        Ok(steps)
    }

    fn part(name: &str, value: &str) -> String {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    fn file(value: &str) -> String {
        format!(
            "--XX  \r\nContent-Type: text/plain\r\ncontent-disposition: form-data; filename=\"C:\\d\\a\\\"b.txt\"; \
             name=file\r\n\r\n{value}\r\n"
        )
    }

    #[test]
    fn a_form_reads_the_same_in_whatever_pieces_it_comes() {
        let content = "\r\n--X\r\r\n--XY\r\n-\r\n--X";
        let form = format!(
            "before\r\n{}{}{}{}--XX-- after",
            part("key", "a\r\nb"),
            part("é", ""),
            file(content),
            part("submit", "Upload"),
        );
        let file = FormFile { name: "a\"b.txt".into(), content_type: Some("text/plain".into()) };
        let wanted = [
            FormStep::Field { name: "key".into(), value: b"a\r\nb".to_vec() },
            FormStep::Field { name: "é".into(), value: Vec::new() },
            FormStep::File(file),
            FormStep::Data(Bytes::from(content)),
            FormStep::FileEnd,
            FormStep::End,
        ];
        for size in 1..=form.len() {
            assert_eq!(read(form.as_bytes(), size).unwrap(), wanted, "{size}");
        }
        // Cut anywhere before the last delimiter it is not whole.
        let end = form.find(" after").unwrap();
        for cut in 0..end {
            let steps = read(&form.as_bytes()[..cut], 3).unwrap();
            assert_eq!(steps.last(), Some(&FormStep::More), "{cut}");
        }
    }

    #[test]
    fn the_files_bytes_are_not_copied() {
        let mut reader = FormReader::new("XX");
        let whole = Bytes::from(format!("{}--XX--", file(&"a\r".repeat(1000))));
        reader.feed(whole.clone());
        assert!(matches!(reader.step(), Ok(FormStep::File(_))));
        let Ok(FormStep::Data(data)) = reader.step() else { panic!("no data") };
        assert_eq!(data.len(), 2000);
        let range = whole.as_ptr() as usize..whole.as_ptr() as usize + whole.len();
        assert!(range.contains(&(data.as_ptr() as usize)));
    }

    #[test]
    fn what_is_no_form_or_too_long_is_refused() {
        let long = "v".repeat(FIELD_VALUE_BYTES_MAX);
        for (form, fault) in [
            ("--XX--".to_owned(), FormFault::FileCount),
            (format!("{}--XX--", part("key", "v")), FormFault::FileCount),
            (format!("{}{}--XX--", file("1"), file("2")), FormFault::FileCount),
            ("--XXa\r\n".to_owned(), FormFault::Malformed),
            (format!("--XX{}", " ".repeat(100)), FormFault::Malformed),
            ("--XX\r\nno colon\r\n\r\n".to_owned(), FormFault::Malformed),
            ("--XX\r\nContent-Type: a/b\r\n\r\n".to_owned(), FormFault::Malformed),
            ("--XX\r\nContent-Disposition: form-data\r\n\r\n".to_owned(), FormFault::Malformed),
            (
                "--XX\r\nContent-Disposition: attachment; name=a\r\n\r\n".to_owned(),
                FormFault::Malformed,
            ),
            (part(&"n".repeat(FIELD_NAME_BYTES_MAX + 1), ""), FormFault::NameTooLong),
            (part(&"n".repeat(HEAD_BYTES_MAX), ""), FormFault::NameTooLong),
            (part("a", &format!("{long}v")), FormFault::ValueTooLong),
            (part("a", &long) + &part("b", &long), FormFault::FieldsTooLong),
            (part("a", "").repeat(20_000), FormFault::FieldsTooLong),
        ] {
            assert_eq!(read(form.as_bytes(), 1000), Err(fault), "{}", form.get(..40).unwrap_or(""));
        }
    }

    #[test]
    fn the_boundary_is_found_in_the_type() {
        for (text, wanted) in [
            ("multipart/form-data; boundary=a-b", Some("a-b")),
            ("Multipart/Form-Data; charset=utf-8; BOUNDARY=\"a b\" ; x=y", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"open", None),
            ("multipart/form-data; boundary", None),
            ("multipart/mixed; boundary=a", None),
        ] {
            assert_eq!(boundary(text).ok().as_deref(), wanted, "{text}");
        }
        assert!(boundary(&format!("multipart/form-data; boundary={}", "b".repeat(201))).is_err());
    }
}
