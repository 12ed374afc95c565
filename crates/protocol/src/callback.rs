//! Callbacks: what an upload asks to be posted to an application server once it is stored.
//!
//! ```text
//! callback     = base64( { "callbackUrl": "host/path;other/path", "callbackHost": "host",
//!                          "callbackBody": "name=${object}&by=${x:user}",
//!                          "callbackBodyType": "application/x-www-form-urlencoded" | "application/json", "callbackSNI": true } )
//! callback-var = base64( { "x:user": "value" } )
//! ```
//!
//! Parsing and expanding only: who may be called, and calling, is the server's.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    error::{ErrorCode, OssError},
    uri,
};

/// Longest text of a callback and of its variables, each, in base64 bytes.
pub const CALLBACK_BYTES_MAX: usize = 5 << 10;
/// Most URLs of one callback.
pub const CALLBACK_URLS_MAX: usize = 5;

/// A callback as the client asks for it, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Where to post, in this order until one succeeds; one to [`CALLBACK_URLS_MAX`].
    pub urls: Vec<CallbackUrl>,
    /// The `Host` to send; that of the URL when absent.
    pub host: Option<String>,
    /// Whether the body is JSON; else it is a form.
    pub json: bool,
    template: Vec<Piece>,
    variables: Vec<(String, String)>,
}

/// One address to post to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackUrl {
    /// Whether over TLS.
    pub https: bool,
    /// A name or an IPv4 address, in lower case.
    pub host: String,
    /// The port, if one was given.
    pub port: Option<u16>,
    /// Path and query, ASCII, with a leading slash.
    pub path: String,
}

impl CallbackUrl {
    /// The port to connect to.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(if self.https { 443 } else { 80 })
    }

    /// Host and, where one was given, port.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    System(System),
    Custom(String),
}

/// Declares the system variables: the spelling of each, and its place in [`CallbackFacts`].
macro_rules! systems {
    ($($variant:ident $name:literal $field:ident;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum System { Size, None, $($variant),* }

        /// What is known of the upload when its callback is made. What is unknown is empty.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct CallbackFacts {
            /// `size`: the whole object in bytes.
            pub size: u64,
            $(#[doc = concat!("`", $name, "`.")] pub $field: String),*
        }

        impl System {
            fn from_name(name: &str) -> Option<System> {
                match name {
                    "size" => Some(System::Size),
                    // Known only of images and of private networks, which nothing here is.
                    "imageInfo.height" | "imageInfo.width" | "imageInfo.format" | "vpcId" => {
                        Some(System::None)
                    }
                    $($name => Some(System::$variant),)*
                    _ => None,
                }
            }

            fn text(self, facts: &CallbackFacts) -> String {
                match self {
                    System::Size => facts.size.to_string(),
                    System::None => String::new(),
                    $(System::$variant => facts.$field.clone()),*
                }
            }
        }
    };
}

systems! {
    Bucket "bucket" bucket;
    Object "object" object;
    Etag "etag" etag;
    MimeType "mimeType" mime_type;
    Crc64 "crc64" crc64;
    ContentMd5 "contentMd5" content_md5;
    ClientIp "clientIp" client_ip;
    RequestId "reqId" request_id;
    Operation "operation" operation;
}

fn invalid(argument: &'static str, message: &'static str) -> OssError {
    OssError::new(ErrorCode::InvalidArgument)
        .with_message(message)
        .with_field("ArgumentName", argument)
}

const CALLBACK: &str = "callback";
const VARIABLES: &str = "callback-var";

/// Decodes base64, in either alphabet: what came in a URL may have been made for one.
fn decode(argument: &'static str, text: &str) -> Result<Vec<u8>, OssError> {
    if text.len() > CALLBACK_BYTES_MAX {
        return Err(invalid(argument, "The length of callback exceed max value."));
    }
    let compact: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let plain = compact.replace('-', "+").replace('_', "/");
    STANDARD
        .decode(plain)
        .map_err(|_| invalid(argument, "The callback configuration is not base64 encoded."))
}

impl Callback {
    /// Reads the base64 text of a callback and, where there is one, of its variables.
    ///
    /// # Errors
    /// 400 `InvalidArgument` with the service's own messages.
    pub fn parse(callback: &str, variables: Option<&str>) -> Result<Callback, OssError> {
        let json: Value = serde_json::from_slice(&decode(CALLBACK, callback)?)
            .map_err(|_| invalid(CALLBACK, "The callback configuration is not json format."))?;
        if !json.is_object() {
            return Err(invalid(CALLBACK, "The callback configuration is not json format."));
        }
        let bad_url = || invalid(CALLBACK, "The callback url configuration is invalid.");
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let urls: Vec<&str> = text("callbackUrl")
            .ok_or_else(bad_url)?
            .split(';')
            .map(str::trim)
            .filter(|url| !url.is_empty())
            .collect();
        if urls.len() > CALLBACK_URLS_MAX {
            return Err(invalid(CALLBACK, "The number of callback url exceed max value."));
        }
        let urls: Option<Vec<_>> = urls.into_iter().map(url).collect();
        let urls = urls.filter(|urls| !urls.is_empty()).ok_or_else(bad_url)?;
        let host = text("callbackHost").map(str::trim).filter(|host| !host.is_empty());
        if host.is_some_and(|host| !host.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(invalid(CALLBACK, "The callback host configuration is invalid."));
        }
        let body = text("callbackBody").filter(|body| !body.is_empty());
        let body = body.ok_or_else(|| invalid(CALLBACK, "The callback body is empty."))?;
        let json_body = match text("callbackBodyType").map(str::trim) {
            None | Some("") => false,
            Some(kind) => {
                let kind = kind.split(';').next().unwrap_or_default().trim();
                if kind.eq_ignore_ascii_case("application/json") {
                    true
                } else if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                    false
                } else {
                    let message = "The body type of callback is not supported.";
                    return Err(invalid(CALLBACK, message));
                }
            }
        };
        let template =
            template(body).ok_or_else(|| invalid(CALLBACK, "The callback body is invalid."))?;
        let variables = match variables.filter(|text| !text.trim().is_empty()) {
            Some(text) => parse_variables(text)?,
            None => Vec::new(),
        };
        let host = host.map(str::to_owned);
        Ok(Callback { urls, host, json: json_body, template, variables })
    }

    /// Adds a variable that came in a field of its own, `x:name`.
    pub fn add_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The `Content-Type` of the body.
    pub fn content_type(&self) -> &'static str {
        if self.json { "application/json" } else { "application/x-www-form-urlencoded" }
    }

    /// The body to post: every variable replaced, as a form wants its values or as JSON does.
    pub fn body(&self, facts: &CallbackFacts) -> String {
        let mut body = String::new();
        for piece in &self.template {
            let text = match piece {
                Piece::Text(text) => {
                    body.push_str(text);
                    continue;
                }
                Piece::System(System::Size) => {
                    body.push_str(&facts.size.to_string());
                    continue;
                }
                Piece::System(system) => system.text(facts),
                Piece::Custom(name) => {
                    let found = self.variables.iter().find(|(known, _)| known == name);
                    found.map(|(_, value)| value.clone()).unwrap_or_default()
                }
            };
            if self.json {
                body.push_str(&Value::String(text).to_string());
            } else {
                body.push_str(&uri::encode(text.as_bytes()));
            }
        }
        body
    }
}

fn parse_variables(text: &str) -> Result<Vec<(String, String)>, OssError> {
    let unexpected = || invalid(VARIABLES, "The callback var is not expecten json.");
    let json: Value =
        serde_json::from_slice(&decode(VARIABLES, text)?).map_err(|_| unexpected())?;
    let members = json.as_object().ok_or_else(unexpected)?;
    members
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                _ => return Err(unexpected()),
            };
            if is_variable(name) { Ok((name.clone(), value)) } else { Err(unexpected()) }
        })
        .collect()
}

/// `x:` and a name in lower case.
pub fn is_variable(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    name.strip_prefix("x:").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(legal))
}

/// `None` for a variable that does not exist, and for one that does not end.
fn template(body: &str) -> Option<Vec<Piece>> {
    // Meant as a variable, and no form of one: the service refuses it rather than posting it as it stands.
    if body.contains("$(") {
        return None;
    }
    let mut pieces = Vec::new();
    let mut rest = body;
    while let Some((before, tail)) = rest.split_once("${") {
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let (name, after) = tail.split_once('}')?;
        pieces.push(match System::from_name(name) {
            Some(system) => Piece::System(system),
            None if is_variable(name) => Piece::Custom(name.to_owned()),
            None => return None,
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Some(pieces)
}

fn url(text: &str) -> Option<CallbackUrl> {
    let (https, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
        // One within a query is not the URL's own.
        Some((before, _)) if before.contains(['/', '?']) => (false, text),
        Some(_) => return None,
        None => (false, text),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            (host, Some(port.parse().ok().filter(|port| digits && *port > 0)?))
        }
        None => (authority, None),
    };
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(legal) {
        return None;
    }
    let mut encoded = String::new();
    if !path.starts_with('/') {
        encoded.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_graphic() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&uri::encode(&[byte]));
        }
    }
    Some(CallbackUrl { https, host: host.to_ascii_lowercase(), port, path: encoded })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str, variables: Option<&str>) -> Result<Callback, OssError> {
        let variables = variables.map(|text| STANDARD.encode(text));
        Callback::parse(&STANDARD.encode(json), variables.as_deref())
    }

    fn facts() -> CallbackFacts {
        CallbackFacts {
            size: 5,
            bucket: "b".into(),
            object: "a/\"é&".into(),
            mime_type: "text/plain".into(),
            ..CallbackFacts::default()
        }
    }

    #[test]
    fn variables_are_replaced_as_a_form_and_as_json_want_them() {
        let body = "o=${object}&s=${size}&m=${mimeType}&h=${imageInfo.height}&x=${x:a_1}&y=${x:none}$object";
        let json = format!(r#"{{"callbackUrl":"h/p","callbackBody":"{body}"}}"#);
        let callback = parse(&json, Some(r#"{"x:a_1":"1 2"}"#)).unwrap();
        assert_eq!(callback.content_type(), "application/x-www-form-urlencoded");
        assert_eq!(
            callback.body(&facts()),
            "o=a%2F%22%C3%A9%26&s=5&m=text%2Fplain&h=&x=1%202&y=$object"
        );
        let json = r#"{"callbackUrl":"h","callbackBodyType":"application/json",
            "callbackBody":"{\"o\":${object},\"s\":${size},\"x\":${x:v},\"h\":${imageInfo.width}}"}"#;
        let mut callback = parse(json, None).unwrap();
        callback.add_variable("x:v", "w");
        let body = callback.body(&facts());
        assert_eq!(body, r#"{"o":"a/\"é&","s":5,"x":"w","h":""}"#);
        serde_json::from_str::<Value>(&body).unwrap();
    }

    #[test]
    fn urls_are_read_as_they_come() {
        let read = |text: &str| {
            url(text).map(|url| (url.https, url.authority(), url.port_or_default(), url.path))
        };
        let some = |https, authority: &str, port, path: &str| {
            Some((https, authority.to_owned(), port, path.to_owned()))
        };
        for (text, wanted) in [
            ("app.example.com", some(false, "app.example.com", 80, "/")),
            ("http://H:8080/p?q=http://x", some(false, "h:8080", 8080, "/p?q=http://x")),
            ("h/p?q=http://x", some(false, "h", 80, "/p?q=http://x")),
            ("https://1.2.3.4?é y#frag", some(true, "1.2.3.4", 443, "/?%C3%A9%20y")),
            ("ftp://h/", None),
            ("http://[::1]/", None),
            ("http://user@h/", None),
            ("http://h:0/", None),
            ("http://h:+1/", None),
            ("http://h:99999/", None),
            ("http:///p", None),
            ("http://h\r\n/p", None),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
    }

    #[test]
    fn each_mistake_has_its_own_message() {
        let long = "v".repeat(CALLBACK_BYTES_MAX);
        for (json, variables, message) in [
            ("[]".to_owned(), None, "The callback configuration is not json format."),
            ("{".to_owned(), None, "The callback configuration is not json format."),
            (
                r#"{"callbackBody":"a"}"#.to_owned(),
                None,
                "The callback url configuration is invalid.",
            ),
            (
                r#"{"callbackUrl":" ; ","callbackBody":"a"}"#.to_owned(),
                None,
                "The callback url configuration is invalid.",
            ),
            (
                r#"{"callbackUrl":"a;b;c;d;e;f","callbackBody":"a"}"#.to_owned(),
                None,
                "The number of callback url exceed max value.",
            ),
            (r#"{"callbackUrl":"a"}"#.to_owned(), None, "The callback body is empty."),
            (
                r#"{"callbackUrl":"a","callbackBody":"${nothing}"}"#.to_owned(),
                None,
                "The callback body is invalid.",
            ),
            (
                r#"{"callbackUrl":"a","callbackBody":"$(object)"}"#.to_owned(),
                None,
                "The callback body is invalid.",
            ),
            (
                r#"{"callbackUrl":"a","callbackBody":"${object"}"#.to_owned(),
                None,
                "The callback body is invalid.",
            ),
            (
                r#"{"callbackUrl":"a","callbackBody":"a","callbackBodyType":"text/xml"}"#
                    .to_owned(),
                None,
                "The body type of callback is not supported.",
            ),
            (
                r#"{"callbackUrl":"a","callbackBody":"a","callbackHost":"a\r\nb"}"#.to_owned(),
                None,
                "The callback host configuration is invalid.",
            ),
            (
                r#"{"callbackUrl":"a","callbackBody":"a"}"#.to_owned(),
                Some(r#"{"y:a":"1"}"#),
                "The callback var is not expecten json.",
            ),
            (long, None, "The length of callback exceed max value."),
        ] {
            let error = parse(&json, variables).unwrap_err();
            assert_eq!((error.status(), error.message()), (400, message), "{json:.60}");
        }
        let error = Callback::parse("*", None).unwrap_err();
        assert_eq!(error.message(), "The callback configuration is not base64 encoded.");
    }
}
