//! The decision against an evaluator that is written from the rules alone, slowly, over the text of the policies.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::{net::IpAddr, sync::Arc};

use ossia_access::{
    AttachedPolicy, Caller, PolicyOrigin, Principal, Reason, Right, Site, Source, decide,
};
use ossia_protocol::{
    attributes::{BucketAcl, ObjectAcl},
    policy::{Ask, Conditions, Policy, PolicyKind, Resource},
};
use serde_json::{Value, json};

const WORLDS: u64 = 5_000;
const REQUESTS: usize = 44;
const ACCOUNT: &str = "1234";

/// Numbers that come again from the same start.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// One text alone, or a list.
    fn some(&mut self, from: &[&str]) -> Value {
        if self.one_in(3) {
            return json!(self.pick(from));
        }
        let count = 1 + self.below(3);
        json!((0..count).map(|_| self.pick(from)).collect::<Vec<_>>())
    }
}

const ACTIONS: [(&str, Right); 12] = [
    ("oss:GetObject", Right::Read),
    ("oss:GetObjectVersion", Right::Read),
    ("oss:PutObject", Right::Write),
    ("oss:DeleteObject", Right::Write),
    ("oss:PutObjectTagging", Right::Own),
    ("oss:PutObjectAcl", Right::Own),
    ("oss:ListObjects", Right::Manage),
    ("oss:PutBucketPolicy", Right::Manage),
    ("oss:GetBucketPolicy", Right::Manage),
    ("oss:DeleteBucketPolicy", Right::Manage),
    ("oss:PutBucketAcl", Right::Manage),
    ("oss:GetBucketInfo", Right::Manage),
];
const ACTION_PATTERNS: [&str; 17] = [
    "*",
    "oss:*",
    "OSS:*",
    "oss:Get*",
    "oss:put*",
    "oss:*Object",
    "oss:?etObject",
    "oss:*O*t",
    "*:*",
    "oss:GetObject",
    "oss:getobject",
    "oss:PutObject",
    "oss:PutObject*",
    "oss:ListObjects",
    "oss:*Bucket*",
    "ram:*",
    "oss:DeleteObject",
];
const KEYS: [&str; 7] = ["a", "logs/a", "logs/b/c", "logs", "x:y", "目录/键", "*"];
const RESOURCE_PATTERNS: [&str; 18] = [
    "*",
    "acs:*",
    "acs:oss:*",
    "acs:oss:*:*:*",
    "acs:oss:*:*:bkt",
    "acs:oss:*:*:bkt/*",
    "acs:oss:*:*:bkt*",
    "acs:oss:*:1234:bkt/logs/*",
    "acs:oss:cn-hangzhou:1234:bkt/a",
    "acs:oss:oss-cn-hangzhou:*:bkt/*a",
    "acs:oss:*:99:*",
    "acs:oss:cn-beijing:*:*",
    "acs:oss:*:*:b?t/*/?",
    "acs:oss:*:*:*/logs*",
    "acs:oss:*:*:bkt/x:*",
    "acs:oss:*:*:bkt/??/?",
    "acs:ram:*:*:*",
    "acs:oss:*:*:BKT/*",
];
const PRINCIPALS: [&str; 11] = [
    "*",
    "*",
    "1234",
    "77",
    "78",
    "99",
    "arn:sts::1234:assumed-role/writer/s1",
    "arn:sts::1234:assumed-role/Writer/*",
    "arn:sts::*:*/*/*",
    "arn:sts::99:*/*/*",
    "arn:sts::1234:assumed-role/writer/s2",
];
const NUMBERS: [&str; 4] = ["-1", "0", "3", "7"];
const DATES: [(i64, &str); 4] = [
    (1_699_999_200, "2023-11-14T22:00:00Z"),
    (1_700_000_000, "2023-11-14T22:13:20Z"),
    (1_700_092_800, "2023-11-16T00:00:00Z"),
    (1_704_067_200, "2024-01-01T00:00:00Z"),
];
const ADDRESSES: [&str; 6] =
    ["10.0.0.1", "10.1.2.3", "192.168.0.9", "2001:db8::1", "::1", "0.0.0.0"];
const NETWORKS: [&str; 8] = [
    "10.0.0.0/8",
    "10.1.2.3",
    "192.168.0.8/29",
    "0.0.0.0/0",
    "2001:db8::/32",
    "::1",
    "10.1.0.0/16",
    "::/128",
];
const TEXTS: [&str; 9] =
    ["", "logs/", "logs/a", "Logs/A", "ok", "private", "public-read", "AK1", "7"];
const LIKES: [&str; 8] = ["", "*", "logs/*", "?k", "*a*", "public-*", "AK?", "l*g*/"];
const TEXT_KEYS: [&str; 11] = [
    "acs:UserAgent",
    "acs:AccessId",
    "oss:Prefix",
    "OSS:prefix",
    "oss:Delimiter",
    "oss:x-oss-acl",
    "oss:x-oss-object-acl",
    "oss:BucketTag/t",
    "oss:ExistingObjectTag/t",
    "oss:RequestObjectTag/t",
    "acs:SourceVpc",
];

fn condition(dice: &mut Dice) -> Value {
    let mut operators = serde_json::Map::new();
    for _ in 0..1 + dice.below(2) {
        let (operator, key, values) = match dice.below(9) {
            0..3 => {
                let names = [
                    "StringEquals",
                    "StringNotEquals",
                    "StringEqualsIgnoreCase",
                    "StringNotEqualsIgnoreCase",
                ];
                (dice.pick(&names), dice.pick(&TEXT_KEYS), dice.some(&TEXTS))
            }
            3 | 4 => {
                let name = dice.pick(&["StringLike", "StringNotLike"]);
                (name, dice.pick(&TEXT_KEYS), dice.some(&LIKES))
            }
            5 => {
                let names = [
                    "NumericEquals",
                    "NumericNotEquals",
                    "NumericLessThan",
                    "NumericLessThanEquals",
                    "NumericGreaterThan",
                    "NumericGreaterThanEquals",
                ];
                let key =
                    dice.pick(&["oss:object-remaining-retention-days", "oss:ExistingObjectTag/t"]);
                (dice.pick(&names), key, dice.some(&NUMBERS))
            }
            6 => {
                let names = [
                    "DateEquals",
                    "DateNotEquals",
                    "DateLessThan",
                    "DateLessThanEquals",
                    "DateGreaterThan",
                    "DateGreaterThanEquals",
                ];
                (dice.pick(&names), "acs:CurrentTime", dice.some(&DATES.map(|(_, text)| text)))
            }
            7 => {
                let key = dice.pick(&["acs:SecureTransport", "acs:MFAPresent"]);
                ("Bool", key, dice.some(&["true", "false"]))
            }
            _ => {
                let names = ["IpAddress", "NotIpAddress", "IpAddressIncludeBorder"];
                (dice.pick(&names), "acs:SourceIp", dice.some(&NETWORKS))
            }
        };
        let keys = operators.entry(operator).or_insert_with(|| json!({}));
        keys.as_object_mut().unwrap().insert(key.to_owned(), values);
    }
    Value::Object(operators)
}

fn policy(dice: &mut Dice, kind: PolicyKind) -> (Value, Arc<Policy>) {
    let statements = (0..1 + dice.below(4)).map(|_| {
        let mut one = serde_json::Map::new();
        let effect = if dice.one_in(3) { "Deny" } else { "Allow" };
        one.insert("Effect".to_owned(), json!(effect));
        let negated = |dice: &mut Dice, name: &str| {
            if dice.one_in(8) { format!("Not{name}") } else { name.to_owned() }
        };
        let name = negated(dice, "Action");
        one.insert(name, dice.some(&ACTION_PATTERNS));
        let name = negated(dice, "Resource");
        one.insert(name, dice.some(&RESOURCE_PATTERNS));
        if kind == PolicyKind::Bucket && !dice.one_in(12) {
            let name = negated(dice, "Principal");
            let whom = if dice.one_in(10) { json!([]) } else { dice.some(&PRINCIPALS) };
            one.insert(name, whom);
        }
        if dice.one_in(2) {
            one.insert("Condition".to_owned(), condition(dice));
        }
        Value::Object(one)
    });
    let value = json!({"Version": "1", "Statement": statements.collect::<Vec<_>>()});
    let text = value.to_string();
    let policy = Policy::parse(&text, kind).unwrap_or_else(|error| panic!("{text}: {error}"));
    (value, Arc::new(policy))
}

/// What a condition can ask for, as texts.
struct Facts {
    ip: &'static str,
    secure: bool,
    agent: Option<&'static str>,
    now: (i64, &'static str),
    access_id: Option<&'static str>,
    prefix: Option<&'static str>,
    delimiter: Option<&'static str>,
    acl: Option<&'static str>,
    object_acl: Option<&'static str>,
    bucket_tag: Option<&'static str>,
    existing_tag: Option<&'static str>,
    request_tag: Option<&'static str>,
    retention: Option<i64>,
}

impl Facts {
    fn new(dice: &mut Dice) -> Facts {
        fn maybe(dice: &mut Dice) -> Option<&'static str> {
            if dice.one_in(3) { None } else { Some(dice.pick(&TEXTS)) }
        }
        Facts {
            ip: dice.pick(&ADDRESSES),
            secure: dice.one_in(2),
            agent: maybe(dice),
            now: DATES[dice.below(DATES.len())],
            access_id: maybe(dice),
            prefix: maybe(dice),
            delimiter: maybe(dice),
            acl: maybe(dice),
            object_acl: maybe(dice),
            bucket_tag: maybe(dice),
            existing_tag: maybe(dice),
            request_tag: maybe(dice),
            retention: if dice.one_in(3) { None } else { Some(dice.below(9) as i64 - 1) },
        }
    }

    fn conditions(&self) -> Conditions<'_> {
        let tag = |value: Option<&str>| -> Vec<(String, String)> {
            value.map(|value| ("t".to_owned(), value.to_owned())).into_iter().collect()
        };
        Conditions {
            source_ip: self.ip.parse().ok(),
            secure: self.secure,
            user_agent: self.agent.map(Into::into),
            now: self.now.0,
            access_id: self.access_id.map(Into::into),
            prefix: self.prefix.map(Into::into),
            delimiter: self.delimiter.map(Into::into),
            acl: self.acl.map(Into::into),
            object_acl: self.object_acl.map(Into::into),
            bucket_tags: tag(self.bucket_tag).into(),
            existing_tags: tag(self.existing_tag).into(),
            request_tags: tag(self.request_tag).into(),
            retention_days: self.retention,
            external_id: None,
        }
    }

    fn value(&self, key: &str) -> Option<String> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        match key.to_lowercase().as_str() {
            "acs:sourceip" => own(Some(self.ip)),
            "acs:securetransport" => Some(self.secure.to_string()),
            "acs:mfapresent" => own(Some("false")),
            "acs:useragent" => own(self.agent),
            "acs:currenttime" => own(Some(self.now.1)),
            "acs:accessid" => own(self.access_id),
            "oss:prefix" => own(self.prefix),
            "oss:delimiter" => own(self.delimiter),
            "oss:x-oss-acl" => own(self.acl),
            "oss:x-oss-object-acl" => own(self.object_acl),
            "oss:buckettag/t" => own(self.bucket_tag),
            "oss:existingobjecttag/t" => own(self.existing_tag),
            "oss:requestobjecttag/t" => own(self.request_tag),
            "oss:object-remaining-retention-days" => self.retention.map(|days| days.to_string()),
            "acs:sourcevpc" => None,
            other => panic!("{other}"),
        }
    }
}

mod slow {
    //! From the rules, as plainly as they can be written.

    use super::*;

    fn texts(value: &Value) -> Vec<&str> {
        match value {
            Value::String(text) => vec![text],
            Value::Array(list) => list.iter().map(|one| one.as_str().unwrap()).collect(),
            other => panic!("{other}"),
        }
    }

    pub(super) fn like(pattern: &str, text: &str) -> bool {
        let mut letters = pattern.chars();
        match letters.next() {
            None => text.is_empty(),
            Some('*') => {
                like(letters.as_str(), text)
                    || text.chars().next().is_some_and(|one| like(pattern, &text[one.len_utf8()..]))
            }
            Some(wanted) => text.chars().next().is_some_and(|one| {
                (wanted == '?' || wanted == one) && like(letters.as_str(), &text[one.len_utf8()..])
            }),
        }
    }

    fn resource(pattern: &str, name: &str) -> bool {
        let wanted: Vec<&str> = pattern.splitn(5, ':').collect();
        let given: Vec<&str> = name.splitn(wanted.len(), ':').collect();
        wanted.len() == given.len()
            && wanted.iter().zip(given).enumerate().all(|(at, (wanted, given))| {
                let wanted = match at {
                    2 => wanted.strip_prefix("oss-").unwrap_or(wanted),
                    _ => wanted,
                };
                like(wanted, given)
            })
    }

    fn bits(address: &str) -> String {
        match address.parse::<IpAddr>().unwrap() {
            IpAddr::V4(v4) => v4.octets().iter().map(|byte| format!("{byte:08b}")).collect(),
            IpAddr::V6(v6) => v6.octets().iter().map(|byte| format!("{byte:08b}")).collect(),
        }
    }

    fn within(address: &str, network: &str) -> bool {
        let (base, length) = network.split_once('/').unwrap_or((network, "128"));
        let (address, base) = (bits(address), bits(base));
        let length = length.parse::<usize>().unwrap().min(base.len());
        address.len() == base.len() && address[..length] == base[..length]
    }

    fn test(operator: &str, given: Option<&str>, values: &[&str]) -> bool {
        let any = |test: &dyn Fn(&str, &str) -> bool| {
            given.is_some_and(|given| values.iter().any(|value| test(given, value)))
        };
        let number = |test: fn(f64, f64) -> bool| {
            any(&|given, value| {
                given.parse().is_ok_and(|given| test(given, value.parse().unwrap()))
            })
        };
        match operator {
            "StringEquals" => any(&|given, value| given == value),
            "StringEqualsIgnoreCase" => {
                any(&|given, value| given.to_lowercase() == value.to_lowercase())
            }
            "StringLike" => any(&|given, value| like(value, given)),
            "NumericEquals" => number(|given, value| given == value),
            "NumericLessThan" => number(|given, value| given < value),
            "NumericLessThanEquals" => number(|given, value| given <= value),
            "NumericGreaterThan" => number(|given, value| given > value),
            "NumericGreaterThanEquals" => number(|given, value| given >= value),
            // All are written alike, in one zone.
            "DateEquals" => any(&|given, value| given == value),
            "DateLessThan" => any(&|given, value| given < value),
            "DateLessThanEquals" => any(&|given, value| given <= value),
            "DateGreaterThan" => any(&|given, value| given > value),
            "DateGreaterThanEquals" => any(&|given, value| given >= value),
            "Bool" => any(&|given, value| given == value),
            "IpAddress" | "IpAddressIncludeBorder" => any(&within),
            "NotIpAddress" => !test("IpAddress", given, values),
            negated => !test(&negated.replacen("Not", "", 1), given, values),
        }
    }

    fn holds(statement: &Value, facts: &Facts) -> bool {
        let Some(operators) = statement.get("Condition") else { return true };
        operators.as_object().unwrap().iter().all(|(operator, keys)| {
            keys.as_object()
                .unwrap()
                .iter()
                .all(|(key, values)| test(operator, facts.value(key).as_deref(), &texts(values)))
        })
    }

    fn listed(statement: &Value, name: &str, test: impl Fn(&str) -> bool) -> bool {
        match statement.get(name) {
            Some(list) => texts(list).into_iter().any(test),
            None => !texts(&statement[&format!("Not{name}")]).into_iter().any(test),
        }
    }

    fn is(principal: &str, caller: &Caller, conditional: bool) -> bool {
        match (&caller.principal, principal) {
            (Principal::Account, "*") => conditional,
            (_, "*") => true,
            (Principal::Anonymous, _) => false,
            (_, ACCOUNT) => true,
            (Principal::User { id, .. }, principal) => **id == *principal,
            (Principal::Session { role, session, .. }, principal) => {
                let Some(arn) = principal.strip_prefix("arn:sts::") else { return false };
                let own = format!("{ACCOUNT}:assumed-role/{}/{session}", role.to_lowercase());
                // None of the patterns has a wildcard that could reach over a separator to another meaning.
                like(&arn.to_lowercase(), &own)
            }
            (Principal::Account, _) => false,
        }
    }

    fn speaks_of(statement: &Value, caller: &Caller) -> bool {
        let conditional = statement.get("Condition").is_some();
        if let Some(others) = statement.get("NotPrincipal") {
            let mut others = texts(others);
            if others.is_empty() {
                others.push("*");
            }
            let reaches = !matches!(caller.principal, Principal::Account) || conditional;
            return reaches && !others.into_iter().any(|one| is(one, caller, true));
        }
        let mut named = statement.get("Principal").map(texts).unwrap_or_default();
        if named.is_empty() {
            named.push("*");
        }
        named.into_iter().any(|one| is(one, caller, conditional))
    }

    fn is_public(statement: &Value) -> bool {
        let named = statement.get("Principal").map(texts).unwrap_or_default();
        let open = statement.get("NotPrincipal").is_some()
            || named.is_empty()
            || named.iter().any(|one| one.contains('*'));
        let fixed = statement.get("Condition").is_some_and(|operators| {
            operators.as_object().unwrap().iter().any(|(operator, keys)| {
                !operator.contains("Not")
                    && keys.as_object().unwrap().iter().any(|(key, values)| {
                        let key = key.to_lowercase();
                        ["acs:sourcevpc", "acs:sourcevpcid", "acs:accessid", "acs:sourceip"]
                            .contains(&key.as_str())
                            && !texts(values)
                                .iter()
                                .any(|one| one.contains(['*', '?']) || one.ends_with("/0"))
                    })
            })
        });
        statement["Effect"] == "Allow" && open && !fixed
    }

    /// Whether a statement denies, and whether one allows.
    pub(super) fn evaluate(
        policy: &Value,
        action: &str,
        name: &str,
        facts: &Facts,
        counts: impl Fn(&Value) -> bool,
    ) -> (bool, bool) {
        let matching = |effect: &str| {
            policy["Statement"].as_array().unwrap().iter().any(|statement| {
                statement["Effect"] == effect
                    && counts(statement)
                    && listed(statement, "Action", |one| {
                        like(&one.to_lowercase(), &action.to_lowercase())
                    })
                    && listed(statement, "Resource", |one| resource(one, name))
                    && holds(statement, facts)
            })
        };
        (matching("Deny"), matching("Allow"))
    }

    pub(super) struct World<'w> {
        pub(super) session: Option<&'w Value>,
        pub(super) attached: Vec<&'w Value>,
        pub(super) bucket: Option<&'w Value>,
    }

    /// Allowed or not, and by what.
    pub(super) fn decide(
        world: &World<'_>,
        caller: &Caller,
        (action, right): (&str, Right),
        name: &str,
        facts: &Facts,
        site: &Site<'_>,
    ) -> (bool, &'static str) {
        let is_owner = matches!(caller.principal, Principal::Account);
        if is_owner && action.contains("BucketPolicy") {
            return (true, "owner");
        }
        if let Some(session) = world.session {
            match evaluate(session, action, name, facts, |_| true) {
                (false, true) => {}
                _ => return (false, "session"),
            }
        }
        let attached: Vec<_> = world
            .attached
            .iter()
            .map(|policy| evaluate(policy, action, name, facts, |_| true))
            .collect();
        let (bucket_denies, bucket_allows) = world.bucket.map_or((false, false), |policy| {
            evaluate(policy, action, name, facts, |statement| {
                speaks_of(statement, caller) && !(site.blocked && is_public(statement))
            })
        });
        if attached.iter().any(|(denies, _)| *denies) {
            return (false, "attached");
        }
        if bucket_denies {
            return (false, "bucket");
        }
        if attached.iter().any(|(_, allows)| *allows) {
            return (true, "attached");
        }
        if bucket_allows {
            return (true, "bucket");
        }
        if is_owner {
            return (true, "owner");
        }
        if matches!(right, Right::Manage | Right::Own) {
            return (false, "owners only");
        }
        let (acl, by) = match site.object_acl {
            None | Some(ObjectAcl::Default) => (site.bucket_acl.as_str(), "bucket acl"),
            Some(acl) => (acl.as_str(), "object acl"),
        };
        let open = match acl {
            _ if site.blocked => false,
            "public-read-write" => true,
            "public-read" => right == Right::Read,
            _ => false,
        };
        (open, by)
    }
}

fn told(reason: &Reason) -> &'static str {
    match reason {
        Reason::Owner => "owner",
        Reason::SessionSilent => "session",
        Reason::Statement(cause) => match cause.source {
            Source::Session => "session",
            Source::Attached { .. } => "attached",
            Source::Bucket => "bucket",
        },
        Reason::OwnersOnly => "owners only",
        Reason::PublicObject | Reason::ObjectAcl => "object acl",
        Reason::PublicBucket | Reason::BucketAcl => "bucket acl",
        Reason::NoPolicy => "none",
    }
}

#[test]
fn two_hundred_thousand_random_requests_are_decided_as_the_rules_say() {
    let mut seen = std::collections::BTreeMap::<(bool, &str), u32>::new();
    for world in 0..WORLDS {
        let mut dice = Dice((world + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let attached: Vec<_> =
            (0..dice.below(3)).map(|_| policy(&mut dice, PolicyKind::Identity)).collect();
        let session = dice.one_in(3).then(|| policy(&mut dice, PolicyKind::Session));
        let bucket = (!dice.one_in(4)).then(|| policy(&mut dice, PolicyKind::Bucket));
        for _ in 0..REQUESTS {
            let mut caller = match dice.below(6) {
                0 => Caller::account("AK"),
                1 => Caller::anonymous(),
                2 | 3 => Caller {
                    principal: Principal::User { id: "77".into(), name: "lee".into() },
                    ..Caller::account("AK")
                },
                _ => Caller {
                    principal: Principal::Session {
                        role_id: "5".into(),
                        role: dice.pick(&["writer", "Writer", "reader"]).into(),
                        session: dice.pick(&["s1", "s2"]).into(),
                    },
                    ..Caller::account("AK")
                },
            };
            let mut slow_world = slow::World {
                session: None,
                attached: Vec::new(),
                bucket: bucket.as_ref().map(|(value, _)| value),
            };
            if matches!(caller.principal, Principal::User { .. } | Principal::Session { .. }) {
                for (at, (value, policy)) in attached.iter().enumerate() {
                    slow_world.attached.push(value);
                    caller.policies.push(AttachedPolicy {
                        name: format!("p{at}").into(),
                        origin: PolicyOrigin::Custom,
                        policy: Arc::clone(policy),
                    });
                }
            }
            if let (Principal::Session { .. }, Some((value, policy))) =
                (&caller.principal, &session)
            {
                slow_world.session = Some(value);
                caller.session_policy = Some(Arc::clone(policy));
            }
            let (action, right) = ACTIONS[dice.below(ACTIONS.len())];
            let name = match right {
                Right::Manage => "acs:oss:cn-hangzhou:1234:bkt".to_owned(),
                _ => format!("acs:oss:cn-hangzhou:1234:bkt/{}", dice.pick(&KEYS)),
            };
            let facts = Facts::new(&mut dice);
            let conditions = facts.conditions();
            let site = Site {
                account: ACCOUNT,
                policy: bucket.as_ref().map(|(_, policy)| &**policy),
                blocked: dice.one_in(5),
                bucket_acl: BucketAcl::ALL[dice.below(BucketAcl::ALL.len())],
                object_acl: dice
                    .one_in(2)
                    .then(|| ObjectAcl::ALL[dice.below(ObjectAcl::ALL.len())]),
            };
            let ask = Ask { action, resource: Resource::new(&name), conditions: &conditions };
            let decision = decide(&caller, right, &ask, &site);
            let wanted = slow::decide(&slow_world, &caller, (action, right), &name, &facts, &site);
            let got = (decision.allowed, told(&decision.reason));
            assert_eq!(
                got, wanted,
                "{world}: {:?} {action} {name}\nattached {:?}\nsession {:?}\nbucket {:?}\n{conditions:?} {site:?}",
                caller.principal, slow_world.attached, slow_world.session, slow_world.bucket,
            );
            *seen.entry(got).or_default() += 1;
        }
    }
    assert!(seen.values().sum::<u32>() >= 200_000);
    // Each way in and out was taken often enough to say something.
    for way in [
        (false, "session"),
        (false, "attached"),
        (true, "attached"),
        (false, "bucket"),
        (true, "bucket"),
        (true, "owner"),
        (false, "owners only"),
        (true, "object acl"),
        (false, "object acl"),
        (true, "bucket acl"),
        (false, "bucket acl"),
    ] {
        assert!(seen.get(&way).is_some_and(|count| *count > 500), "{way:?}: {seen:?}");
    }
}
