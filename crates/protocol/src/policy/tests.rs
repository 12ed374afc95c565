use super::*;

fn statement(members: &str) -> String {
    format!("{{\"Version\":\"1\",\"Statement\":[{{{members}}}]}}")
}

fn identity(members: &str) -> Result<Policy, PolicyError> {
    Policy::parse(&statement(members), PolicyKind::Identity)
}

const ALLOW: &str = "\"Effect\":\"Allow\",\"Action\":\"oss:GetObject\",\"Resource\":\"*\"";

fn verdict(policy: &Policy, action: &str, resource: &str, conditions: &Conditions<'_>) -> Verdict {
    let ask = Ask { action, resource: Resource::new(resource), conditions };
    policy.evaluate(&ask, |_| true)
}

fn allows(policy: &Policy, action: &str, resource: &str) -> bool {
    verdict(policy, action, resource, &Conditions::default()) == Verdict::Allowed(0)
}

const KEY: &str = "acs:oss:cn-hangzhou:1234:bkt/logs/a:b";
const BUCKET: &str = "acs:oss:cn-hangzhou:1234:bkt";

#[test]
fn what_is_not_of_the_grammar_is_refused_by_name() {
    for (members, told) in [
        ("", "Effect is missing"),
        ("\"Effect\":\"allow\"", "Effect must be"),
        ("\"Effect\":\"Allow\",\"Resource\":\"*\"", "Action is missing"),
        ("\"Effect\":\"Allow\",\"Action\":\"*\"", "Resource is missing"),
        (&format!("{ALLOW},\"NotAction\":\"*\""), "exclude each other"),
        (&format!("{ALLOW},\"NotResource\":\"*\""), "exclude each other"),
        (&format!("{ALLOW},\"Effect\":\"Deny\""), "given twice"),
        (
            &format!("{ALLOW},\"Condition\":{{\"StringEquals\":{{\"oss:BucketTag/\":\"x\"}}}}"),
            "oss:BucketTag/ is unknown",
        ),
        (
            &format!(
                "{ALLOW},\"Condition\":{{\"NumericLessThan\":{{\"oss:BucketTag/n\":\"inf\"}}}}"
            ),
            "no value",
        ),
        (
            &format!("{ALLOW},\"Condition\":{{\"NumericEquals\":{{\"oss:BucketTag/n\":\"NaN\"}}}}"),
            "no value",
        ),
        (&format!("{ALLOW},\"Principal\":[\"*\"]"), "Principal is unknown here"),
        (&format!("{ALLOW},\"Conditions\":{{}}"), "Conditions is unknown here"),
        (&format!("{ALLOW},\"Condition\":[]"), "must be an object"),
        (&format!("{ALLOW},\"Condition\":{{\"Bool\":[]}}"), "object of keys"),
        (
            &format!("{ALLOW},\"Condition\":{{\"Boole\":{{\"acs:SecureTransport\":\"true\"}}}}"),
            "Boole is unknown",
        ),
        (
            &format!("{ALLOW},\"Condition\":{{\"Bool\":{{\"acs:Secure\":\"true\"}}}}"),
            "acs:Secure is unknown",
        ),
        (
            &format!("{ALLOW},\"Condition\":{{\"Bool\":{{\"acs:SecureTransport\":\"yes\"}}}}"),
            "no value of Bool",
        ),
        (
            &format!("{ALLOW},\"Condition\":{{\"Bool\":{{\"acs:SecureTransport\":[]}}}}"),
            "must have a value",
        ),
        (
            &format!("{ALLOW},\"Condition\":{{\"Bool\":{{\"acs:SourceIp\":\"true\"}}}}"),
            "does not go with",
        ),
        (
            &format!(
                "{ALLOW},\"Condition\":{{\"IpAddress\":{{\"acs:SourceIp\":\"10.0.0.0/33\"}}}}"
            ),
            "no value",
        ),
        (
            &format!("{ALLOW},\"Condition\":{{\"NumericEquals\":{{\"oss:BucketTag/n\":\"x\"}}}}"),
            "no value",
        ),
        (
            &format!("{ALLOW},\"Condition\":{{\"DateLessThan\":{{\"acs:CurrentTime\":\"soon\"}}}}"),
            "no value",
        ),
        ("\"Effect\":\"Allow\",\"Action\":\"GetObject\",\"Resource\":\"*\"", "the action"),
        ("\"Effect\":\"Allow\",\"Action\":\"oss:Get Object\",\"Resource\":\"*\"", "the action"),
        ("\"Effect\":\"Allow\",\"Action\":[],\"Resource\":\"*\"", "Action must be"),
        ("\"Effect\":\"Allow\",\"Action\":[1],\"Resource\":\"*\"", "Action must be"),
        ("\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"bkt/*\"", "the resource"),
        (&format!("{ALLOW},\"Sid\":1"), "Sid"),
    ] {
        let error = identity(members).expect_err(members).to_string();
        assert!(error.contains(told), "{members}: {error}");
    }
    for text in ["", "[]", "1", "{}", "{\"Version\":\"1\"}", "{\"Version\":\"1\",\"Statement\":[]}"]
    {
        assert!(Policy::parse(text, PolicyKind::Identity).is_err(), "{text}");
    }
    for wrong in [
        statement(ALLOW).replace("\"1\"", "\"2\""),
        statement(ALLOW).replace("\"Version\"", "\"Id\":\"x\",\"Version\""),
        format!("{{\"Statement\":[{{{ALLOW}}}]}}"),
        "[".repeat(5_000),
        format!("{}{}", statement(ALLOW), " ".repeat(IDENTITY_POLICY_CHARS_MAX)),
    ] {
        assert!(Policy::parse(&wrong, PolicyKind::Identity).is_err(), "{wrong}");
    }
    assert!(identity(&format!("{ALLOW},\"Sid\":\"s\"")).is_ok());
    let alone = statement(ALLOW).replace(['[', ']'], "");
    assert!(Policy::parse(&alone, PolicyKind::Identity).is_ok(), "{alone}");
}

#[test]
fn principals_are_the_buckets_and_the_roles() {
    let bucket = |principal: &str| {
        Policy::parse(&statement(&format!("{ALLOW},\"Principal\":{principal}")), PolicyKind::Bucket)
    };
    for good in
        ["[\"*\"]", "[]", "\"1234\"", "[\"1234\",\"arn:sts::*:*/*/*\"]", "[\"20214760404935xxxx\"]"]
    {
        assert!(bucket(good).is_ok(), "{good}");
    }
    for bad in ["[\"12*\"]", "[\"\"]", "{\"RAM\":[\"*\"]}", "[\"arn:sts::1:role\"]", "[1]", "null"]
    {
        assert!(bucket(bad).is_err(), "{bad}");
    }
    assert!(Policy::parse(&statement(ALLOW), PolicyKind::Bucket).unwrap().is_public());
    let both = statement(&format!("{ALLOW},\"Principal\":[\"*\"],\"NotPrincipal\":[\"77\"]"));
    assert!(Policy::parse(&both, PolicyKind::Bucket).is_err(), "{both}");
    let trust = |principal: &str| {
        let text = statement(&format!(
            "\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":{principal}"
        ));
        Policy::parse(&text, PolicyKind::Trust)
    };
    for good in [
        "{\"RAM\":[\"acs:ram::1234:root\"]}",
        "{\"RAM\":\"acs:ram::1234:user/u\"}",
        "{\"Service\":[\"ecs.aliyuncs.com\"]}",
    ] {
        assert!(trust(good).is_ok(), "{good}");
    }
    for bad in [
        "[\"1234\"]",
        "{}",
        "{\"RAM\":[]}",
        "{\"RAM\":[\"*\"]}",
        "{\"RAM\":[\"acs:ram::*:root\"]}",
        "{\"RAM\":[\"acs:ram::1:user/\"]}",
        "{\"RAM\":[\"acs:ram::1:user/a/b\"]}",
        "{\"RAM\":[\"acs:ram::1:role/*\"]}",
        "{\"AWS\":[\"x\"]}",
    ] {
        assert!(trust(bad).is_err(), "{bad}");
    }
    assert!(
        Policy::parse(
            &statement(&format!("{ALLOW},\"Principal\":{{\"RAM\":[\"acs:ram::1:root\"]}}")),
            PolicyKind::Trust
        )
        .is_err()
    );
}

#[test]
fn whom_a_principal_names() {
    let user = Subject::User { id: "77", name: "lee" };
    let session = Subject::Session { role: "Writer", session: "s1" };
    let names = |principal: &str, condition: &str, subject| {
        let text = statement(&format!("{ALLOW},{principal}{condition}"));
        let policy = Policy::parse(&text, PolicyKind::Bucket).unwrap();
        policy.statements()[0].names(subject, "1234")
    };
    let all = [Subject::Account, user, session, Subject::Anonymous];
    let condition = ",\"Condition\":{\"Bool\":{\"acs:SecureTransport\":\"false\"}}";
    for (principal, condition, wanted) in [
        ("\"Principal\":[\"*\"]", "", [false, true, true, true]),
        ("\"Principal\":[]", "", [false, true, true, true]),
        ("\"Principal\":[\"*\"]", condition, [true, true, true, true]),
        ("\"Principal\":[\"1234\"]", "", [true, true, true, false]),
        ("\"Principal\":[\"77\"]", condition, [false, true, false, false]),
        ("\"Principal\":[\"88\"]", condition, [false; 4]),
        (
            "\"Principal\":[\"arn:sts::1234:assumed-role/writer/*\"]",
            "",
            [false, false, true, false],
        ),
        ("\"Principal\":[\"arn:sts::*:*/*/*\"]", "", [false, false, true, false]),
        ("\"Principal\":[\"arn:sts::9:assumed-role/writer/*\"]", "", [false; 4]),
        ("\"Principal\":[\"arn:sts::1234:federated-user/writer/*\"]", "", [false; 4]),
        ("\"Principal\":[\"arn:sts::1234:assumed-role/writer/s2\"]", "", [false; 4]),
        ("\"NotPrincipal\":[\"77\"]", "", [false, false, true, true]),
        ("\"NotPrincipal\":[\"77\"]", condition, [true, false, true, true]),
        ("\"NotPrincipal\":[\"1234\"]", condition, [false, false, false, true]),
        ("\"NotPrincipal\":[\"*\"]", condition, [false; 4]),
    ] {
        assert_eq!(
            all.map(|subject| names(principal, condition, subject)),
            wanted,
            "{principal} {condition}"
        );
    }
}

#[test]
fn a_trust_policy_names_whom_it_names_of_its_own_account_alone() {
    let all = [
        Subject::Account,
        Subject::User { id: "77", name: "lee" },
        Subject::Session { role: "Writer", session: "s1" },
        Subject::Anonymous,
    ];
    for (principal, wanted) in [
        (r#"{"RAM":"acs:ram::1234:root"}"#, [true, true, true, false]),
        (r#"{"RAM":"acs:ram::99:root"}"#, [false; 4]),
        (r#"{"RAM":"acs:ram::1234:user/Lee"}"#, [false, true, false, false]),
        (r#"{"RAM":"acs:ram::1234:user/kim"}"#, [false; 4]),
        (r#"{"RAM":"acs:ram::99:user/lee"}"#, [false; 4]),
        (r#"{"RAM":"acs:ram::1234:role/writer"}"#, [false, false, true, false]),
        (r#"{"RAM":"acs:ram::1234:role/reader"}"#, [false; 4]),
        (r#"{"RAM":"acs:ram::99:role/writer"}"#, [false; 4]),
        (
            r#"{"Service":["ecs.aliyuncs.com"],"Federated":"acs:ram::1234:saml-provider/x"}"#,
            [false; 4],
        ),
        (
            r#"{"RAM":["acs:ram::1234:user/kim","acs:ram::1234:user/lee"],"Service":"x"}"#,
            [false, true, false, false],
        ),
    ] {
        let text = statement(&format!(
            "\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":{principal}"
        ));
        let policy = Policy::parse(&text, PolicyKind::Trust).unwrap();
        let named = all.map(|subject| policy.statements()[0].names(subject, "1234"));
        assert_eq!(named, wanted, "{principal}");
    }
}

#[test]
fn a_policy_is_as_long_as_its_kind_may_be_and_no_longer() {
    let trust = "\"Effect\":\"Allow\",\"Action\":\"*\",\"Principal\":{\"RAM\":\"acs:ram::1:root\"}";
    for (kind, members, most, letter) in [
        (PolicyKind::Identity, ALLOW, IDENTITY_POLICY_CHARS_MAX, "目"),
        (PolicyKind::Session, ALLOW, SESSION_POLICY_CHARS_MAX, "目"),
        (PolicyKind::Trust, trust, IDENTITY_POLICY_CHARS_MAX, "目"),
        // A bucket's is counted in bytes.
        (PolicyKind::Bucket, ALLOW, BUCKET_POLICY_BYTES_MAX, "x"),
    ] {
        let of = |letter: &str, count: usize| {
            statement(&format!("{members},\"Sid\":\"{}\"", letter.repeat(count)))
        };
        let rest = of(letter, 0).len();
        assert!(Policy::parse(&of(letter, most - rest), kind).is_ok(), "{kind:?}");
        assert!(Policy::parse(&of(letter, most - rest + 1), kind).is_err(), "{kind:?}");
    }
    let wide =
        statement(&format!("{ALLOW},\"Sid\":\"{}\"", "目".repeat(BUCKET_POLICY_BYTES_MAX / 3)));
    assert!(Policy::parse(&wide, PolicyKind::Bucket).is_err());
}

#[test]
fn a_policy_tells_what_its_conditions_look_at() {
    let none = Needs::default();
    let test = |key: &str| format!("\"Condition\":{{\"StringEquals\":{{\"{key}\":\"1\"}}}}");
    let wanted = [
        ("oss:BucketTag/a", Needs { bucket_tags: true, ..none }),
        ("oss:ExistingObjectTag/a", Needs { existing_tags: true, ..none }),
        ("oss:RequestObjectTag/a", Needs { request_tags: true, ..none }),
        ("oss:object-remaining-retention-days", Needs { retention_days: true, ..none }),
        ("acs:SourceIp", none),
    ];
    for (key, needs) in wanted {
        // In whichever statement it stands.
        for (first, last) in [(key, "acs:UserAgent"), ("acs:UserAgent", key)] {
            let text = format!(
                "{{\"Version\":\"1\",\"Statement\":[{{{ALLOW},{}}},{{{ALLOW},{}}}]}}",
                test(first),
                test(last)
            );
            let policy = Policy::parse(&text, PolicyKind::Identity).unwrap();
            assert_eq!(policy.needs(), needs, "{text}");
        }
    }
    let all = wanted.into_iter().fold(none, |all, (_, needs)| needs.or(all));
    let every =
        Needs { bucket_tags: true, existing_tags: true, request_tags: true, retention_days: true };
    assert_eq!((all, all.or(none), none.or(all)), (every, every, every));
}

#[test]
fn what_lies_outside_a_bucket_is_told_but_for_what_is_left_out() {
    let outside = |element: &str, resource: &str| {
        let text = format!(
            "\"Effect\":\"Allow\",\"Action\":\"*\",\"{element}\":[\"acs:oss:*:*:bkt/*\",\"{resource}\"]"
        );
        let policy = Policy::parse(&statement(&text), PolicyKind::Bucket).unwrap();
        policy.resource_outside("bkt").map(str::to_owned)
    };
    let other = "acs:oss:*:*:other/*";
    assert_eq!(outside("Resource", other).as_deref(), Some(other));
    assert_eq!(outside("Resource", "acs:oss:*:*:bkt"), None);
    assert_eq!(outside("NotResource", other), None);
}

#[test]
fn actions_match_without_case_and_resources_by_parts() {
    let policy = |action: &str, resource: &str| {
        identity(&format!("\"Effect\":\"Allow\",\"Action\":{action},\"Resource\":{resource}"))
            .unwrap()
    };
    for (action, wanted) in [
        ("\"oss:GetObject\"", true),
        ("\"OSS:getobject\"", true),
        ("[\"oss:PutObject\",\"oss:Get*\"]", true),
        ("\"oss:*\"", true),
        ("\"*\"", true),
        ("\"*:GetObject\"", true),
        ("\"oss:GetObjec?\"", true),
        ("\"oss:GetObjectVersion\"", false),
        ("\"ram:GetObject\"", false),
    ] {
        assert_eq!(allows(&policy(action, "\"*\""), "oss:GetObject", KEY), wanted, "{action}");
    }
    for (resource, key, bucket) in [
        ("\"*\"", true, true),
        ("\"acs:oss:*:*:*\"", true, true),
        ("\"acs:oss:*\"", true, true),
        ("\"acs:oss:*:*:bkt/*\"", true, false),
        ("\"acs:oss:*:*:bkt\"", false, true),
        ("\"acs:oss:*:*:bkt*\"", true, true),
        ("\"acs:oss:oss-cn-hangzhou:1234:bkt/logs/*\"", true, false),
        ("\"acs:oss:cn-hangzhou:1234:bkt/logs/a:b\"", true, false),
        ("\"acs:oss:cn-beijing:*:bkt/*\"", false, false),
        ("\"acs:oss:*:99:bkt/*\"", false, false),
        ("\"acs:oss:*:*:BKT/*\"", false, false),
        ("\"acs:oss:*:*:bkt/logs/?:b\"", true, false),
        ("[\"acs:oss:*:*:x\",\"acs:oss:*:*:bkt\"]", false, true),
        ("\"acs:ram:*:*:*\"", false, false),
    ] {
        let policy = policy("\"oss:*\"", resource);
        assert_eq!(allows(&policy, "oss:GetObject", KEY), key, "{resource}");
        assert_eq!(allows(&policy, "oss:ListObjects", BUCKET), bucket, "{resource}");
    }
    let but = identity(
        "\"Effect\":\"Allow\",\"NotAction\":\"oss:Put*\",\"NotResource\":\"acs:oss:*:*:x/*\"",
    )
    .unwrap();
    assert!(allows(&but, "oss:GetObject", KEY) && !allows(&but, "oss:PutObject", KEY));
    assert!(!allows(&but, "oss:GetObject", "acs:oss:cn-hangzhou:1234:x/y"));
    let user = policy("\"ram:*\"", "\"acs:ram:*:1234:user/*\"");
    assert!(allows(&user, "ram:GetUser", "acs:ram::1234:user/lee"));
    assert!(allows(&user, "ram:GetUser", "acs:ram:*:1234:user/lee"));
    let role = policy("\"sts:AssumeRole\"", "\"acs:ram::1234:role/r\"");
    assert!(allows(&role, "sts:AssumeRole", "acs:ram:*:1234:role/r"));
}

#[test]
fn a_denial_wins_and_the_first_statement_is_told() {
    let text = "{\"Version\":\"1\",\"Statement\":[\
        {\"Effect\":\"Allow\",\"Action\":\"oss:*\",\"Resource\":\"*\"},\
        {\"Effect\":\"Allow\",\"Action\":\"oss:PutObject\",\"Resource\":\"*\"},\
        {\"Effect\":\"Deny\",\"Action\":\"oss:Put*\",\"Resource\":\"acs:oss:*:*:bkt/logs/*\"},\
        {\"Effect\":\"Deny\",\"Action\":\"oss:putobject\",\"Resource\":\"*\"}]}";
    let policy = Policy::parse(text, PolicyKind::Identity).unwrap();
    let told = |action, resource| verdict(&policy, action, resource, &Conditions::default());
    assert_eq!(told("oss:PutObject", KEY), Verdict::Denied(2));
    assert_eq!(told("oss:PutObject", BUCKET), Verdict::Denied(3));
    assert_eq!(told("oss:GetObject", KEY), Verdict::Allowed(0));
    assert_eq!(told("ram:GetUser", "acs:ram::1234:user/lee"), Verdict::Silent);
}

fn holds(condition: &str, conditions: &Conditions<'_>) -> bool {
    let policy = identity(&format!("{ALLOW},\"Condition\":{condition}"))
        .unwrap_or_else(|error| panic!("{condition}: {error}"));
    verdict(&policy, "oss:GetObject", KEY, conditions) != Verdict::Silent
}

#[test]
fn every_operator_holds_as_it_should_and_absent_keys_only_for_those_that_negate() {
    let given = Conditions {
        source_ip: "192.168.1.7".parse().ok(),
        user_agent: Some("Go/1.2".into()),
        now: 1_700_000_000,
        access_id: Some("AK1".into()),
        prefix: Some("logs/a".into()),
        delimiter: Some("".into()),
        existing_tags: vec![
            ("status".to_owned(), "ok".to_owned()),
            ("n".to_owned(), "7".to_owned()),
        ]
        .into(),
        retention_days: Some(3),
        ..Conditions::default()
    };
    for (condition, with, without) in [
        (r#"{"StringEquals":{"acs:UserAgent":"Go/1.2"}}"#, true, false),
        (r#"{"StringEquals":{"ACS:useragent":["x","Go/1.2"]}}"#, true, false),
        (r#"{"StringEquals":{"acs:UserAgent":"go/1.2"}}"#, false, false),
        (r#"{"StringNotEquals":{"acs:UserAgent":["x","Go/1.2"]}}"#, false, true),
        (r#"{"StringNotEquals":{"acs:UserAgent":["x","y"]}}"#, true, true),
        (r#"{"StringEqualsIgnoreCase":{"acs:UserAgent":"GO/1.2"}}"#, true, false),
        (r#"{"StringNotEqualsIgnoreCase":{"acs:UserAgent":"GO/1.2"}}"#, false, true),
        (r#"{"StringLike":{"oss:Prefix":["logs/*",""]}}"#, true, false),
        (r#"{"StringNotLike":{"oss:Prefix":"logs/*"}}"#, false, true),
        (r#"{"StringLike":{"oss:Prefix":"Logs/*"}}"#, false, false),
        (r#"{"StringEquals":{"oss:Delimiter":""}}"#, true, false),
        (r#"{"NumericEquals":{"oss:object-remaining-retention-days":3}}"#, true, false),
        (r#"{"NumericNotEquals":{"oss:object-remaining-retention-days":"3"}}"#, false, true),
        (r#"{"NumericLessThan":{"oss:object-remaining-retention-days":"3"}}"#, false, false),
        (r#"{"NumericLessThanEquals":{"oss:object-remaining-retention-days":"3.0"}}"#, true, false),
        (
            r#"{"NumericGreaterThan":{"oss:object-remaining-retention-days":["2","9"]}}"#,
            true,
            false,
        ),
        (r#"{"NumericGreaterThanEquals":{"oss:ExistingObjectTag/n":"7"}}"#, true, false),
        (r#"{"NumericGreaterThanEquals":{"oss:ExistingObjectTag/status":"7"}}"#, false, false),
        (r#"{"IpAddress":{"acs:SourceIp":["10.0.0.0/8","192.168.0.0/16"]}}"#, true, false),
        (r#"{"IpAddressIncludeBorder":{"acs:SourceIp":"192.168.1.7"}}"#, true, false),
        (r#"{"NotIpAddress":{"acs:SourceIp":"192.168.0.0/16"}}"#, false, true),
        (r#"{"IpAddress":{"acs:SourceIp":"2001:db8::/32"}}"#, false, false),
        (r#"{"IpAddress":{"acs:SourceIp":"192.168.77.77/16"}}"#, true, false),
        (r#"{"IpAddress":{"acs:SourceIp":"::ffff:192.168.0.0/112"}}"#, true, false),
        (r#"{"StringEquals":{"acs:SourceIp":"192.168.1.7"}}"#, true, false),
        (
            r#"{"StringEquals":{"oss:ExistingObjectTag/status":"ok","oss:ExistingObjectTag/n":"7"}}"#,
            true,
            false,
        ),
        (
            r#"{"StringEquals":{"oss:ExistingObjectTag/status":"ok","oss:ExistingObjectTag/n":"8"}}"#,
            false,
            false,
        ),
        (r#"{"StringEquals":{"oss:ExistingObjectTag/Status":"ok"}}"#, false, false),
        (
            r#"{"StringEquals":{"acs:AccessId":"AK1"},"StringLike":{"oss:Prefix":"x"}}"#,
            false,
            false,
        ),
        (r#"{"StringLike":{"acs:SourceVpc":"*"}}"#, false, false),
        (r#"{"StringNotLike":{"acs:SourceVpc":"vpc-*"}}"#, true, true),
        (r#"{"Bool":{"acs:MFAPresent":"false"}}"#, true, true),
        (r#"{"Bool":{"acs:SecureTransport":["false"]}}"#, true, true),
        (r#"{"Bool":{"acs:SecureTransport":true}}"#, false, false),
    ] {
        assert_eq!(holds(condition, &given), with, "{condition}");
        assert_eq!(holds(condition, &Conditions::default()), without, "{condition}, nothing given");
    }
    // A socket of both kinds tells IPv4 addresses as IPv6 maps them.
    let mapped = Conditions { source_ip: "::ffff:192.168.1.7".parse().ok(), ..given.clone() };
    for condition in [
        r#"{"StringEquals":{"acs:SourceIp":"192.168.1.7"}}"#,
        r#"{"IpAddress":{"acs:SourceIp":"192.168.0.0/16"}}"#,
    ] {
        assert!(holds(condition, &mapped), "{condition}");
    }
    let given = Conditions { user_agent: Some("ÄRGER".into()), ..given };
    assert!(holds(r#"{"StringEqualsIgnoreCase":{"acs:UserAgent":"ärger"}}"#, &given));
    // 2023-11-14T22:13:20Z.
    for (condition, wanted) in [
        (r#"{"DateEquals":{"acs:CurrentTime":"2023-11-14T22:13:20Z"}}"#, true),
        (r#"{"DateNotEquals":{"acs:CurrentTime":"2023-11-14T22:13:20Z"}}"#, false),
        (r#"{"DateLessThan":{"acs:CurrentTime":"2023-11-15T06:13:20+08:00"}}"#, false),
        (r#"{"DateLessThanEquals":{"acs:CurrentTime":"2023-11-15T06:13:20+08:00"}}"#, true),
        (r#"{"DateGreaterThan":{"acs:CurrentTime":"2023-11-14"}}"#, true),
        (r#"{"DateGreaterThanEquals":{"acs:CurrentTime":"2023-11-15"}}"#, false),
    ] {
        assert_eq!(holds(condition, &given), wanted, "{condition}");
    }
}

#[test]
fn public_is_what_allows_somebody_unlisted_from_nowhere_in_particular() {
    let public = |effect: &str, principal: &str, condition: &str| {
        let text = statement(&format!(
            "\"Effect\":\"{effect}\",\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":[{principal}]{condition}"
        ));
        Policy::parse(&text, PolicyKind::Bucket).unwrap().is_public()
    };
    let from = |operator: &str, key: &str, value: &str| {
        format!(",\"Condition\":{{\"{operator}\":{{\"{key}\":[\"{value}\"]}}}}")
    };
    assert!(public("Allow", "\"*\"", ""));
    assert!(public("Allow", "", ""));
    assert!(!public("Deny", "\"*\"", ""));
    assert!(!public("Allow", "\"27001\"", ""));
    assert!(public("Allow", "\"27001\",\"*\"", ""));
    assert!(public("Allow", "\"arn:sts::*:*/*/*\"", ""));
    assert!(!public("Allow", "\"*\"", &from("IpAddress", "acs:SourceIp", "10.0.0.0/8")));
    assert!(public("Allow", "\"*\"", &from("IpAddress", "acs:SourceIp", "0.0.0.0/0")));
    assert!(public("Allow", "\"*\"", &from("IpAddress", "acs:SourceIp", "::/0")));
    assert!(public("Allow", "\"*\"", &from("NotIpAddress", "acs:SourceIp", "10.0.0.0/8")));
    assert!(!public("Allow", "\"*\"", &from("StringEquals", "acs:SourceVpc", "vpc-1")));
    assert!(public("Allow", "\"*\"", &from("StringLike", "acs:SourceVpc", "vpc-*")));
    assert!(public("Allow", "\"*\"", &from("StringEquals", "acs:SourceVpc", "vpc-*")));
    assert!(public("Allow", "\"*\"", &from("StringLike", "acs:SourceVpc", "vpc-1\",\"vpc-*")));
    assert!(public("Allow", "\"*\"", &from("IpAddress", "acs:SourceIp", "10.0.0.1\",\"0.0.0.0/0")));
    assert!(!public("Allow", "\"*\"", &from("StringLike", "acs:AccessId", "AK1\",\"AK2")));
    assert!(!public("Allow", "\"*\"", &from("StringEquals", "acs:AccessId", "AK1")));
    assert!(public("Allow", "\"*\"", &from("StringEquals", "acs:UserAgent", "x")));
}

#[test]
fn a_stored_policy_of_another_grammar_lets_nobody_in() {
    let text = |effect: &str| {
        statement(&format!(
            "\"Effect\":\"{effect}\",\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":[\"*\"],\
             \"Condition\":{{\"StringMatches\":{{\"oss:New\":\"x\"}}}}"
        ))
    };
    let told = |text: &str| {
        let policy = Policy::of_stored(text, PolicyKind::Bucket);
        assert_eq!(policy.text(), text);
        let conditions = Conditions::default();
        let ask =
            Ask { action: "oss:GetObject", resource: Resource::new(KEY), conditions: &conditions };
        policy.evaluate(&ask, |statement| statement.names(Subject::Anonymous, "1234"))
    };
    assert_eq!(told(&text("Allow")), Verdict::Silent);
    assert_eq!(told(&text("Deny")), Verdict::Denied(0));
    assert_eq!(told("no policy"), Verdict::Denied(0));
    assert!(
        !Policy::of_stored("x", PolicyKind::Bucket).statements()[0].names(Subject::Account, "1234")
    );
}

#[test]
fn statements_are_found_whatever_their_resources_begin_with() {
    let resources = [
        r#""acs:oss:*:*:bkt/logs/*""#,
        r#"["acs:oss:*:*:bkt/logs/a*","acs:oss:*:*:bkt/lo?s/*"]"#,
        r#"["acs:oss:*:*:other/*","acs:oss:*:*:bkt/*"]"#,
        r#""acs:oss:*:*:*a:b""#,
        r#""acs:oss:*""#,
        r#""acs:*:*:*:*""#,
        r#""*""#,
        r#""acs:oss:*:*:bkt/logs/a:b""#,
    ];
    for resource in resources {
        let decoy = |n: usize| {
            format!(
                r#"{{"Effect":"Deny","Action":"oss:GetObject","Resource":"acs:oss:*:*:bkt/l{n}*"}}"#
            )
        };
        let wanted = format!(r#"{{"Effect":"Allow","Action":"oss:Get*","Resource":{resource}}}"#);
        let (first, last) = (decoy(0), decoy(1));
        let text = format!(r#"{{"Version":"1","Statement":[{first},{wanted},{last}]}}"#);
        let policy = Policy::parse(&text, PolicyKind::Identity).unwrap();
        let found = verdict(&policy, "oss:GetObject", KEY, &Conditions::default());
        assert_eq!(found, Verdict::Allowed(1), "{resource}");
        let denied = "acs:oss:cn-hangzhou:1234:bkt/l1/a:b";
        let found = verdict(&policy, "oss:GetObject", denied, &Conditions::default());
        assert_eq!(found, Verdict::Denied(2), "{resource}");
    }
}

#[test]
fn what_ram_names_is_the_same_in_any_case_and_what_oss_names_is_not() {
    let deny = |resource: &str| {
        identity(&format!("\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"{resource}\""))
            .unwrap()
    };
    let denies = |pattern: &str, resource: &str| {
        verdict(&deny(pattern), "ram:X", resource, &Conditions::default()) == Verdict::Denied(0)
    };
    for pattern in ["user/Boss", "user/bo*", "user/?oSS", "USER/*ss"] {
        let pattern = format!("acs:ram:*:1234:{pattern}");
        for name in ["user/Boss", "user/boss", "User/BOSS"] {
            assert!(denies(&pattern, &format!("acs:ram::1234:{name}")), "{pattern} {name}");
        }
        assert!(!denies(&pattern, "acs:ram::1234:user/bus"), "{pattern}");
    }
    assert!(denies("acs:*:*:1234:user/Boss", "acs:ram::1234:user/boss"));
    for pattern in ["bkt/Logs/*", "bkt/Logs/a:b", "bkt/?ogs/A*"] {
        assert!(!denies(&format!("acs:oss:*:1234:{pattern}"), KEY), "{pattern}");
    }
}
