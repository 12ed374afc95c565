//! `WebsiteConfiguration`: how anonymous readers see a bucket as a site.

use super::schema::{
    Node, flag, group, groups, invalid, leaf, leaves, malformed, read_root, write,
};
use crate::error::OssError;
use crate::xml::reader::{Element, Limits};
use crate::xml::writer::Writer;
use crate::xml::{XmlError, read_bool, read_number};

const RULES_MAX: usize = 20;
const HEADERS_MAX: usize = 10;
const LIMITS: Limits = Limits { bytes: 64 * 1024, depth: 12, elements: 4096 };

const HEADER: &[Node] = &[leaf("Key"), leaf("Equals"), leaf("StartsWith"), leaf("EndsWith")];
const CONDITION: &[Node] = &[
    leaf("KeyPrefixEquals"),
    leaf("KeySuffixEquals"),
    leaf("HttpErrorCodeReturnedEquals"),
    groups("IncludeHeader", HEADER),
];
const REDIRECT: &[Node] = &[
    leaf("RedirectType"),
    flag("PassQueryString"),
    leaf("MirrorURL"),
    flag("MirrorPassQueryString"),
    flag("MirrorFollowRedirect"),
    flag("MirrorCheckMd5"),
    group(
        "MirrorHeaders",
        &[
            flag("PassAll"),
            leaves("Pass"),
            leaves("Remove"),
            groups("Set", &[leaf("Key"), leaf("Value")]),
        ],
    ),
    flag("MirrorSNI"),
    leaf("MirrorURLSlave"),
    leaf("MirrorURLProbe"),
    flag("MirrorPassOriginalSlashes"),
    flag("MirrorSaveOssMeta"),
    flag("MirrorProxyPass"),
    flag("MirrorAllowGetImageInfo"),
    flag("MirrorAllowVideoSnapshot"),
    flag("MirrorAllowHeadObject"),
    flag("MirrorIsExpressTunnel"),
    leaf("MirrorDstRegion"),
    leaf("MirrorDstVpcId"),
    leaf("MirrorDstSlaveVpcId"),
    leaf("MirrorTunnelId"),
    flag("MirrorUserLastModified"),
    flag("MirrorUsingRole"),
    leaf("MirrorRole"),
    flag("MirrorSwitchAllErrors"),
    flag("MirrorCheckMd5Slave"),
    leaf("TransparentMirrorResponseCodes"),
    leaf("MirrorAsyncStatus"),
    group("MirrorTaggings", &[groups("Taggings", &[leaf("Key"), leaf("Value")])]),
    group("MirrorReturnHeaders", &[groups("ReturnHeader", &[leaf("Key"), leaf("Value")])]),
    // Its secret is not kept: nothing here would use it, and a document is told to everybody who may read it.
    group("MirrorAuth", &[leaf("AuthType"), leaf("Region"), leaf("AccessKeyId")]),
    leaf("Protocol"),
    leaf("HostName"),
    leaf("ReplaceKeyPrefixWith"),
    flag("EnableReplacePrefix"),
    leaf("ReplaceKeyWith"),
    leaf("HttpRedirectCode"),
];
const GRAMMAR: &[Node] = &[
    group("IndexDocument", &[leaf("Suffix"), flag("SupportSubDir"), leaf("Type")]),
    group("ErrorDocument", &[leaf("Key"), leaf("HttpStatus")]),
    group(
        "RoutingRules",
        &[groups(
            "RoutingRule",
            &[
                leaf("RuleNumber"),
                group("Condition", CONDITION),
                group("Redirect", REDIRECT),
                group("LuaConfig", &[leaf("Script")]),
            ],
        )],
    ),
];

/// A site.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebsiteConfiguration {
    /// What a folder is shown as.
    pub index: Option<IndexDocument>,
    /// What is shown for a missing page.
    pub error: Option<ErrorDocument>,
    /// In order of their numbers; the first that matches decides.
    pub rules: Vec<RoutingRule>,
    /// The document that is kept and told.
    pub document: String,
}

/// What a folder is shown as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDocument {
    /// The name of the page in its folder.
    pub suffix: String,
    /// Whether folders below the root have their own.
    pub sub_dirs: bool,
    /// What a key without its slash means where `key/` has a page: 0 redirects to it, 1 is missing, 2 shows the page.
    pub kind: u8,
}

/// What is shown for a missing page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorDocument {
    /// Its key.
    pub key: String,
    /// The status it is shown with: 404 or 200.
    pub status: u16,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoutingRule {
    /// Its place, unique.
    pub number: u64,
    /// What the key begins with.
    pub key_prefix: String,
    /// What the key ends with.
    pub key_suffix: String,
    /// The status that the plain answer would have.
    pub error_code: Option<u16>,
    /// What headers the request has.
    pub headers: Vec<HeaderCondition>,
    /// What is done.
    pub redirect: Redirect,
}

/// What a request's header must be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderCondition {
    /// Its name in lower case.
    pub name: String,
    /// Its whole value.
    pub equals: Option<String>,
    /// The start of its value.
    pub starts_with: Option<String>,
    /// The end of its value.
    pub ends_with: Option<String>,
}

/// Which way a rule leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectKind {
    /// `External`, and `AliCDN`, which differs for the cloud's own caches alone: the client is sent there.
    #[default]
    External,
    /// The other key is served instead.
    Internal,
    /// What is missing would be fetched from elsewhere. Kept and told, never done: a reader whom it concerns hears so.
    Mirror,
}

/// Where a rule leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redirect {
    /// Which way it leads there.
    pub kind: RedirectKind,
    /// 301, 302, 303 or 307.
    pub status: u16,
    /// `http` or `https`; `None` is that of the request.
    pub protocol: Option<String>,
    /// `None` is that of the request.
    pub host: Option<String>,
    /// The whole new key, in which `${key}` is the old one.
    pub key: Option<String>,
    /// What the prefix of the condition becomes; empty cuts it off.
    pub key_prefix: Option<String>,
    /// Whether the query goes along.
    pub pass_query: bool,
}

impl WebsiteConfiguration {
    /// Reads and checks a `WebsiteConfiguration` document.
    ///
    /// # Errors
    /// 400 `MalformedXML` and `InvalidArgument`.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let mut root = read_root(document, "WebsiteConfiguration", LIMITS)?;
        complete(&mut root);
        let rules = root.child("RoutingRules");
        let rules = rules.into_iter().flat_map(|list| list.children_named("RoutingRule"));
        let mut site = Self {
            index: root.child("IndexDocument").map(IndexDocument::read).transpose()?,
            error: root.child("ErrorDocument").map(ErrorDocument::read).transpose()?,
            rules: rules.map(RoutingRule::read).collect::<Result<_, _>>()?,
            document: String::new(),
        };
        if site.index.is_none() && site.error.is_none() && site.rules.is_empty() {
            return Err(malformed(XmlError::Missing("IndexDocument")));
        }
        if site.rules.len() > RULES_MAX {
            let error = XmlError::TooMany { element: "RoutingRule", limit: RULES_MAX };
            return Err(malformed(error));
        }
        site.rules.sort_by_key(|rule| rule.number);
        if site.rules.windows(2).any(|pair| pair[0].number == pair[1].number) {
            return Err(invalid("RuleNumber", "", "The number of a rule must be unique."));
        }
        let mut w = Writer::document(document.len());
        write(&mut w, &root, "WebsiteConfiguration", GRAMMAR);
        site.document = w.finish();
        Ok(site)
    }
}

/// Drops pages that name nothing, which one SDK writes where there is none, and adds what readers of mirror rules look for.
fn complete(root: &mut Element) {
    let says = |page: &Element| page.children.iter().any(|child| !child.text.trim().is_empty());
    root.children.retain(|child| !child.name.ends_with("Document") || says(child));
    let rules = root.children.iter_mut().filter(|child| child.name == "RoutingRules");
    let rules = rules.flat_map(|rules| &mut rules.children);
    for redirect in rules.flat_map(|rule| &mut rule.children) {
        if redirect.name != "Redirect" || redirect.child_value("RedirectType") != Some("Mirror") {
            continue;
        }
        default_flag(redirect, "MirrorPassQueryString", false);
        // The one stands for both, as the service tells them.
        let passes = read_bool(redirect, "MirrorPassQueryString").unwrap_or_default();
        redirect.children.retain(|child| child.name != "PassQueryString");
        default_flag(redirect, "PassQueryString", passes);
        default_flag(redirect, "MirrorFollowRedirect", true);
        default_flag(redirect, "MirrorCheckMd5", false);
        default_flag(redirect, "MirrorPassOriginalSlashes", false);
        let headers = redirect.children.iter_mut().filter(|child| child.name == "MirrorHeaders");
        headers.for_each(|headers| default_flag(headers, "PassAll", false));
    }
}

fn default_flag(parent: &mut Element, name: &str, value: bool) {
    if parent.child_value(name).is_none() {
        parent.children.retain(|child| child.name != name);
        let (name, text) = (name.to_owned(), value.to_string());
        parent.children.push(Element { name, text, ..Element::default() });
    }
}

impl IndexDocument {
    fn read(element: &Element) -> Result<Self, OssError> {
        let suffix = element.child_value("Suffix");
        let suffix = suffix.ok_or_else(|| malformed(XmlError::Missing("Suffix")))?;
        if suffix.contains('/') {
            return Err(invalid("Suffix", suffix, "The suffix must not contain a slash."));
        }
        let kind = match element.child_value("Type").unwrap_or("0") {
            "0" => 0,
            "1" => 1,
            "2" => 2,
            other => return Err(invalid("Type", other, "The type must be 0, 1 or 2.")),
        };
        let sub_dirs = read_bool(element, "SupportSubDir").map_err(malformed)?;
        Ok(Self { suffix: suffix.to_owned(), sub_dirs, kind })
    }
}

impl ErrorDocument {
    fn read(element: &Element) -> Result<Self, OssError> {
        let key = element.child_value("Key");
        let key = key.ok_or_else(|| malformed(XmlError::Missing("Key")))?;
        let status = match element.child_value("HttpStatus").unwrap_or("404") {
            "404" => 404,
            "200" => 200,
            other => return Err(invalid("HttpStatus", other, "The status must be 200 or 404.")),
        };
        Ok(Self { key: key.to_owned(), status })
    }
}

impl RoutingRule {
    fn read(element: &Element) -> Result<Self, OssError> {
        let number = read_number(element, "RuleNumber").map_err(malformed)?;
        let number = number.filter(|number| *number > 0);
        let mut rule = Self {
            number: number.ok_or_else(|| malformed(XmlError::Missing("RuleNumber")))?,
            ..Self::default()
        };
        if let Some(condition) = element.child("Condition") {
            let text = |name| condition.child_value(name).unwrap_or_default().to_owned();
            rule.key_prefix = text("KeyPrefixEquals");
            rule.key_suffix = text("KeySuffixEquals");
            if let Some(code) = condition.child_value("HttpErrorCodeReturnedEquals") {
                let bad =
                    || invalid("HttpErrorCodeReturnedEquals", code, "The status is not valid.");
                let code = code.parse().ok().filter(|code| (400..600).contains(code));
                rule.error_code = Some(code.ok_or_else(bad)?);
            }
            for header in condition.children_named("IncludeHeader") {
                let text = |name| header.child_value(name).map(str::to_owned);
                rule.headers.push(HeaderCondition {
                    name: text("Key")
                        .ok_or_else(|| malformed(XmlError::Missing("Key")))?
                        .to_ascii_lowercase(),
                    equals: text("Equals"),
                    starts_with: text("StartsWith"),
                    ends_with: text("EndsWith"),
                });
            }
            if rule.headers.len() > HEADERS_MAX {
                let error = XmlError::TooMany { element: "IncludeHeader", limit: HEADERS_MAX };
                return Err(malformed(error));
            }
        }
        let redirect = element.child("Redirect");
        let redirect = redirect.ok_or_else(|| malformed(XmlError::Missing("Redirect")))?;
        rule.redirect = Redirect::read(redirect)?;
        Ok(rule)
    }
}

impl Redirect {
    fn read(element: &Element) -> Result<Self, OssError> {
        let text = |name| element.child_value(name).map(str::to_owned);
        let boolean = |name| read_bool(element, name).map_err(malformed);
        let kind = match element.child_value("RedirectType") {
            None | Some("External" | "AliCDN") => RedirectKind::External,
            Some("Internal") => RedirectKind::Internal,
            Some("Mirror") if element.child_value("MirrorURL").is_none() => {
                return Err(invalid("MirrorURL", "", "A rule that mirrors must name its source."));
            }
            Some("Mirror") => RedirectKind::Mirror,
            Some(other) => return Err(invalid("RedirectType", other, "The type is not known.")),
        };
        let status = match element.child_value("HttpRedirectCode").unwrap_or("301") {
            "301" => 301,
            "302" => 302,
            "303" => 303,
            "307" => 307,
            other => {
                let message = "The status must be 301, 302, 303 or 307.";
                return Err(invalid("HttpRedirectCode", other, message));
            }
        };
        let protocol = text("Protocol");
        if let Some(other) = protocol.as_deref().filter(|text| !matches!(*text, "http" | "https")) {
            return Err(invalid("Protocol", other, "The protocol must be http or https."));
        }
        let host = text("HostName");
        if let Some(host) = host.as_deref()
            && !host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b))
        {
            return Err(invalid("HostName", host, "The host name is not valid."));
        }
        let (key, prefix) = (text("ReplaceKeyWith"), text("ReplaceKeyPrefixWith"));
        let enable = boolean("EnableReplacePrefix")?;
        if key.is_some() && (prefix.is_some() || enable) {
            let message = "A key and a prefix can not both be replaced.";
            return Err(invalid("ReplaceKeyWith", "", message));
        }
        let key_prefix = if enable { Some(prefix.unwrap_or_default()) } else { prefix };
        let pass_query = boolean("PassQueryString")?;
        Ok(Self { kind, status, protocol, host, key, key_prefix, pass_query })
    }

    /// The key that this leads to from `key`, which began with `prefix`.
    pub fn target_key(&self, key: &str, prefix: &str) -> String {
        if let Some(whole) = &self.key {
            return whole.replace("${key}", key);
        }
        match &self.key_prefix {
            Some(new) => format!("{new}{}", key.strip_prefix(prefix).unwrap_or(key)),
            None => key.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn parse(inside: &str) -> Result<WebsiteConfiguration, ErrorCode> {
        let text = format!("<WebsiteConfiguration>{inside}</WebsiteConfiguration>");
        WebsiteConfiguration::parse(text.as_bytes()).map_err(|error| error.code())
    }

    fn rule(number: u64, redirect: &str) -> String {
        format!(
            "<RoutingRule><RuleNumber>{number}</RuleNumber><Redirect>{redirect}</Redirect></RoutingRule>"
        )
    }

    #[test]
    fn what_is_kept_is_read_back_the_same() {
        let rules = rule(2, "<RedirectType>External</RedirectType><HostName>b.com</HostName>")
            + &rule(
                1,
                "<RedirectType>Internal</RedirectType><ReplaceKeyWith>x/${key}</ReplaceKeyWith>",
            );
        let site = parse(&format!(
            "<ErrorDocument><Key>e.html</Key></ErrorDocument><IndexDocument><Suffix>i.html</Suffix></IndexDocument>\
             <RoutingRules>{rules}</RoutingRules>"
        ))
        .unwrap();
        assert_eq!(site.rules.iter().map(|rule| rule.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(site.rules[0].redirect.target_key("k", ""), "x/k");
        assert_eq!(WebsiteConfiguration::parse(site.document.as_bytes()), Ok(site));
    }

    #[test]
    fn rules_that_mirror_are_kept_with_their_defaults_and_without_their_secret() {
        let redirect = "<RedirectType>Mirror</RedirectType><MirrorURL>http://o.com/</MirrorURL>\
             <PassQueryString>false</PassQueryString><MirrorPassQueryString>true</MirrorPassQueryString>\
             <MirrorHeaders><Pass>a</Pass><PassAll/></MirrorHeaders><MirrorRole>r</MirrorRole>\
             <MirrorAuth><AccessKeyId>id</AccessKeyId><AccessKeySecret>s3cret</AccessKeySecret></MirrorAuth>";
        // As one SDK writes where there are no pages.
        let site = parse(&format!(
            "<IndexDocument><Suffix></Suffix></IndexDocument><ErrorDocument><Key></Key></ErrorDocument>\
             <RoutingRules>{}</RoutingRules>",
            rule(1, redirect)
        ))
        .unwrap();
        assert_eq!((&site.index, &site.error), (&None, &None));
        assert_eq!(site.rules[0].redirect.kind, RedirectKind::Mirror);
        for kept in [
            "<MirrorURL>http://o.com/</MirrorURL>",
            "<PassQueryString>true</PassQueryString>",
            "<MirrorPassQueryString>true</MirrorPassQueryString>",
            "<MirrorFollowRedirect>true</MirrorFollowRedirect>",
            "<MirrorCheckMd5>false</MirrorCheckMd5>",
            "<PassAll>false</PassAll><Pass>a</Pass>",
            "<MirrorRole>r</MirrorRole>",
            "<AccessKeyId>id</AccessKeyId>",
        ] {
            assert!(site.document.contains(kept), "{kept} in {}", site.document);
        }
        assert!(!site.document.contains("s3cret") && !site.document.contains("Document>"));
        assert_eq!(WebsiteConfiguration::parse(site.document.as_bytes()), Ok(site));
    }

    #[test]
    fn what_no_site_can_be_is_refused() {
        use ErrorCode::{InvalidArgument, MalformedXML};
        let rules = |text: &str| format!("<RoutingRules>{text}</RoutingRules>");
        let external = "<RedirectType>External</RedirectType>";
        for (inside, code) in [
            (String::new(), MalformedXML),
            ("<IndexDocument><Suffix/></IndexDocument>".into(), MalformedXML),
            ("<IndexDocument><Suffix>a/b</Suffix></IndexDocument>".into(), InvalidArgument),
            (
                "<IndexDocument><Suffix>a</Suffix><Type>3</Type></IndexDocument>".into(),
                InvalidArgument,
            ),
            (
                "<ErrorDocument><Key>e</Key><HttpStatus>500</HttpStatus></ErrorDocument>".into(),
                InvalidArgument,
            ),
            (rules(&rule(1, "<RedirectType>Mirror</RedirectType>")), InvalidArgument),
            (rules(&rule(1, "<RedirectType>Other</RedirectType>")), InvalidArgument),
            (rules(&rule(1, external).repeat(2)), InvalidArgument),
            (rules(&rule(0, external)), MalformedXML),
            (
                rules(&rule(1, &format!("{external}<HttpRedirectCode>200</HttpRedirectCode>"))),
                InvalidArgument,
            ),
            (rules(&rule(1, &format!("{external}<HostName>a b</HostName>"))), InvalidArgument),
            (rules(&(1..=21).map(|n| rule(n, external)).collect::<String>()), MalformedXML),
        ] {
            assert_eq!(parse(&inside), Err(code), "{inside}");
        }
    }
}
