//! The signing side: headers and URLs for a client, from the same canonical texts that the server verifies.

use super::canonical::{self, V1Variant, V4Variant};
use super::detect::{Carrier, UNSIGNED_PAYLOAD, V4_WORD};
use super::request::{Overlay, RequestParts};
use super::{Secret, SigningKey, key};
use crate::query::Query;
use crate::time;
use std::borrow::Cow;
use std::fmt;

/// Who signs, and for where.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// The access key id.
    pub access_key_id: &'a str,
    /// Its secret.
    pub secret: &'a Secret,
    /// The STS token of a temporary key.
    pub token: Option<&'a str>,
    /// The region of V4 scopes, such as `cn-hangzhou`.
    pub region: &'a str,
    /// The product of V4 scopes: `oss`, or `oss-cloudbox` with the id of a cloud box as region.
    pub product: &'a str,
}

impl fmt::Debug for Signer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("access_key_id", &self.access_key_id)
            .field("region", &self.region)
            .field("product", &self.product)
            .finish_non_exhaustive()
    }
}

impl<'a> Signer<'a> {
    /// A long-term key for product `oss`.
    pub fn new(access_key_id: &'a str, secret: &'a Secret, region: &'a str) -> Signer<'a> {
        Signer { access_key_id, secret, token: None, region, product: "oss" }
    }

    /// The same with the token of a temporary key.
    pub fn with_token(self, token: Option<&'a str>) -> Signer<'a> {
        Signer { token, ..self }
    }

    fn scope(&self, day: &str) -> String {
        format!("{day}/{}/{}/{}", self.region, self.product, key::V4_TERMINATOR)
    }

    /// The V4 signature of a request as it stands, its lines and parameters complete.
    fn v4_signature(
        &self,
        request: &RequestParts<'_>,
        carrier: Carrier,
        additional: &[Cow<'_, str>],
        now: i64,
    ) -> String {
        let day = time::compact_day(now);
        let signing_key = SigningKey::derive(self.secret, &day, self.region, self.product);
        let canonical = canonical::v4_request(request, carrier, additional, V4Variant::default());
        canonical::v4_sign(&signing_key, &time::compact(now), &self.scope(&day), &canonical).1
    }
}

/// A header line to send along.
type Line = (&'static str, String);

/// Signs with V1 in the header. Returns the lines to add: `date`, `x-oss-security-token` with a token, `authorization`.
///
/// The request must not have any of these yet, and every `x-oss-`, `content-type` and `content-md5` line must already be there.
/// `now` is in Unix seconds.
pub fn sign_v1_header(request: &RequestParts<'_>, signer: &Signer<'_>, now: i64) -> Vec<Line> {
    let date = time::http_date(now);
    let mut lines: Vec<Line> = vec![("date", date.clone())];
    lines.extend(signer.token.map(|token| ("x-oss-security-token", token.to_owned())));
    let overlay = Overlay { base: request.headers, extra: &lines };
    let complete = RequestParts { headers: &overlay, ..*request };
    let string = canonical::v1_string(&complete, &date, V1Variant::default());
    let signature = key::hmac_sha1_base64(signer.secret.expose(), &string);
    lines.push(("authorization", format!("OSS {}:{signature}", signer.access_key_id)));
    lines
}

/// Signs with V4 in the header. Returns the lines to add: `x-oss-date`, `x-oss-content-sha256`, `x-oss-security-token` with a
/// token, `authorization`.
///
/// `additional` names headers to sign beside those that always are (`host`, `range`, …), in any order and case; the request
/// must have them. Otherwise as [`sign_v1_header`].
pub fn sign_v4_header(
    request: &RequestParts<'_>,
    signer: &Signer<'_>,
    additional: &[&str],
    now: i64,
) -> Vec<Line> {
    let additional = additional_names(additional);
    let mut lines: Vec<Line> = vec![
        ("x-oss-date", time::compact(now)),
        ("x-oss-content-sha256", UNSIGNED_PAYLOAD.to_owned()),
    ];
    lines.extend(signer.token.map(|token| ("x-oss-security-token", token.to_owned())));
    let overlay = Overlay { base: request.headers, extra: &lines };
    let complete = RequestParts { headers: &overlay, ..*request };
    let signature = signer.v4_signature(&complete, Carrier::Header, &additional, now);
    let listed = match additional.as_slice() {
        [] => String::new(),
        names => format!("AdditionalHeaders={},", names.join(";")),
    };
    let scope = signer.scope(&time::compact_day(now));
    let id = signer.access_key_id;
    lines.push((
        "authorization",
        format!("{V4_WORD} Credential={id}/{scope},{listed}Signature={signature}"),
    ));
    lines
}

/// Signs a URL with V1, good up to and including the second `expires` (Unix time). Returns the whole query.
///
/// `content-type`, `content-md5` and `x-oss-` headers of the request are signed: who uses the URL must send exactly these.
pub fn presign_v1(request: &RequestParts<'_>, signer: &Signer<'_>, expires: i64) -> Query {
    let mut query = request.query.clone();
    if let Some(token) = signer.token {
        query.push("security-token", token);
    }
    let expires = expires.to_string();
    let complete = RequestParts { query: &query, ..*request };
    let string = canonical::v1_string(&complete, &expires, V1Variant::default());
    let signature = key::hmac_sha1_base64(signer.secret.expose(), &string);
    query.push("OSSAccessKeyId", signer.access_key_id);
    query.push("Expires", &expires);
    query.push("Signature", &signature);
    query
}

/// Signs a URL with V4, good for `seconds` (1 to 604,800; a server refuses others) from `now`. Returns the whole query.
///
/// Headers and `additional` as in [`presign_v1`] and [`sign_v4_header`].
pub fn presign_v4(
    request: &RequestParts<'_>,
    signer: &Signer<'_>,
    additional: &[&str],
    now: i64,
    seconds: i64,
) -> Query {
    let additional = additional_names(additional);
    let scope = signer.scope(&time::compact_day(now));
    let mut query = request.query.clone();
    query.push("x-oss-signature-version", V4_WORD);
    query.push("x-oss-credential", &format!("{}/{scope}", signer.access_key_id));
    query.push("x-oss-date", &time::compact(now));
    query.push("x-oss-expires", &seconds.to_string());
    if !additional.is_empty() {
        query.push("x-oss-additional-headers", &additional.join(";"));
    }
    if let Some(token) = signer.token {
        query.push("x-oss-security-token", token);
    }
    let complete = RequestParts { query: &query, ..*request };
    let signature = signer.v4_signature(&complete, Carrier::Query, &additional, now);
    query.push("x-oss-signature", &signature);
    query
}

fn additional_names(names: &[&str]) -> Vec<Cow<'static, str>> {
    let mut names: Vec<Cow<'static, str>> =
        names.iter().map(|name| Cow::Owned(name.to_ascii_lowercase())).collect();
    names.retain(|name| !canonical::is_always_signed(name));
    names.sort_unstable();
    names.dedup();
    names
}
