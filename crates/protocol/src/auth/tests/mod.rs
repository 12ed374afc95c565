//! Tests of signing and verifying against each other; the official clients' requests are in `tests/vectors.rs`.

mod forms;
mod requests;
mod rpc;
mod schemes;

use super::*;
use crate::addressing::Target;
use crate::query::Query;

pub(super) const NOW: i64 = 1_768_465_845;
pub(super) const ID: &str = "LTAI5tTestAccessKeyId01";

/// A request that owns its parts.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) method: String,
    pub(super) target: Target,
    pub(super) query: Query,
    pub(super) headers: HeaderList,
}

impl Made {
    pub(super) fn new(method: &str, query: &str, headers: &[(&str, &str)]) -> Made {
        Made {
            method: method.to_owned(),
            target: Target::new(Some("examplebucket"), Some("log/app.log")),
            query: Query::parse(query.as_bytes()).unwrap(),
            headers: headers.iter().copied().collect(),
        }
    }

    pub(super) fn parts(&self) -> RequestParts<'_> {
        RequestParts {
            method: &self.method,
            target: &self.target,
            query: &self.query,
            headers: &self.headers,
        }
    }

    /// Adds what a header signer returned.
    pub(super) fn with(mut self, lines: Vec<(&'static str, String)>) -> Made {
        for (name, value) in lines {
            self.headers.push(name, value);
        }
        self
    }

    pub(super) fn verify(&self, secret: &Secret, now: i64) -> Result<Verified, AuthError> {
        self.verify_with(Lookup::Found { secret, signing_key: None }, now)
    }

    pub(super) fn verify_with(&self, lookup: Lookup<'_>, now: i64) -> Result<Verified, AuthError> {
        match detect(&self.parts())? {
            Signed::Claimed(claim) => {
                verify(&claim, &self.parts(), lookup, now, &VerifyOptions::default())
            }
            other => panic!("not a claim: {other:?}"),
        }
    }
}

pub(super) fn secret() -> Secret {
    Secret::new("TestAccessKeySecret0123456789ab")
}

pub(super) fn signer(secret: &Secret) -> Signer<'_> {
    Signer::new(ID, secret, "cn-hangzhou")
}

/// The error as `status code ec`, `-` for no EC.
pub(super) fn brief(error: &AuthError) -> String {
    let code = error.code();
    format!("{} {} {}", code.status(), code.as_str(), error.ec().unwrap_or("-"))
}
