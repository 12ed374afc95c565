//! Forms of browsers, their policies, callbacks, and the RPC style.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ossia_protocol::{
    auth::{self, FormFields, FormSigned, Lookup, Policy, RequestParts, Secret, VerifyOptions},
    callback::{Callback, CallbackFacts},
    form_data::{FIELDS_BYTES_MAX, FormFault, FormReader, FormStep},
    query::Query,
};

use crate::input::{Request, text};

const NOW: i64 = 1_767_225_600;

pub(crate) fn run(data: &[u8]) {
    multipart(data);
    callback(data);
    let secret = Secret::new("fuzz-secret");
    let mut fields = FormFields::new();
    for line in text(data).lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        fields.push(name, value);
    }
    let options = VerifyOptions::default();
    if let Ok(FormSigned::Claimed(claim)) = auth::detect_form(&fields) {
        let lookup = Lookup::Found { secret: &secret, signing_key: None };
        let told = auth::verify_form(&claim, None, lookup, NOW, &options);
        assert!(told.is_err(), "a forgery");
        // What the policy would say if the signature held.
        if let Some(policy) = fields.get("policy") {
            apply(policy, &claim, &fields);
        }
    }
    let encoded = STANDARD.encode(data);
    if let Ok(policy) = Policy::parse(&encoded) {
        let (low, high) = policy.length_range();
        for size in [0, low, high, u64::MAX] {
            let fits = policy.check_length(size).is_ok();
            assert_eq!(fits, low <= size && size <= high);
        }
        let mut fields = FormFields::new();
        fields.push("OSSAccessKeyId", "fuzz-id");
        fields.push("policy", encoded.clone());
        fields.push("Signature", "x");
        if let Ok(FormSigned::Claimed(claim)) = auth::detect_form(&fields) {
            apply(&encoded, &claim, &fields);
        }
    }
    rpc(data, &secret);
}

/// In whatever pieces a form comes it says the same.
fn multipart(data: &[u8]) {
    let whole = read(data, data.len().max(1));
    for size in [1, 2, 7] {
        assert_eq!(whole, read(data, size), "in pieces of {size}");
    }
}

type Told = (Vec<FormStep>, Vec<u8>, Option<FormFault>);

fn read(data: &[u8], size: usize) -> Told {
    let mut reader = FormReader::new("XX");
    let (mut steps, mut file) = (Vec::new(), Vec::new());
    for piece in data.chunks(size) {
        reader.feed(Bytes::copy_from_slice(piece));
        loop {
            match reader.step() {
                Ok(FormStep::More) => break,
                Ok(FormStep::End) => return (steps, file, None),
                Ok(FormStep::Data(piece)) => file.extend_from_slice(&piece),
                Ok(step) => steps.push(step),
                Err(fault) => return (steps, file, Some(fault)),
            }
        }
        assert!(reader.fields_bytes() <= FIELDS_BYTES_MAX);
    }
    (steps, file, None)
}

fn callback(data: &[u8]) {
    let encoded = STANDARD.encode(data);
    let _ = Callback::parse("e30=", Some(&encoded));
    let Ok(callback) = Callback::parse(&encoded, None) else { return };
    for url in &callback.urls {
        let legal = |b: u8| b.is_ascii_graphic();
        assert!(url.path.starts_with('/') && url.path.bytes().all(legal));
        assert!(!url.host.is_empty() && url.host.bytes().all(legal));
    }
    let facts = CallbackFacts { object: "a\"&".into(), ..CallbackFacts::default() };
    assert_eq!(callback.body(&facts), callback.body(&facts));
}

fn apply(policy: &str, claim: &auth::FormClaim<'_>, fields: &FormFields) {
    if let Ok(policy) = Policy::parse(policy) {
        let told = policy.check(claim, "bucket", fields, NOW);
        assert_eq!(told, policy.check(claim, "bucket", fields, NOW));
        assert!(policy.check(claim, "bucket", fields, i64::MAX).is_err(), "every policy ends");
    }
}

fn rpc(data: &[u8], secret: &Secret) {
    let Some(request) = Request::parse(data) else { return };
    let form = Query::parse(&request.body).ok();
    let parts = RequestParts {
        method: &request.method,
        target: &request.target,
        query: &request.query,
        headers: &request.headers,
    };
    let _ = auth::is_rpc(&parts, form.as_ref());
    if let Ok(claim) = auth::detect_rpc(&parts, form.as_ref()) {
        let lookup = Lookup::Found { secret, signing_key: None };
        let told =
            auth::verify_rpc(&claim, &parts, form.as_ref(), &request.body, lookup, NOW, i64::MAX);
        assert!(told.is_err(), "a forgery");
    }
}
