//! The bounded XML reader: text in, a small tree out, never more memory than the caller allowed.
//!
//! Takes what seven kinds of writers send: with or without declaration, any order of children, any white space, self-closed
//! elements, CDATA, comments, the five named entities and numeric ones. Refuses a DOCTYPE (and with it every entity bomb),
//! other entities, text that is not UTF-8, and documents past the limits. Attributes and prefixes of names are ignored: some
//! clients send an `xmlns`.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::XmlError;

/// What a document may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest document, in bytes.
    pub bytes: usize,
    /// Deepest nesting; the root alone is 1.
    pub depth: usize,
    /// Most elements, the root included.
    pub elements: usize,
}

/// An element with its text and its children. Text between children is kept but means nothing in this protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// Name without a prefix.
    pub name: String,
    /// The text directly inside, entities decoded, white space kept: keys may begin with a space.
    pub text: String,
    /// Elements directly inside, in document order.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a whole document.
    ///
    /// # Errors
    /// [`XmlError`] for a document past `limits`, with a DOCTYPE, or not well-formed.
    pub fn parse(document: &[u8], limits: Limits) -> Result<Self, XmlError> {
        if document.len() > limits.bytes {
            return Err(XmlError::TooLong { limit: limits.bytes });
        }
        let text = std::str::from_utf8(document).map_err(|_| XmlError::NotUtf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut tree = Tree { limits, elements: 0, open: Vec::new(), root: None };
        let mut reader = Reader::from_str(text);
        loop {
            match reader.read_event().map_err(|_| XmlError::Malformed)? {
                Event::Start(start) => tree.start(&start)?,
                Event::Empty(start) => {
                    tree.start(&start)?;
                    tree.end()?;
                }
                Event::End(_) => tree.end()?,
                Event::Text(text) => tree.text(&text)?,
                Event::CData(text) => tree.text(&text)?,
                Event::GeneralRef(reference) => tree.reference(&reference)?,
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::DocType(_) => return Err(XmlError::DocType),
                Event::Eof => return tree.finish(),
            }
        }
    }

    /// As [`Element::parse`], and the root must have this name.
    ///
    /// # Errors
    /// Also [`XmlError::Root`].
    pub fn parse_root(
        document: &[u8],
        root: &'static str,
        limits: Limits,
    ) -> Result<Self, XmlError> {
        let element = Self::parse(document, limits)?;
        if element.name == root { Ok(element) } else { Err(XmlError::Root { expected: root }) }
    }

    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Every child of this name.
    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first child of this name, exactly as it stands.
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// As [`Element::child_text`] without surrounding white space, `None` when nothing is left: an empty element means "not
    /// given".
    pub fn child_value(&self, name: &str) -> Option<&str> {
        self.child_text(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Takes the text of the first child of this name out of the tree.
    pub(super) fn take_text(&mut self, name: &str) -> Option<String> {
        let child = self.children.iter_mut().find(|child| child.name == name)?;
        Some(std::mem::take(&mut child.text))
    }
}

struct Tree {
    limits: Limits,
    elements: usize,
    open: Vec<Element>,
    root: Option<Element>,
}

impl Tree {
    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), XmlError> {
        // A second root.
        if self.root.is_some() {
            return Err(XmlError::Malformed);
        }
        self.elements += 1;
        // I7: depth and count are bounded before anything is kept.
        if self.open.len() >= self.limits.depth || self.elements > self.limits.elements {
            return Err(XmlError::TooComplex);
        }
        let name = start.local_name().into_inner().to_owned();
        self.open.push(Element { name, ..Element::default() });
        Ok(())
    }

    fn end(&mut self) -> Result<(), XmlError> {
        let element = self.open.pop().ok_or(XmlError::Malformed)?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), XmlError> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(XmlError::Malformed),
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), XmlError> {
        let character = match &**reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => reference.resolve_char_ref().ok().flatten().ok_or(XmlError::Entity)?,
        };
        match self.open.last_mut() {
            Some(element) => element.text.push(character),
            None => return Err(XmlError::Malformed),
        }
        Ok(())
    }

    fn finish(self) -> Result<Element, XmlError> {
        // The root is there only once it is closed.
        self.root.ok_or(XmlError::Malformed)
    }
}
