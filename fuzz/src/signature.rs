//! Signatures in headers and queries: what is signed verifies, anything else about the request does not.

use ossia_protocol::{
    addressing::Target,
    auth::{
        self, HeaderList, Lookup, RequestParts, Secret, Signed, Signer, Verified, VerifyOptions,
    },
    query::Query,
};

use crate::input::Request;

const ID: &str = "fuzz-id";
const NOW: i64 = 1_767_225_600;

pub(crate) fn run(data: &[u8]) {
    let [scheme, change, rest @ ..] = data else { return };
    let Some(request) = Request::parse(rest) else { return };
    let whole = Whole {
        method: request.method,
        target: request.target,
        query: request.query,
        headers: request.headers,
    };
    // Nobody guesses a signature; a request that a fuzzer writes by itself is refused, or says nothing of a signer.
    assert!(!matches!(whole.verify(&secret(), NOW), Some(Ok(_))), "a forgery");
    if let Some((signed, carrier)) = whole.signed(*scheme) {
        match signed.verify(&secret(), NOW) {
            Some(Ok(Verified { leniency: _ })) => {}
            told => panic!("what was just signed is {told:?}: {carrier:?}"),
        }
        changed(signed, carrier, *change);
    }
}

fn secret() -> Secret {
    Secret::new("fuzz-secret")
}

#[derive(Clone)]
struct Whole {
    method: String,
    target: Target,
    query: Query,
    headers: HeaderList,
}

/// How a request was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    V1Header,
    V4Header,
    V1Query,
    V4Query,
}

impl Whole {
    fn parts(&self) -> RequestParts<'_> {
        RequestParts {
            method: &self.method,
            target: &self.target,
            query: &self.query,
            headers: &self.headers,
        }
    }

    /// `None` for a request that claims nothing.
    fn verify(&self, secret: &Secret, now: i64) -> Option<Result<Verified, auth::AuthError>> {
        let parts = self.parts();
        match auth::detect(&parts) {
            Ok(Signed::Claimed(claim)) => {
                let lookup = match claim.access_key_id() == ID {
                    true => Lookup::Found { secret, signing_key: None },
                    false => Lookup::Unknown,
                };
                Some(auth::verify(&claim, &parts, lookup, now, &VerifyOptions::default()))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// The request with a signature, unless it has something already that signatures are made of.
    fn signed(&self, scheme: u8) -> Option<(Whole, Way)> {
        let reserved = |name: &str| {
            let name = name.to_ascii_lowercase();
            matches!(
                &name[..],
                "authorization"
                    | "date"
                    | "x-oss-date"
                    | "x-oss-content-sha256"
                    | "expires"
                    | "signature"
                    | "ossaccesskeyid"
                    | "security-token"
            ) || [
                "x-oss-signature",
                "x-oss-credential",
                "x-oss-additional",
                "x-oss-security",
                "x-oss-expires",
            ]
            .iter()
            .any(|start| name.starts_with(start))
        };
        if self.headers.iter().any(|(name, _)| reserved(name))
            || self.query.iter().any(|one| one.name_str().is_none_or(reserved))
        {
            return None;
        }
        let secret = secret();
        let mut signer = Signer::new(ID, &secret, "cn-hangzhou");
        if let Some(id) = &self.target.cloudbox {
            (signer.product, signer.region) = ("oss-cloudbox", id);
        }
        let (mut signed, parts) = (self.clone(), self.parts());
        let way = match scheme % 4 {
            0 => {
                for (name, value) in auth::sign_v1_header(&parts, &signer, NOW) {
                    signed.headers.push(name, value);
                }
                Way::V1Header
            }
            1 => {
                for (name, value) in auth::sign_v4_header(&parts, &signer, &["range"], NOW) {
                    signed.headers.push(name, value);
                }
                Way::V4Header
            }
            2 => {
                signed.query = auth::presign_v1(&parts, &signer, NOW + 60);
                Way::V1Query
            }
            _ => {
                signed.query = auth::presign_v4(&parts, &signer, &[], NOW, 60);
                Way::V4Query
            }
        };
        Some((signed, way))
    }
}

/// Changes one thing that the signature covers, and looks that it no longer holds.
fn changed(signed: Whole, way: Way, change: u8) {
    let mut other = signed.clone();
    let (mut secret, mut now) = (secret(), NOW);
    match change % 9 {
        0 => secret = Secret::new("another-secret"),
        1 => other.method = format!("{}X", other.method),
        // Without a bucket there is no key, in any request.
        2 if other.target.bucket.is_none() => return,
        2 => other.target.key.get_or_insert_default().push(b'x'),
        3 => other.target.bucket.get_or_insert_default().push(b'x'),
        4 => other.headers.push("x-oss-meta-fuzz", "1"),
        5 => {
            // V1 signs no other parameters than sub-resources and those of `response-`.
            let name =
                if matches!(way, Way::V1Header | Way::V1Query) { "uploadId" } else { "fuzz" };
            if other.query.has(name) {
                return;
            }
            other.query.push(name, "1");
        }
        6 => now += 16 * 60,
        7 => {
            let mut headers = HeaderList::new();
            let mut touched = false;
            for (name, value) in other.headers.iter() {
                let mut value = value.to_vec();
                if !touched && matches!(name, "content-type" | "content-md5") && !value.is_empty() {
                    value.push(b'x');
                    touched = true;
                }
                headers.push(name, value);
            }
            if !touched {
                return;
            }
            other.headers = headers;
        }
        _ => {
            if other.headers.iter().any(|(name, _)| name == "content-type") {
                return;
            }
            other.headers.push("content-type", "text/x-changed");
        }
    }
    if let Some(Ok(verified)) = other.verify(&secret, now) {
        panic!("{way:?}: change {} is not noticed: {verified:?}", change % 9);
    }
}
