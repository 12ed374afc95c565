//! Conditions of statements: operators, keys, and what they are tested against.

use std::{borrow::Cow, net::IpAddr};

use super::{
    PolicyError,
    json::Json,
    pattern::{Glob, Letters, has_wildcard},
};
use crate::{network::Network, time};

/// Pairs of tags.
pub type TagPairs = [(String, String)];

/// What the conditions of statements are tested against. A key whose value is `None`, or a tag that is not there, is absent: no
/// test holds for it but those that negate.
#[derive(Debug, Clone, Default)]
pub struct Conditions<'a> {
    /// `acs:SourceIp`: where the request comes from.
    pub source_ip: Option<IpAddr>,
    /// `acs:SecureTransport`: whether it came by TLS.
    pub secure: bool,
    /// `acs:UserAgent`.
    pub user_agent: Option<Cow<'a, str>>,
    /// `acs:CurrentTime`, in Unix seconds.
    pub now: i64,
    /// `acs:AccessId`: the AccessKey id that signed.
    pub access_id: Option<Cow<'a, str>>,
    /// `oss:Prefix`, of listings: empty where the parameter is absent.
    pub prefix: Option<Cow<'a, str>>,
    /// `oss:Delimiter`, likewise.
    pub delimiter: Option<Cow<'a, str>>,
    /// `oss:x-oss-acl`.
    pub acl: Option<Cow<'a, str>>,
    /// `oss:x-oss-object-acl`.
    pub object_acl: Option<Cow<'a, str>>,
    /// `oss:BucketTag/…`.
    pub bucket_tags: Cow<'a, TagPairs>,
    /// `oss:ExistingObjectTag/…`.
    pub existing_tags: Cow<'a, TagPairs>,
    /// `oss:RequestObjectTag/…`.
    pub request_tags: Cow<'a, TagPairs>,
    /// `oss:object-remaining-retention-days`.
    pub retention_days: Option<i64>,
    /// `sts:ExternalId`, when a role is assumed.
    pub external_id: Option<Cow<'a, str>>,
}

/// Which values the conditions of a policy name beyond those that every request has at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Tags of the bucket.
    pub bucket_tags: bool,
    /// Tags of the object as it is stored.
    pub existing_tags: bool,
    /// Tags in the request.
    pub request_tags: bool,
    /// Days that an object is still to be kept.
    pub retention_days: bool,
}

impl Needs {
    /// What either needs.
    #[must_use]
    pub fn or(self, other: Needs) -> Needs {
        Needs {
            bucket_tags: self.bucket_tags || other.bucket_tags,
            existing_tags: self.existing_tags || other.existing_tags,
            request_tags: self.request_tags || other.request_tags,
            retention_days: self.retention_days || other.retention_days,
        }
    }
}

/// What a test looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    SourceIp,
    /// There are no such networks here: never present.
    SourceVpc,
    SecureTransport,
    UserAgent,
    CurrentTime,
    AccessId,
    /// No request is signed with a second factor: always false.
    MfaPresent,
    Prefix,
    Delimiter,
    Acl,
    ObjectAcl,
    BucketTag(Box<str>),
    ExistingObjectTag(Box<str>),
    RequestObjectTag(Box<str>),
    RetentionDays,
    /// Of access points, which there are none of: never present.
    AccessPoint,
    ExternalId,
}

/// What kind of values a key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Number,
    Date,
    Truth,
    Address,
}

impl Key {
    fn parse(name: &str) -> Option<Key> {
        let lower = name.to_ascii_lowercase();
        let tag = |start: &str| {
            let tag = name.get(start.len()..).filter(|tag| !tag.is_empty());
            tag.filter(|_| lower.starts_with(start)).map(Box::from)
        };
        Some(match lower.as_str() {
            "acs:sourceip" => Key::SourceIp,
            "acs:sourcevpc" | "acs:sourcevpcid" => Key::SourceVpc,
            "acs:securetransport" => Key::SecureTransport,
            "acs:useragent" => Key::UserAgent,
            "acs:currenttime" => Key::CurrentTime,
            "acs:accessid" => Key::AccessId,
            "acs:mfapresent" => Key::MfaPresent,
            "oss:prefix" => Key::Prefix,
            "oss:delimiter" => Key::Delimiter,
            "oss:x-oss-acl" => Key::Acl,
            "oss:x-oss-object-acl" => Key::ObjectAcl,
            "oss:object-remaining-retention-days" => Key::RetentionDays,
            "oss:dataaccesspointarn"
            | "oss:dataaccesspointaccount"
            | "oss:accesspointnetworkorigin" => Key::AccessPoint,
            "sts:externalid" => Key::ExternalId,
            _ => {
                return tag("oss:buckettag/")
                    .map(Key::BucketTag)
                    .or_else(|| tag("oss:existingobjecttag/").map(Key::ExistingObjectTag))
                    .or_else(|| tag("oss:requestobjecttag/").map(Key::RequestObjectTag));
            }
        })
    }

    fn of_type(&self) -> Type {
        match self {
            Key::SourceIp => Type::Address,
            Key::SecureTransport | Key::MfaPresent => Type::Truth,
            Key::CurrentTime => Type::Date,
            Key::RetentionDays => Type::Number,
            Key::SourceVpc
            | Key::UserAgent
            | Key::AccessId
            | Key::Prefix
            | Key::Delimiter
            | Key::Acl
            | Key::ObjectAcl
            | Key::BucketTag(_)
            | Key::ExistingObjectTag(_)
            | Key::RequestObjectTag(_)
            | Key::AccessPoint
            | Key::ExternalId => Type::Text,
        }
    }

    /// The value as text.
    fn text<'v>(&self, given: &'v Conditions<'_>) -> Option<Cow<'v, str>> {
        fn lent<'v>(text: &'v Option<Cow<'_, str>>) -> Option<Cow<'v, str>> {
            text.as_deref().map(Cow::Borrowed)
        }
        fn tag<'v>(tags: &'v TagPairs, name: &str) -> Option<Cow<'v, str>> {
            let found = tags.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| Cow::Borrowed(value.as_str()))
        }
        match self {
            Key::SourceIp => given.source_ip.map(|ip| ip.to_canonical().to_string().into()),
            Key::SourceVpc | Key::AccessPoint => None,
            Key::SecureTransport => Some(truth(given.secure).into()),
            Key::MfaPresent => Some(truth(false).into()),
            Key::UserAgent => lent(&given.user_agent),
            Key::CurrentTime => Some(time::iso_seconds(given.now).into()),
            Key::AccessId => lent(&given.access_id),
            Key::Prefix => lent(&given.prefix),
            Key::Delimiter => lent(&given.delimiter),
            Key::Acl => lent(&given.acl),
            Key::ObjectAcl => lent(&given.object_acl),
            Key::BucketTag(name) => tag(&given.bucket_tags, name),
            Key::ExistingObjectTag(name) => tag(&given.existing_tags, name),
            Key::RequestObjectTag(name) => tag(&given.request_tags, name),
            Key::RetentionDays => given.retention_days.map(|days| days.to_string().into()),
            Key::ExternalId => lent(&given.external_id),
        }
    }

    pub(super) fn needs(&self) -> Needs {
        Needs {
            bucket_tags: matches!(self, Key::BucketTag(_)),
            existing_tags: matches!(self, Key::ExistingObjectTag(_)),
            request_tags: matches!(self, Key::RequestObjectTag(_)),
            retention_days: matches!(self, Key::RetentionDays),
        }
    }
}

const fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// How the value of a request stands to that of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, given: &T, wanted: &T) -> bool {
        match self {
            Order::Equal => given == wanted,
            Order::Less => given < wanted,
            Order::LessOrEqual => given <= wanted,
            Order::Greater => given > wanted,
            Order::GreaterOrEqual => given >= wanted,
        }
    }
}

/// The values of a test, of which one must match.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    Texts(Letters, Vec<Box<str>>),
    Like(Vec<Glob>),
    Numbers(Order, Vec<f64>),
    Dates(Order, Vec<i64>),
    Truths(Vec<bool>),
    Networks(Vec<Network>),
}

/// One key of one operator.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Known {
        key: Key,
        negated: bool,
        wanted: Wanted,
    },
    /// Of a stored policy, of a grammar that this one does not know: holds for what denies and for nothing else.
    Unknown,
}

/// An operator by its name: what it compares, and whether it negates.
fn operator(name: &str) -> Option<(Operator, bool)> {
    use Operator::*;
    use Order::*;
    Some(match name {
        "StringEquals" => (Texts(Letters::Exact), false),
        "StringNotEquals" => (Texts(Letters::Exact), true),
        "StringEqualsIgnoreCase" => (Texts(Letters::Folded), false),
        "StringNotEqualsIgnoreCase" => (Texts(Letters::Folded), true),
        "StringLike" => (Like, false),
        "StringNotLike" => (Like, true),
        "NumericEquals" => (Numbers(Equal), false),
        "NumericNotEquals" => (Numbers(Equal), true),
        "NumericLessThan" => (Numbers(Less), false),
        "NumericLessThanEquals" => (Numbers(LessOrEqual), false),
        "NumericGreaterThan" => (Numbers(Greater), false),
        "NumericGreaterThanEquals" => (Numbers(GreaterOrEqual), false),
        "DateEquals" => (Dates(Equal), false),
        "DateNotEquals" => (Dates(Equal), true),
        "DateLessThan" => (Dates(Less), false),
        "DateLessThanEquals" => (Dates(LessOrEqual), false),
        "DateGreaterThan" => (Dates(Greater), false),
        "DateGreaterThanEquals" => (Dates(GreaterOrEqual), false),
        "Bool" => (Truths, false),
        "IpAddress" | "IpAddressIncludeBorder" => (Networks, false),
        "NotIpAddress" => (Networks, true),
        _ => return None,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Texts(Letters),
    Like,
    Numbers(Order),
    Dates(Order),
    Truths,
    Networks,
}

impl Operator {
    fn goes_with(self, of_type: Type) -> bool {
        match (self, of_type) {
            (Operator::Texts(_) | Operator::Like, _) | (_, Type::Text) => true,
            (Operator::Numbers(_), of_type) => of_type == Type::Number,
            (Operator::Dates(_), of_type) => of_type == Type::Date,
            (Operator::Truths, of_type) => of_type == Type::Truth,
            (Operator::Networks, of_type) => of_type == Type::Address,
        }
    }

    /// `Err` with the first value that is none for this operator.
    fn wanted(self, values: &[String]) -> Result<Wanted, &str> {
        fn all<T>(values: &[String], read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, &str> {
            values.iter().map(|value| read(value).ok_or(value.as_str())).collect()
        }
        Ok(match self {
            Operator::Texts(letters) => {
                Wanted::Texts(letters, values.iter().map(|value| value.as_str().into()).collect())
            }
            Operator::Like => Wanted::Like(values.iter().map(|value| Glob::new(value)).collect()),
            Operator::Numbers(order) => Wanted::Numbers(order, all(values, number)?),
            Operator::Dates(order) => Wanted::Dates(order, all(values, time::parse_iso8601)?),
            Operator::Truths => Wanted::Truths(all(values, boolean)?),
            Operator::Networks => Wanted::Networks(all(values, Network::parse)?),
        })
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim_ascii().parse().ok().filter(|number: &f64| number.is_finite())
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

impl Test {
    /// Reads the block of a statement. What is unknown is refused, or kept as [`Test::Unknown`] when `lenient`.
    pub(super) fn parse_block(block: &Json, lenient: bool) -> Result<Vec<Test>, PolicyError> {
        let Json::Object(operators) = block else {
            return Err(PolicyError::new("the Condition must be an object"));
        };
        let mut tests = Vec::new();
        for (name, keys) in operators {
            let Json::Object(keys) = keys else {
                return Err(PolicyError::new(format!(
                    "the condition {name} must be an object of keys"
                )));
            };
            for (key, values) in keys {
                match Test::parse(name, key, values) {
                    Ok(test) => tests.push(test),
                    Err(_) if lenient => tests.push(Test::Unknown),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(tests)
    }

    fn parse(name: &str, key_name: &str, values: &Json) -> Result<Test, PolicyError> {
        let (operator, negated) = operator(name)
            .ok_or_else(|| PolicyError::new(format!("the condition operator {name} is unknown")))?;
        let key = Key::parse(key_name)
            .ok_or_else(|| PolicyError::new(format!("the condition key {key_name} is unknown")))?;
        if !operator.goes_with(key.of_type()) {
            return Err(PolicyError::new(format!("{name} does not go with {key_name}")));
        }
        let values = values.scalars().filter(|values| !values.is_empty()).ok_or_else(|| {
            PolicyError::new(format!("{key_name} must have a value or a list of values"))
        })?;
        let wanted = operator.wanted(&values).map_err(|value| {
            PolicyError::new(format!("{value:?} is no value of {name} for {key_name}"))
        })?;
        Ok(Test::Known { key, negated, wanted })
    }

    /// Whether it holds, in a statement that denies or one that allows.
    pub(super) fn holds(&self, given: &Conditions<'_>, denies: bool) -> bool {
        match self {
            Test::Known { key, negated, wanted } => wanted.matches(key, given) != *negated,
            Test::Unknown => denies,
        }
    }

    pub(super) fn needs(&self) -> Needs {
        match self {
            Test::Known { key, .. } => key.needs(),
            Test::Unknown => Needs::default(),
        }
    }

    /// Whether it holds only for places or keys that it names.
    pub(super) fn is_fixed(&self) -> bool {
        let Test::Known { key, negated: false, wanted } = self else { return false };
        if !matches!(key, Key::SourceIp | Key::SourceVpc | Key::AccessId) {
            return false;
        }
        match wanted {
            Wanted::Texts(_, values) => !values.iter().any(|value| has_wildcard(value)),
            Wanted::Like(globs) => globs.iter().all(|glob| matches!(glob, Glob::Exact(_))),
            Wanted::Networks(networks) => !networks.iter().any(|network| network.is_everything()),
            Wanted::Numbers(..) | Wanted::Dates(..) | Wanted::Truths(_) => false,
        }
    }
}

impl Wanted {
    /// Whether one of the values matches; never for an absent key.
    fn matches(&self, key: &Key, given: &Conditions<'_>) -> bool {
        match self {
            Wanted::Networks(networks) => {
                let address = match key {
                    Key::SourceIp => given.source_ip,
                    _ => key.text(given).and_then(|text| text.parse().ok()),
                };
                address.is_some_and(|ip| networks.iter().any(|network| network.holds(ip)))
            }
            Wanted::Dates(order, dates) => {
                let date = match key {
                    Key::CurrentTime => Some(given.now),
                    _ => key.text(given).and_then(|text| time::parse_iso8601(&text)),
                };
                date.is_some_and(|date| dates.iter().any(|wanted| order.holds(&date, wanted)))
            }
            Wanted::Texts(letters, values) => key.text(given).is_some_and(|text| {
                values.iter().any(|value| match letters {
                    Letters::Exact => **value == *text,
                    Letters::Folded => value.to_lowercase() == text.to_lowercase(),
                })
            }),
            Wanted::Like(globs) => key
                .text(given)
                .is_some_and(|text| globs.iter().any(|glob| glob.matches(&text, Letters::Exact))),
            Wanted::Numbers(order, numbers) => key
                .text(given)
                .and_then(|text| number(&text))
                .is_some_and(|given| numbers.iter().any(|wanted| order.holds(&given, wanted))),
            Wanted::Truths(truths) => key
                .text(given)
                .and_then(|text| boolean(&text))
                .is_some_and(|given| truths.contains(&given)),
        }
    }
}
