//! `CORSConfiguration`: which pages of other origins may use a bucket.

use super::schema::{invalid, malformed, matches_glob, read_root, texts};
use crate::error::OssError;
use crate::xml::reader::Element;
use crate::xml::writer::Writer;
use crate::xml::{SMALL, XmlError, read_bool};

/// Most rules of a bucket.
pub const CORS_RULES_MAX: usize = 100;
const METHODS: [&str; 5] = ["GET", "PUT", "DELETE", "POST", "HEAD"];
const MAX_AGE_SECONDS_MAX: u64 = 999_999_999;

/// The rules of a bucket; the first that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CorsConfiguration {
    /// At least one.
    pub rules: Vec<CorsRule>,
    /// Whether every answer of the bucket says `Vary: Origin`.
    pub response_vary: bool,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CorsRule {
    /// Origins, each with at most one `*`.
    pub allowed_origins: Vec<String>,
    /// Of `GET PUT DELETE POST HEAD`.
    pub allowed_methods: Vec<String>,
    /// Names of request headers, each with at most one `*`; none allows none.
    pub allowed_headers: Vec<String>,
    /// Names of response headers that a page may see.
    pub expose_headers: Vec<String>,
    /// How long a browser may remember the answer of a preflight.
    pub max_age_seconds: Option<u64>,
}

impl CorsConfiguration {
    /// The `CORSConfiguration` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(128 + self.rules.len() * 256);
        w.open("CORSConfiguration");
        for rule in &self.rules {
            w.open("CORSRule");
            for (name, values) in [
                ("AllowedOrigin", &rule.allowed_origins),
                ("AllowedMethod", &rule.allowed_methods),
                ("AllowedHeader", &rule.allowed_headers),
                ("ExposeHeader", &rule.expose_headers),
            ] {
                values.iter().for_each(|value| w.text(name, value));
            }
            if let Some(seconds) = rule.max_age_seconds {
                w.number("MaxAgeSeconds", seconds);
            }
            w.close("CORSRule");
        }
        w.boolean("ResponseVary", self.response_vary);
        w.close("CORSConfiguration");
        w.finish()
    }

    /// Reads and checks a `CORSConfiguration` document.
    ///
    /// # Errors
    /// 400 `MalformedXML`, 400 `InvalidArgument` for values that no rule can have.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let root = read_root(document, "CORSConfiguration", SMALL)?;
        let rules = root.children_named("CORSRule").map(CorsRule::read);
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        if rules.is_empty() {
            return Err(malformed(XmlError::Missing("CORSRule")));
        }
        if rules.len() > CORS_RULES_MAX {
            let error = XmlError::TooMany { element: "CORSRule", limit: CORS_RULES_MAX };
            return Err(malformed(error));
        }
        let response_vary = read_bool(&root, "ResponseVary").map_err(malformed)?;
        Ok(Self { rules, response_vary })
    }

    /// The first rule that lets a page of this origin send this method with these headers.
    pub fn find<'h>(
        &self,
        origin: &str,
        method: &str,
        headers: impl Iterator<Item = &'h str> + Clone,
    ) -> Option<&CorsRule> {
        self.rules.iter().find(|rule| {
            rule.allows_origin(origin)
                && rule.allowed_methods.iter().any(|allowed| allowed == method)
                && headers.clone().all(|name| rule.allows_header(name))
        })
    }
}

impl CorsRule {
    fn read(element: &Element) -> Result<Self, OssError> {
        let rule = Self {
            allowed_origins: texts(element, "AllowedOrigin"),
            allowed_methods: texts(element, "AllowedMethod"),
            allowed_headers: texts(element, "AllowedHeader"),
            expose_headers: texts(element, "ExposeHeader"),
            max_age_seconds: max_age(element)?,
        };
        if rule.allowed_origins.is_empty() {
            return Err(malformed(XmlError::Missing("AllowedOrigin")));
        }
        if rule.allowed_methods.is_empty() {
            return Err(malformed(XmlError::Missing("AllowedMethod")));
        }
        let stars = |text: &str| text.bytes().filter(|byte| *byte == b'*').count();
        for (name, values, stars_max) in [
            ("AllowedOrigin", &rule.allowed_origins, 1),
            ("AllowedHeader", &rule.allowed_headers, 1),
            ("ExposeHeader", &rule.expose_headers, 0),
        ] {
            // They stand in headers of answers.
            let bad = |value: &&String| {
                stars(value) > stars_max || !value.bytes().all(|byte| (b' '..0x7f).contains(&byte))
            };
            if let Some(value) = values.iter().find(bad) {
                return Err(invalid(
                    name,
                    value,
                    "The value has too many wildcards or bad characters.",
                ));
            }
        }
        if let Some(method) = rule.allowed_methods.iter().find(|m| !METHODS.contains(&m.as_str())) {
            let message = "The method is not one of GET, PUT, DELETE, POST and HEAD.";
            return Err(invalid("AllowedMethod", method, message));
        }
        Ok(rule)
    }

    fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| matches_glob(allowed, origin, false))
    }

    fn allows_header(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.allowed_headers
            .iter()
            .any(|allowed| matches_glob(&allowed.to_ascii_lowercase(), &name, false))
    }

    /// Whether the rule is for every origin alike, so that the answer may say `*`.
    pub fn any_origin(&self) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed == "*")
    }
}

/// How long a browser may remember an answer. A number that none can be is told by name and value, as one SDK's suite reads it.
fn max_age(element: &Element) -> Result<Option<u64>, OssError> {
    const NAME: &str = "MaxAgeSeconds";
    let Some(text) = element.child_value(NAME) else {
        return Ok(None);
    };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_AGE_SECONDS_MAX);
    match seconds {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(invalid(NAME, text, "The number of seconds is not valid.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn parse(rules: &str) -> Result<CorsConfiguration, ErrorCode> {
        let text = format!("<CORSConfiguration>{rules}</CORSConfiguration>");
        CorsConfiguration::parse(text.as_bytes()).map_err(|error| error.code())
    }

    fn rule(inside: &str) -> String {
        format!("<CORSRule>{inside}</CORSRule>")
    }

    #[test]
    fn a_document_is_read_back_as_written() {
        let read = parse(
            "<ResponseVary>true</ResponseVary><CORSRule><MaxAgeSeconds>5</MaxAgeSeconds><AllowedMethod>PUT\
             </AllowedMethod><AllowedOrigin> * </AllowedOrigin><ExposeHeader>ETag</ExposeHeader><AllowedHeader>x-*\
             </AllowedHeader></CORSRule>",
        )
        .unwrap();
        assert!(read.response_vary && read.rules[0].any_origin());
        assert_eq!(CorsConfiguration::parse(read.to_xml().as_bytes()), Ok(read));
    }

    #[test]
    fn what_no_rule_can_be_is_refused() {
        let (origin, method) =
            ("<AllowedOrigin>*</AllowedOrigin>", "<AllowedMethod>GET</AllowedMethod>");
        let both = format!("{origin}{method}");
        use ErrorCode::{InvalidArgument, MalformedXML};
        for (inside, code) in [
            (origin.to_owned(), MalformedXML),
            (method.to_owned(), MalformedXML),
            (format!("{origin}<AllowedMethod>get</AllowedMethod>"), InvalidArgument),
            (format!("{origin}<AllowedMethod>OPTIONS</AllowedMethod>"), InvalidArgument),
            (format!("{method}<AllowedOrigin>*.*</AllowedOrigin>"), InvalidArgument),
            (format!("{both}<AllowedHeader>*-*</AllowedHeader>"), InvalidArgument),
            (format!("{both}<ExposeHeader>x-*</ExposeHeader>"), InvalidArgument),
            (format!("{both}<ExposeHeader>a&#10;b</ExposeHeader>"), InvalidArgument),
            (format!("{both}<MaxAgeSeconds>-1</MaxAgeSeconds>"), InvalidArgument),
            (format!("{both}<MaxAgeSeconds>9999999999</MaxAgeSeconds>"), InvalidArgument),
        ] {
            assert_eq!(parse(&rule(&inside)), Err(code), "{inside}");
        }
        assert_eq!(parse(""), Err(MalformedXML));
        assert!(parse(&rule(&both).repeat(CORS_RULES_MAX)).is_ok());
        assert_eq!(parse(&rule(&both).repeat(CORS_RULES_MAX + 1)), Err(MalformedXML));
    }

    #[test]
    fn the_first_rule_that_matches_origin_method_and_headers_decides() {
        let read = parse(
            "<CORSRule><AllowedOrigin>https://*.example.com</AllowedOrigin><AllowedMethod>GET</AllowedMethod>\
             </CORSRule><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>\
             <AllowedHeader>X-OSS-*</AllowedHeader></CORSRule>",
        )
        .unwrap();
        let found = |origin, method, headers: &[&str]| {
            let rule = read.find(origin, method, headers.iter().copied());
            rule.and_then(|rule| read.rules.iter().position(|known| known == rule))
        };
        assert_eq!(found("https://a.example.com", "GET", &[]), Some(0));
        assert_eq!(found("http://a.example.com", "GET", &[]), None);
        assert_eq!(found("https://a.example.com", "GET", &["x-oss-meta-a"]), None);
        assert_eq!(found("http://any", "PUT", &["x-oss-meta-a", "X-Oss-Date"]), Some(1));
        assert_eq!(found("http://any", "PUT", &["x-oss-date", "content-type"]), None);
        assert_eq!(found("http://any", "DELETE", &[]), None);
    }
}
