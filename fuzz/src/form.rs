//! Forms of browsers, their policies, and the RPC style.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ossia_protocol::{
    auth::{self, FormFields, FormSigned, Lookup, Policy, RequestParts, Secret, VerifyOptions},
    query::Query,
};

use crate::input::{Request, text};

const NOW: i64 = 1_767_225_600;

pub(crate) fn run(data: &[u8]) {
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
