//! Reading errors back: the client's half.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::xml::{Element, Limits};

/// Bounds of an error document; real ones are below 4 KiB, a signature mismatch with its echoed texts below 64 KiB.
const LIMITS: Limits = Limits { bytes: 256 * 1024, depth: 8, elements: 512 };

/// An error document as some server sent it. Codes that we do not know are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsedError {
    /// `<Code>`, never empty.
    pub code: String,
    /// `<Message>`.
    pub message: String,
    /// `<RequestId>`.
    pub request_id: String,
    /// `<HostId>`.
    pub host_id: String,
    /// `<EC>`, empty when absent.
    pub ec: String,
    /// Every other element that has no children, in document order: name and text.
    pub fields: Vec<(String, String)>,
}

impl ParsedError {
    /// The text of an extra element, such as `Key` or `Condition`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Reads an `<Error>` document. `None` for anything else: another root, no `<Code>`, broken or oversized XML.
pub fn parse_error_xml(body: &[u8]) -> Option<ParsedError> {
    let root = Element::parse(body, LIMITS).ok()?;
    if root.name != "Error" {
        return None;
    }
    let mut error = ParsedError::default();
    for child in root.children {
        if !child.children.is_empty() {
            continue;
        }
        match child.name.as_str() {
            "Code" => error.code = child.text.trim().to_owned(),
            "Message" => error.message = child.text,
            "RequestId" => error.request_id = child.text.trim().to_owned(),
            "HostId" => error.host_id = child.text.trim().to_owned(),
            "EC" => error.ec = child.text.trim().to_owned(),
            _ => error.fields.push((child.name, child.text)),
        }
    }
    (!error.code.is_empty()).then_some(error)
}

/// Reads the value of an `x-oss-err` header: an `<Error>` document in base64.
pub fn parse_x_oss_err(value: &[u8]) -> Option<ParsedError> {
    parse_error_xml(&STANDARD.decode(value.trim_ascii()).ok()?)
}
