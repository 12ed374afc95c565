//! Requests as official clients put them on the wire, and what a verifier must say to each.
//!
//! A vector gives the request target, Host, headers and body or form; the file gives the domains, the bound names and the
//! credentials. Nothing else of a vector may be used to reach the verdict: the rest is what the verdict is compared with.
#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed assertion")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ossia_protocol::addressing::{Addressing, RequestTarget, Target};
use ossia_protocol::auth::{
    self, AuthError, FormFields, FormSigned, HeaderList, Leniency, Lookup, RequestParts, RpcError,
    Secret, Signed, TokenFault, VerifyOptions,
};
use ossia_protocol::error::OssError;
use ossia_protocol::query::Query;
use serde_json::Value;

const FILE: &str = include_str!("vectors/auth.json");

struct Suite {
    addressing: Addressing,
    credentials: Vec<Credential>,
    vectors: Vec<Vector>,
}

struct Credential {
    access_key_id: String,
    token: Option<String>,
    secret: Secret,
}

/// One vector: the request as received, and the JSON with what is expected.
#[derive(Clone)]
struct Vector {
    json: Value,
    method: String,
    request_target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    form: Option<FormFields>,
    now: i64,
}

fn text(json: &Value, name: &str) -> String {
    optional(json, name).unwrap_or_else(|| panic!("{name} is missing in {json}"))
}

fn optional(json: &Value, name: &str) -> Option<String> {
    json.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn list<'v>(json: &'v Value, name: &str) -> &'v [Value] {
    json[name].as_array().unwrap()
}

impl Suite {
    fn load() -> Suite {
        let file: Value = serde_json::from_str(FILE).unwrap();
        let cnames = file["cname_bindings"].as_object().unwrap();
        let credential = |json: &Value| Credential {
            access_key_id: text(json, "access_key_id"),
            token: optional(json, "security_token"),
            secret: Secret::new(text(json, "access_key_secret")),
        };
        Suite {
            addressing: Addressing::new(
                list(&file, "server_domains").iter().map(|name| name.as_str().unwrap()),
                cnames.iter().map(|(host, bucket)| (host, bucket.as_str().unwrap())),
            ),
            credentials: list(&file, "credentials").iter().map(credential).collect(),
            vectors: list(&file, "vectors").iter().map(Vector::read).collect(),
        }
    }

    /// What a server's key store would answer; `expired` is its knowledge about the token.
    fn lookup(&self, id: &str, token: Option<&str>, expired: bool) -> Lookup<'_> {
        let mut known = self.credentials.iter().filter(|one| one.access_key_id == id).peekable();
        if known.peek().is_none() {
            return Lookup::Unknown;
        }
        match (known.find(|one| one.token.as_deref() == token), token) {
            (Some(_), Some(_)) if expired => Lookup::BadToken(TokenFault::Expired),
            (Some(found), _) => Lookup::Found { secret: &found.secret, signing_key: None },
            (None, Some(_)) => Lookup::BadToken(TokenFault::Invalid),
            (None, None) => Lookup::Unknown,
        }
    }
}

impl Vector {
    fn read(json: &Value) -> Vector {
        let pair = |line: &Value| {
            (line[0].as_str().unwrap().to_owned(), line[1].as_str().unwrap().to_owned())
        };
        let body = optional(json, "body_base64").map(|body| STANDARD.decode(body).unwrap());
        // A form without a body is a multipart one, given by its fields.
        let form = json.get("form").filter(|_| body.is_none()).map(|fields| {
            let mut form = FormFields::new();
            for (name, value) in fields.as_object().unwrap() {
                form.push(name, value.as_str().unwrap());
            }
            form
        });
        Vector {
            method: text(json, "method"),
            request_target: text(json, "request_target"),
            headers: list(json, "headers").iter().map(pair).collect(),
            body: body.unwrap_or_default(),
            form,
            now: json["clock_epoch"].as_i64().unwrap(),
            json: json.clone(),
        }
    }

    fn name(&self) -> &str {
        self.json["name"].as_str().unwrap()
    }

    fn expects(&self, what: &str) -> bool {
        self.json["expect"] == what
    }
}

/// The verdict on a request, with what was read from it.
struct Outcome {
    target: Target,
    access_key_id: Option<String>,
    verdict: Result<Option<Leniency>, Refusal>,
}

#[derive(Debug)]
enum Refusal {
    Oss(AuthError),
    Rpc(RpcError),
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Refusal {
        Refusal::Oss(error)
    }
}

impl From<RpcError> for Refusal {
    fn from(error: RpcError) -> Refusal {
        Refusal::Rpc(error)
    }
}

/// What a server does with a request, from the raw target to the verdict.
fn serve(suite: &Suite, vector: &Vector, host: &str, options: &VerifyOptions) -> Outcome {
    let raw = RequestTarget::split(&vector.request_target);
    let target = suite.addressing.resolve(Some(host), raw.path);
    let query = Query::parse(raw.query.unwrap_or_default().as_bytes()).unwrap();
    let mut headers: HeaderList =
        vector.headers.iter().map(|(name, value)| (name, value)).collect();
    if vector.form.is_some() {
        headers.push("content-type", "multipart/form-data; boundary=x");
    }
    let request =
        RequestParts { method: &vector.method, target: &target, query: &query, headers: &headers };
    let expired = vector.json["security_token_expired"] == true;
    let mut access_key_id = None;
    let mut lookup = |id: &str, token: Option<&str>| {
        access_key_id = Some(id.to_owned());
        suite.lookup(id, token, expired)
    };
    let mut judge = || -> Result<Option<Leniency>, Refusal> {
        let rpc_form = Query::parse(&vector.body).ok();
        if auth::is_rpc(&request, rpc_form.as_ref()) {
            let claim = auth::detect_rpc(&request, rpc_form.as_ref())?;
            let found = lookup(claim.access_key_id(), claim.token());
            let form = rpc_form.as_ref();
            auth::verify_rpc(&claim, &request, form, &vector.body, found, vector.now, 900)?;
            return Ok(None);
        }
        match auth::detect(&request)? {
            Signed::Claimed(claim) => {
                let found = lookup(claim.access_key_id(), claim.token());
                Ok(auth::verify(&claim, &request, found, vector.now, options)?.leniency)
            }
            Signed::Form => {
                let fields = vector.form.as_ref().expect("only forms are detected as forms");
                let FormSigned::Claimed(claim) = auth::detect_form(fields)? else {
                    panic!("{}: the form is signed", vector.name());
                };
                let found = lookup(claim.access_key_id(), claim.token());
                auth::verify_form(&claim, None, found, vector.now, options)?;
                Ok(None)
            }
            Signed::Anonymous => panic!("{}: taken for anonymous", vector.name()),
        }
    };
    let verdict = judge();
    Outcome { access_key_id, verdict, target }
}

fn strict() -> VerifyOptions {
    VerifyOptions { strict_region: true, ..VerifyOptions::default() }
}

fn outcome(suite: &Suite, vector: &Vector) -> Outcome {
    serve(suite, vector, vector.json["host"].as_str().unwrap(), &strict())
}

#[test]
fn every_vector_gets_its_expected_verdict() {
    let suite = Suite::load();
    assert_eq!(suite.vectors.len(), 149);
    for vector in &suite.vectors {
        let name = vector.name();
        let verdict = outcome(&suite, vector).verdict;
        match vector.json["expect"].as_str().unwrap() {
            "ok" => assert!(matches!(verdict, Ok(None)), "{name}: {verdict:?}"),
            "ok_lenient" => {
                assert!(
                    matches!(verdict, Ok(Some(Leniency::EmptyValuesKept))),
                    "{name}: {verdict:?}"
                );
            }
            "mismatch" => {
                let mismatch =
                    matches!(verdict, Err(Refusal::Oss(AuthError::SignatureMismatch(_))));
                assert!(mismatch, "{name}: {verdict:?}");
            }
            "error" => check_error(name, &vector.json["expect_error"], verdict),
            other => panic!("{name}: unknown expectation {other}"),
        }
    }
}

fn check_error(name: &str, expected: &Value, verdict: Result<Option<Leniency>, Refusal>) {
    let Err(Refusal::Oss(error)) = verdict else {
        panic!("{name}: {verdict:?}");
    };
    let answer = OssError::from(error);
    assert_eq!(answer.code().as_str(), expected["code"], "{name}");
    assert_eq!(u64::from(answer.status()), expected["http_status"], "{name}");
    if let Some(message) = expected["message"].as_str() {
        assert_eq!(answer.message(), message, "{name}");
    }
    if let Some(ec) = expected["ec"].as_str() {
        assert_eq!(answer.ec(), Some(ec), "{name}");
    }
}

#[test]
fn every_vector_resolves_to_its_bucket_and_key() {
    let suite = Suite::load();
    for vector in &suite.vectors {
        // The policy of a form decides over the key; the request itself has none. The other one names its bucket twice.
        if vector.form.is_some() || vector.expects("mismatch") {
            continue;
        }
        let outcome = outcome(&suite, vector);
        let bucket = optional(&vector.json, "bucket");
        let key = optional(&vector.json, "key").filter(|key| !key.is_empty());
        assert_eq!(outcome.target.bucket_str(), bucket.as_deref(), "{}", vector.name());
        assert_eq!(outcome.target.key_str(), key.as_deref(), "{}", vector.name());
        if let (Some(read), false) = (outcome.access_key_id, vector.expects("error")) {
            assert_eq!(read, text(&vector.json, "access_key_id"), "{}", vector.name());
        }
    }
}

/// Swaps the signature of a request for another of the same form, so that the answer tells what was signed.
fn with_a_wrong_signature(vector: &Vector) -> Vector {
    let right = text(&vector.json, "signature");
    let wrong: String = right.chars().rev().collect();
    assert_ne!(right, wrong);
    let encoded = |signature: &str| ossia_protocol::uri::encode(signature.as_bytes());
    let swap =
        |text: &str| text.replace(&right, &wrong).replace(&encoded(&right), &encoded(&wrong));
    let form = vector.form.as_ref().map(|fields| {
        let mut swapped = FormFields::new();
        for (name, value) in fields.iter() {
            swapped.push(name, swap(value));
        }
        swapped
    });
    let body = match String::from_utf8(vector.body.clone()) {
        Ok(body) => swap(&body).into_bytes(),
        Err(_) => vector.body.clone(),
    };
    Vector {
        request_target: swap(&vector.request_target),
        headers: vector.headers.iter().map(|(name, value)| (name.clone(), swap(value))).collect(),
        body,
        form,
        json: vector.json.clone(),
        method: vector.method.clone(),
        now: vector.now,
    }
}

#[test]
fn a_wrong_signature_is_answered_with_the_text_that_the_client_signed() {
    let suite = Suite::load();
    let mut compared = 0;
    for vector in suite.vectors.iter().filter(|vector| vector.expects("ok")) {
        let name = vector.name();
        let (string_to_sign, canonical_request) =
            match outcome(&suite, &with_a_wrong_signature(vector)).verdict {
                Err(Refusal::Oss(AuthError::SignatureMismatch(mismatch))) => {
                    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
                    (text(mismatch.string_to_sign), mismatch.canonical_request.map(text))
                }
                Err(Refusal::Rpc(RpcError::SignatureMismatch {
                    string_to_sign,
                    canonical_request,
                })) => (string_to_sign, canonical_request),
                other => panic!("{name}: {other:?}"),
            };
        assert_eq!(string_to_sign, text(&vector.json, "string_to_sign"), "{name}");
        assert_eq!(canonical_request, optional(&vector.json, "canonical_request"), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 125);
}

#[test]
fn a_region_is_accepted_as_it_comes_unless_the_server_is_strict() {
    let suite = Suite::load();
    let find = |name: &str| suite.vectors.iter().find(|vector| vector.name() == name).unwrap();
    let elsewhere = |strict_region| VerifyOptions {
        region: "cn-shanghai".to_owned(),
        strict_region,
        ..VerifyOptions::default()
    };
    let vector = find("oss2-v4-header-append-position");
    let host = text(&vector.json, "host");
    assert!(serve(&suite, vector, &host, &elsewhere(false)).verdict.is_ok());
    let refused = serve(&suite, vector, &host, &elsewhere(true)).verdict;
    assert!(matches!(refused, Err(Refusal::Oss(AuthError::ScopeRegion))), "{refused:?}");
    // A cloud box is its own region, whatever the server's.
    let cloudbox = find("oss2-v4-header-cloudbox");
    let host = text(&cloudbox.json, "host");
    assert!(serve(&suite, cloudbox, &host, &elsewhere(true)).verdict.is_ok());
    let refused = serve(&suite, cloudbox, "examplebucket.localhost", &elsewhere(false)).verdict;
    assert!(matches!(refused, Err(Refusal::Oss(AuthError::ScopeProduct))), "{refused:?}");
}

#[test]
fn a_listed_host_is_compared_exactly_as_sent() {
    let suite = Suite::load();
    let vector = suite
        .vectors
        .iter()
        .find(|one| one.name() == "gov1-v4-header-append-additional-host")
        .unwrap();
    let mut moved = vector.clone();
    for (name, value) in &mut moved.headers {
        if name == "Host" {
            value.push_str(":9000");
        }
    }
    let verdict = outcome(&suite, &moved).verdict;
    assert!(matches!(verdict, Err(Refusal::Oss(AuthError::SignatureMismatch(_)))), "{verdict:?}");
}
