//! The grammar of a document as a table of names, and the writer that keeps what the table names.

use crate::error::{EC_BUCKET_XML, OssError};
use crate::xml::XmlError;
use crate::xml::reader::{Element, Limits};
use crate::xml::writer::Writer;

/// An element that a document may have.
#[derive(Debug)]
pub(super) struct Node {
    name: &'static str,
    many: bool,
    /// Whether the text is `true` or `false`, which some writers capitalise and some readers do not.
    flag: bool,
    children: &'static [Node],
}

/// An element with `true` or `false`.
pub(super) const fn flag(name: &'static str) -> Node {
    Node { name, many: false, flag: true, children: &[] }
}

/// An element with text.
pub(super) const fn leaf(name: &'static str) -> Node {
    Node { name, many: false, flag: false, children: &[] }
}

/// Any number of elements with text.
pub(super) const fn leaves(name: &'static str) -> Node {
    Node { name, many: true, flag: false, children: &[] }
}

/// An element with elements.
pub(super) const fn group(name: &'static str, children: &'static [Node]) -> Node {
    Node { name, many: false, flag: false, children }
}

/// Any number of elements with elements.
pub(super) const fn groups(name: &'static str, children: &'static [Node]) -> Node {
    Node { name, many: true, flag: false, children }
}

/// Writes an element with those of its children that the table names, in the table's order.
pub(super) fn write(w: &mut Writer, element: &Element, name: &str, children: &[Node]) {
    if children.is_empty() {
        w.text(name, &element.text);
        return;
    }
    w.open(name);
    for node in children {
        let limit = if node.many { usize::MAX } else { 1 };
        for child in element.children_named(node.name).take(limit) {
            if node.flag {
                w.text(node.name, &child.text.trim().to_ascii_lowercase());
            } else {
                write(w, child, node.name, node.children);
            }
        }
    }
    w.close(name);
}

/// A configuration's root element. An empty body is no document.
pub(super) fn read_root(
    document: &[u8],
    root: &'static str,
    limits: Limits,
) -> Result<Element, OssError> {
    Element::parse_root(document, root, limits).map_err(malformed)
}

/// 400 `MalformedXML` as bucket configurations tell it.
pub(super) fn malformed(error: XmlError) -> OssError {
    error.into_oss(EC_BUCKET_XML)
}

/// 400 `InvalidArgument` about an element.
pub(super) fn invalid(name: &'static str, value: &str, message: &'static str) -> OssError {
    OssError::invalid_argument(name, value, message)
}

/// The texts of all children of a name, without surrounding white space, empty ones left out.
pub(super) fn texts(parent: &Element, name: &'static str) -> Vec<String> {
    let texts = parent.children_named(name).map(|child| child.text.trim());
    texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters and, if `single` is set, `?` for one.
/// Both are compared byte by byte, in time bounded by the product of their lengths.
pub(super) fn matches_glob(pattern: &str, text: &str, single: bool) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if (single && *byte == b'?') || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, wanted) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("*.b.com", "http://a.b.com", true),
            ("*.b.com", "http://b.com", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
        ] {
            assert_eq!(matches_glob(pattern, text, true), wanted, "{pattern} {text}");
        }
        assert!(!matches_glob("a?c", "abc", false));
        assert!(matches_glob("a?c", "a?c", false));
    }

    #[test]
    fn only_what_the_table_names_is_written_and_in_its_order() {
        const TABLE: &[Node] = &[leaf("A"), group("G", &[leaves("L")]), flag("F"), leaf("Z")];
        let text =
            b"<R xmlns='x'><Z/><F> True</F><Q><A>no</A></Q><G><L>1</L><M/><L>&amp;</L></G><A>a</A><A>b</A></R>";
        let root = Element::parse_root(text, "R", crate::xml::SMALL).unwrap();
        let mut w = Writer::document(64);
        write(&mut w, &root, "R", TABLE);
        let wanted = "<R><A>a</A><G><L>1</L><L>&amp;</L></G><F>true</F><Z></Z></R>";
        assert!(w.finish().ends_with(wanted));
    }
}
