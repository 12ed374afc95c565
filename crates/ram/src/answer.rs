//! What an action answers: a small tree, told as JSON or as XML, and refusals, told in the same two ways.

use std::{borrow::Cow, fmt::Write as _};

use ossia_protocol::auth::RpcError;
use thiserror::Error;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `Format=JSON`, the default.
    #[default]
    Json,
    /// `Format=XML`.
    Xml,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Text.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(u64),
    /// Members in their order.
    Object(Vec<(&'static str, Node)>),
    /// A list and the name of its items: wrapped twice in JSON, `{"User": [...]}`, repeated elements in XML.
    List(&'static str, Vec<Node>),
}

impl From<&str> for Node {
    fn from(text: &str) -> Node {
        Node::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Node {
        Node::Text(text)
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Node {
        Node::Bool(value)
    }
}

impl From<u64> for Node {
    fn from(value: u64) -> Node {
        Node::Number(value)
    }
}

impl From<Object> for Node {
    fn from(object: Object) -> Node {
        Node::Object(object.0)
    }
}

/// Members under construction; an answer is one, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object(Vec<(&'static str, Node)>);

impl Object {
    /// Without members.
    pub fn new() -> Object {
        Object::default()
    }

    /// The same with one more member.
    pub fn with(mut self, name: &'static str, value: impl Into<Node>) -> Object {
        self.0.push((name, value.into()));
        self
    }

    /// The same with one more member, if there is a value.
    pub fn with_some(self, name: &'static str, value: Option<impl Into<Node>>) -> Object {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// A member.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, node)| node)
    }

    /// The answer of `action` as a document.
    pub fn render(&self, action: &str, request_id: &str, format: Format) -> String {
        match format {
            Format::Json => {
                let mut out = String::from("{\"RequestId\":");
                json_text(&mut out, request_id);
                for (name, node) in &self.0 {
                    out.push(',');
                    json_text(&mut out, name);
                    out.push(':');
                    json(&mut out, node);
                }
                out.push('}');
                out
            }
            Format::Xml => {
                let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
                let _ = write!(out, "<{action}Response><RequestId>");
                xml_text(&mut out, request_id);
                out.push_str("</RequestId>");
                members(&mut out, &self.0);
                let _ = write!(out, "</{action}Response>");
                out
            }
        }
    }
}

/// Why an action was not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// The code that clients look at.
    pub code: Cow<'static, str>,
    /// The message for people.
    pub message: Cow<'static, str>,
}

impl Fault {
    /// A refusal.
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Fault {
        Fault { status, code: code.into(), message: message.into() }
    }

    /// No such action, or none of this version.
    pub fn unknown_action() -> Fault {
        let message = "The specified parameter \"Action or Version\" is not valid.";
        Fault::new(400, "InvalidParameter", message)
    }

    /// The caller may not.
    pub fn no_permission() -> Fault {
        Fault::new(403, "NoPermission", "You are not authorized to do this action.")
    }

    /// The request has been taken already.
    pub(crate) fn nonce_used() -> Fault {
        let error = RpcError::NonceUsed;
        Fault::new(error.status(), error.code(), error.to_string())
    }

    pub(crate) fn missing(name: &str) -> Fault {
        let message = format!(
            "The input parameter \"{name}\" that is mandatory for processing this request is not supplied."
        );
        Fault::new(400, format!("MissingParameter.{name}"), message)
    }

    pub(crate) fn invalid_chars(name: &str) -> Fault {
        let message = format!("The parameter - \"{name}\" contains invalid chars.");
        Fault::new(400, format!("InvalidParameter.{name}.InvalidChars"), message)
    }

    pub(crate) fn too_long(name: &str) -> Fault {
        let message = format!("The parameter - \"{name}\" beyond the length limit.");
        Fault::new(400, format!("InvalidParameter.{name}.Length"), message)
    }

    pub(crate) fn bad_format(name: &str) -> Fault {
        let message = format!("The format of the parameter - \"{name}\" is incorrect.");
        Fault::new(400, format!("InvalidParameter.{name}.Format"), message)
    }

    pub(crate) fn incorrect(name: &str) -> Fault {
        let message = format!("The parameter - \"{name}\" is incorrect.");
        Fault::new(400, format!("InvalidParameter.{name}"), message)
    }

    pub(crate) fn malformed_policy(why: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(400, "MalformedPolicyDocument", why)
    }

    pub(crate) fn absent(what: &'static str, message: &'static str) -> Fault {
        Fault::new(404, format!("EntityNotExist.{what}"), message)
    }

    pub(crate) fn exists(what: &'static str, message: &'static str) -> Fault {
        Fault::new(409, format!("EntityAlreadyExists.{what}"), message)
    }

    pub(crate) fn in_use(what: &'static str, message: &'static str) -> Fault {
        Fault::new(409, format!("DeleteConflict.{what}"), message)
    }

    pub(crate) fn limit(what: &'static str, message: &'static str) -> Fault {
        Fault::new(409, format!("LimitExceeded.{what}"), message)
    }

    /// What the store cannot do at the moment.
    pub(crate) fn unavailable() -> Fault {
        let message = "The service is not able to change anything at the moment. Try again later.";
        Fault::new(503, "ServiceUnavailable", message)
    }

    /// A fault of this program, or an outcome that cannot be told.
    pub fn internal() -> Fault {
        Fault::new(500, "InternalError", "An internal error occurred.")
    }

    /// The refusal as a document.
    pub fn render(&self, request_id: &str, host: &str, format: Format) -> String {
        let fields = [
            ("RequestId", request_id),
            ("HostId", host),
            ("Code", &*self.code),
            ("Message", &*self.message),
        ];
        let mut out = String::new();
        match format {
            Format::Json => {
                for (count, (name, value)) in fields.into_iter().enumerate() {
                    out.push(if count == 0 { '{' } else { ',' });
                    json_text(&mut out, name);
                    out.push(':');
                    json_text(&mut out, value);
                }
                out.push('}');
            }
            Format::Xml => {
                out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
                for (name, value) in fields {
                    let _ = write!(out, "<{name}>");
                    xml_text(&mut out, value);
                    let _ = write!(out, "</{name}>");
                }
                out.push_str("</Error>");
            }
        }
        out
    }
}

fn json(out: &mut String, node: &Node) {
    match node {
        Node::Text(text) => json_text(out, text),
        Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Node::Number(value) => {
            let _ = write!(out, "{value}");
        }
        Node::Object(members) => {
            out.push('{');
            for (count, (name, node)) in members.iter().enumerate() {
                if count > 0 {
                    out.push(',');
                }
                json_text(out, name);
                out.push(':');
                json(out, node);
            }
            out.push('}');
        }
        Node::List(name, nodes) => {
            out.push('{');
            json_text(out, name);
            out.push_str(":[");
            for (count, node) in nodes.iter().enumerate() {
                if count > 0 {
                    out.push(',');
                }
                json(out, node);
            }
            out.push_str("]}");
        }
    }
}

fn json_text(out: &mut String, text: &str) {
    // A text has no form that JSON lacks.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn members(out: &mut String, members: &[(&'static str, Node)]) {
    for (name, node) in members {
        let _ = write!(out, "<{name}>");
        xml(out, node);
        let _ = write!(out, "</{name}>");
    }
}

fn xml(out: &mut String, node: &Node) {
    match node {
        Node::Text(text) => xml_text(out, text),
        Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Node::Number(value) => {
            let _ = write!(out, "{value}");
        }
        Node::Object(object) => members(out, object),
        Node::List(name, nodes) => {
            for node in nodes {
                let _ = write!(out, "<{name}>");
                xml(out, node);
                let _ = write!(out, "</{name}>");
            }
        }
    }
}

/// What XML cannot carry at all goes as a replacement character.
fn xml_text(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(letter),
            letter if letter < ' ' || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Object {
        let user = Object::new().with("UserName", "a<b").with("Mfa", false);
        Object::new()
            .with("Users", Node::List("User", vec![user.into()]))
            .with("Groups", Node::List("Group", Vec::new()))
            .with("Count", 3)
    }

    #[test]
    fn lists_are_wrapped_twice_in_json_and_repeated_in_xml() {
        assert_eq!(
            answer().render("ListUsers", "ID", Format::Json),
            r#"{"RequestId":"ID","Users":{"User":[{"UserName":"a<b","Mfa":false}]},"Groups":{"Group":[]},"Count":3}"#
        );
        let xml = answer().render("ListUsers", "ID", Format::Xml);
        let (_, xml) = xml.split_once('\n').unwrap();
        assert_eq!(
            xml,
            "<ListUsersResponse><RequestId>ID</RequestId><Users><User><UserName>a&lt;b</UserName><Mfa>false</Mfa></User>\
             </Users><Groups></Groups><Count>3</Count></ListUsersResponse>"
        );
    }

    #[test]
    fn a_refusal_names_request_host_code_and_message() {
        let fault = Fault::missing("UserName");
        let json = fault.render("ID", "host", Format::Json);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["Code"], "MissingParameter.UserName");
        assert_eq!((&json["RequestId"], &json["HostId"]), (&"ID".into(), &"host".into()));
        let xml = fault.render("ID", "host", Format::Xml);
        assert!(xml.ends_with("</Message></Error>"), "{xml}");
    }
}
