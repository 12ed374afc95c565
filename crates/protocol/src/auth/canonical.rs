//! The texts that are signed. One place for verifier and signer, so that the two cannot drift apart.
//!
//! Everything is bytes: header values and decoded names may be anything. A text is built once into one buffer.

use super::detect::{Carrier, UNSIGNED_PAYLOAD, V4_WORD};
use super::request::{Headers, RequestParts};
use super::{SigningKey, key};
use crate::query::{Parameter, Query};
use crate::uri;
use std::borrow::Cow;

/// The parameters that belong to the canonical resource of V1, beside everything that starts with `x-oss-`. In byte order.
///
/// The union of what the official clients sign; `regions` is left to a leniency, since they disagree about it.
#[rustfmt::skip]
const V1_PARAMETERS: &[&str] = &[
    "accessPoint", "accessPointConfigForObjectProcess", "accessPointForObjectProcess", "accessPointPolicy",
    "accessPointPolicyForObjectProcess", "acl", "append", "asyncFetch", "bucketArchiveDirectRead", "bucketInfo", "callback",
    "callback-var", "cleanRestoredObject", "cloudboxes", "cname", "comp", "continuation-token", "cors", "dataPipeline", "delete",
    "encryption", "endTime", "group", "httpsConfig", "img", "inventory", "inventoryId", "legalHold", "lifecycle", "link", "live",
    "location", "logging", "metaQuery", "objectInfo", "objectMeta", "objectWorm", "overwriteConfig", "partNumber", "policy",
    "policyStatus", "position", "processConfiguration", "publicAccessBlock", "qos", "qosInfo", "qosRequester", "quota", "redundancyTransition",
    "referer", "regionList", "replication", "replicationLocation", "replicationProgress", "requestPayment", "requesterQosInfo",
    "resourceGroup", "resourcePool", "resourcePoolBuckets", "resourcePoolInfo", "response-cache-control",
    "response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type",
    "response-expires", "responseHeader", "restore", "retention", "rtc", "seal", "security-token", "sequential", "startTime",
    "stat", "status", "style", "styleName", "symlink", "tagging", "transferAcceleration", "udf", "udfApplication",
    "udfApplicationLog", "udfId", "udfImage", "udfImageDesc", "udfName", "uploadId", "uploads", "userDefinedLogFieldsConfig",
    "versionId", "versioning", "versions", "vod", "website", "withHashContext", "worm", "wormExtend", "wormId",
];

/// Deviations from the strict form of V1 that some client signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct V1Variant {
    pub(super) without_oss_parameters: bool,
    pub(super) with_regions: bool,
    /// `key=` where the wire had `key=`.
    pub(super) keep_equals: bool,
    /// `/bucket` where strictly `/bucket/` is the resource.
    pub(super) bare_bucket: bool,
}

/// Deviations from the strict form of V4 that some client signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct V4Variant {
    /// `key=` where the wire had `key=`.
    pub(super) keep_equals: bool,
    /// `content-type:` and `content-md5:` where the headers came empty.
    pub(super) keep_empty_headers: bool,
}

/// Whether V4 signs this header even if it is not listed.
pub(super) fn is_always_signed(name: &str) -> bool {
    name.starts_with("x-oss-") || name == "content-type" || name == "content-md5"
}

/// The header lines that take part in a signature, sorted by name; lines of one name in the order received.
struct Lines<'a>(Vec<(&'a str, &'a [u8])>);

impl<'a> Lines<'a> {
    /// `additional` must be sorted. A listed name that the request lacks counts as an empty value.
    fn collect(headers: &'a dyn Headers, additional: &'a [Cow<'_, str>]) -> Lines<'a> {
        let mut lines = Vec::with_capacity(8);
        headers.for_each(&mut |name, value| {
            let listed = || additional.binary_search_by(|one| (**one).cmp(name)).is_ok();
            if is_always_signed(name) || listed() {
                lines.push((name, value.trim_ascii()));
            }
        });
        for name in additional {
            if !lines.iter().any(|(present, _)| present == name) {
                lines.push((name, b"".as_slice()));
            }
        }
        lines.sort_by_key(|(name, _)| *name);
        Lines(lines)
    }

    /// The values of one name, joined with commas.
    fn write_value(&self, out: &mut Vec<u8>, name: &str) {
        let values = self.0.iter().filter(|(line, _)| *line == name);
        for (index, (_, value)) in values.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(value);
        }
    }

    /// `name:value` and a line end for every name that is wanted, repeated ones joined with commas.
    fn write(&self, out: &mut Vec<u8>, wanted: impl Fn(&str, &[u8]) -> bool) {
        let mut previous = None;
        for (name, value) in self.0.iter().filter(|(name, value)| wanted(name, value)) {
            if previous == Some(name) {
                // Undo the line end: this is one more value of the same name.
                out.pop();
                out.push(b',');
            } else {
                out.extend_from_slice(name.as_bytes());
                out.push(b':');
                previous = Some(name);
            }
            out.extend_from_slice(value);
            out.push(b'\n');
        }
    }
}

/// `METHOD\nContent-MD5\nContent-Type\nDATE\n`, the head of V1 and V2.
fn write_head(out: &mut Vec<u8>, method: &str, lines: &Lines<'_>, timestamp: &str) {
    out.extend_from_slice(method.as_bytes());
    out.push(b'\n');
    for name in ["content-md5", "content-type"] {
        lines.write_value(out, name);
        out.push(b'\n');
    }
    out.extend_from_slice(timestamp.as_bytes());
    out.push(b'\n');
}

/// The string to sign of V1; `timestamp` is the date line, or the `Expires` text of a URL.
pub(super) fn v1_string(
    request: &RequestParts<'_>,
    timestamp: &str,
    variant: V1Variant,
) -> Vec<u8> {
    let lines = Lines::collect(request.headers, &[]);
    let mut out = Vec::with_capacity(256);
    write_head(&mut out, request.method, &lines, timestamp);
    lines.write(&mut out, |name, _| name.starts_with("x-oss-"));
    request.target.write_resource(&mut out);
    if variant.bare_bucket && request.target.bucket.is_some() && request.target.key.is_none() {
        // The slash that ends a bucket's resource.
        out.pop();
    }
    write_v1_parameters(&mut out, request.query, variant);
    out
}

/// The signed parameters, decoded, sorted by name; of a repeated one the first, which is also the one that counts.
fn write_v1_parameters(out: &mut Vec<u8>, query: &Query, variant: V1Variant) {
    let signed = |name: &[u8]| {
        if name.starts_with(b"x-oss-") {
            !variant.without_oss_parameters
        } else {
            is_v1_parameter(name) || (variant.with_regions && name == b"regions")
        }
    };
    let mut parameters: Vec<Parameter<'_>> = query.iter().filter(|one| signed(one.name)).collect();
    parameters.sort_by_key(|one| one.name);
    parameters.dedup_by_key(|one| one.name);
    for (index, parameter) in parameters.iter().enumerate() {
        out.push(if index == 0 { b'?' } else { b'&' });
        out.extend_from_slice(parameter.name);
        if !parameter.value.is_empty() || (variant.keep_equals && parameter.has_equals) {
            out.push(b'=');
            out.extend_from_slice(parameter.value);
        }
    }
}

fn is_v1_parameter(name: &[u8]) -> bool {
    V1_PARAMETERS.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
}

/// The string to sign of V2.
pub(super) fn v2_string(
    request: &RequestParts<'_>,
    timestamp: &str,
    additional: &[Cow<'_, str>],
) -> Vec<u8> {
    let lines = Lines::collect(request.headers, additional);
    let listed = |name: &str| additional.binary_search_by(|one| (**one).cmp(name)).is_ok();
    let mut out = Vec::with_capacity(256);
    write_head(&mut out, request.method, &lines, timestamp);
    lines.write(&mut out, |name, _| name.starts_with("x-oss-") || listed(name));
    write_joined(&mut out, additional);
    out.push(b'\n');
    // Unlike V4, slashes are encoded too.
    uri::encode_into(&mut out, &request.target.resource(), false);
    if !request.query.is_empty() {
        let mark = out.len();
        out.push(b'?');
        write_query(&mut out, request.query, Some("x-oss-signature"), KeepEquals::Never);
        if out.len() == mark + 1 {
            out.truncate(mark);
        }
    }
    out
}

/// The canonical request of V4.
pub(super) fn v4_request(
    request: &RequestParts<'_>,
    carrier: Carrier,
    additional: &[Cow<'_, str>],
    variant: V4Variant,
) -> Vec<u8> {
    let lines = Lines::collect(request.headers, additional);
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    uri::encode_into(&mut out, &request.target.resource(), true);
    out.push(b'\n');
    let skip = (carrier == Carrier::Query).then_some("x-oss-signature");
    let keep = if variant.keep_equals { KeepEquals::AsReceived } else { KeepEquals::Never };
    write_query(&mut out, request.query, skip, keep);
    out.push(b'\n');
    lines.write(&mut out, |name, value| {
        variant.keep_empty_headers
            || !value.is_empty()
            || !matches!(name, "content-type" | "content-md5")
    });
    out.push(b'\n');
    write_joined(&mut out, additional);
    out.push(b'\n');
    // Any other value was refused when the claim was parsed, and a signer sends no other.
    out.extend_from_slice(UNSIGNED_PAYLOAD.as_bytes());
    out
}

/// The string to sign of V4.
pub(super) fn v4_string(timestamp: &str, scope: &str, canonical_request: &[u8]) -> Vec<u8> {
    let digest = key::sha256_hex(canonical_request);
    [V4_WORD, timestamp, scope, &digest].join("\n").into_bytes()
}

/// The V4 signature of a canonical request, with the string that was signed.
pub(super) fn v4_sign(
    signing_key: &SigningKey,
    timestamp: &str,
    scope: &str,
    canonical_request: &[u8],
) -> (Vec<u8>, String) {
    let string_to_sign = v4_string(timestamp, scope, canonical_request);
    let signature = signing_key.sign(&string_to_sign);
    (string_to_sign, signature)
}

fn write_joined(out: &mut Vec<u8>, names: &[Cow<'_, str>]) {
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(b';');
        }
        out.extend_from_slice(name.as_bytes());
    }
}

/// Whether a parameter without a value is written with `=`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeepEquals {
    Never,
    AsReceived,
    Always,
}

/// All parameters but `skip`, encoded, sorted by encoded name, joined with `&`.
pub(super) fn write_query(out: &mut Vec<u8>, query: &Query, skip: Option<&str>, keep: KeepEquals) {
    let mut text = Vec::with_capacity(128);
    // Start, end of the name, end; within `text`.
    let mut pieces: Vec<(usize, usize, usize)> = Vec::with_capacity(query.len());
    for parameter in query.iter().filter(|one| skip.is_none_or(|skip| one.name != skip.as_bytes()))
    {
        let start = text.len();
        uri::encode_into(&mut text, parameter.name, false);
        let name_end = text.len();
        let equals = match keep {
            KeepEquals::Never => false,
            KeepEquals::AsReceived => parameter.has_equals,
            KeepEquals::Always => true,
        };
        if !parameter.value.is_empty() || equals {
            text.push(b'=');
            uri::encode_into(&mut text, parameter.value, false);
        }
        pieces.push((start, name_end, text.len()));
    }
    pieces.sort_by(|one, other| text[one.0..one.1].cmp(&text[other.0..other.1]));
    for (index, (start, _, end)) in pieces.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(&text[*start..*end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_parameters_are_in_byte_order_for_the_search() {
        assert!(V1_PARAMETERS.is_sorted());
        for name in [
            "append",
            "position",
            "seal",
            "uploadId",
            "wormId",
            "security-token",
            "requesterQosInfo",
        ] {
            assert!(is_v1_parameter(name.as_bytes()), "{name}");
        }
        for name in
            ["prefix", "marker", "max-keys", "list-type", "Append", "regions", "accessmonitor", ""]
        {
            assert!(!is_v1_parameter(name.as_bytes()), "{name}");
        }
    }
}
