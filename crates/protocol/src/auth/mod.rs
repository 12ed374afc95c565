//! Signatures: who sent a request, as the request itself claims it, and whether the claim holds.
//!
//! Owns the canonical forms and signatures V1, V2 and V4 in headers, URLs and forms, the RPC signatures of STS and RAM, the
//! grammar of form policies, and the signing side of the same. It must not know where credentials are stored, what time it
//! is, or what a caller may do: the caller of this module looks the key up between [`detect`] and [`verify`].
//!
//! The order of checks is the protocol's: the request parses, the scheme is known, the key id is known, date or expiry, token,
//! signature. Only the last two need a secret. Whatever an attacker sends, the work done is linear in the size of the request,
//! and every comparison with a computed signature takes the same time wherever the two differ.
//!
//! Leniencies (forms that some official client signs and others do not) are tried only after the strict form failed, and
//! reported in [`Verified::leniency`].
//!
//! | file | owns |
//! |---|---|
//! | `request.rs` | the borrowed view of a request, headers behind a trait |
//! | `detect.rs` | which scheme, and the fields of the claim |
//! | `canonical.rs` | the texts that are signed |
//! | `verify.rs` | the order of checks, the leniencies |
//! | `sign.rs` | headers and URLs for a client |
//! | `key.rs` | secrets, derived keys, codes, comparison |
//! | `form.rs`, `policy.rs` | PostObject |
//! | `rpc.rs` | RPC 1.0 and ACS3 |
//! | `error.rs` | refusals and what each tells the client |
//!
//! ```
//! use ossia_protocol::addressing::Target;
//! use ossia_protocol::auth::{self, HeaderList, Lookup, RequestParts, Secret, Signed, Signer, VerifyOptions};
//! use ossia_protocol::query::Query;
//!
//! let now = 1_768_465_845;
//! let secret = Secret::new("TestAccessKeySecret");
//! let target = Target::new(Some("logs"), Some("app.log"));
//! let query = Query::parse(b"append&position=0").unwrap();
//!
//! // A client signs; the headers that it must send come back.
//! let mut headers = HeaderList::new();
//! headers.push("content-type", "text/plain");
//! let signer = Signer::new("LTAItest", &secret, "cn-hangzhou");
//! let request = RequestParts { method: "POST", target: &target, query: &query, headers: &headers };
//! let signed = auth::sign_v4_header(&request, &signer, &[], now);
//! for (name, value) in &signed {
//!     headers.push(name, value);
//! }
//!
//! // A server reads the claim, looks the key up, and verifies.
//! let request = RequestParts { method: "POST", target: &target, query: &query, headers: &headers };
//! let Signed::Claimed(claim) = auth::detect(&request).unwrap() else { panic!("it is signed") };
//! assert_eq!((claim.access_key_id(), claim.token()), ("LTAItest", None));
//! let lookup = Lookup::Found { secret: &secret, signing_key: None };
//! let verified = auth::verify(&claim, &request, lookup, now, &VerifyOptions::default()).unwrap();
//! assert_eq!(verified.leniency, None);
//! ```

mod canonical;
mod detect;
mod error;
mod form;
mod key;
mod policy;
mod request;
mod rpc;
mod sign;
mod verify;

#[cfg(test)]
mod tests;

pub use detect::{Carrier, Claim, Scope, Signed, Version, detect};
pub use error::{AuthError, SignatureMismatch};
pub use form::{FormClaim, FormFields, FormSigned, detect_form, sign_form_v1, verify_form};
pub use key::{Secret, SigningKey};
pub use policy::Policy;
pub use request::{HeaderList, Headers, RequestParts};
pub use rpc::{RpcClaim, RpcError, detect_rpc, is_rpc, sign_rpc, verify_rpc};
pub use sign::{Signer, presign_v1, presign_v4, sign_v1_header, sign_v4_header};
pub use verify::{Leniency, Lookup, TokenFault, Verified, VerifyOptions, verify};

/// How far a request's time may be from the server's, in seconds, either way.
pub const MAX_SKEW_SECONDS: i64 = 900;

/// The longest validity of a V4 URL, and the greatest age of a V4 form's date, in seconds: seven days.
pub const MAX_V4_VALIDITY_SECONDS: i64 = 604_800;
