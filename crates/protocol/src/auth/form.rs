//! PostObject: the claim that a form carries, and its signature over the policy text.
//!
//! The policy is signed as the base64 text that was sent, so it is decoded only after its signature held; what it demands is
//! checked by [`Policy`].

use super::detect::{self, Carrier, Scope, V4_WORD, Version};
use super::error::{AuthError, SignatureMismatch};
use super::policy::Policy;
use super::verify::{self, Lookup, VerifyOptions};
use super::{MAX_V4_VALIDITY_SECONDS, Secret, SigningKey, key};
use crate::time;
use std::fmt;

/// The fields of a form that come before the file, in order. Names are compared without regard to case, values with.
#[derive(Clone, Default)]
pub struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// No fields.
    pub fn new() -> FormFields {
        FormFields::default()
    }

    /// Adds a field as received. The caller bounds count and size.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// The first value of a name, in whatever case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// All fields in order, names in lower case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Shows names only: values may hold signatures and tokens.
impl fmt::Debug for FormFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// What a form says about its sender.
#[derive(Clone, Debug)]
pub enum FormSigned<'a> {
    /// Nothing; good only where anyone may write.
    Anonymous,
    /// A claim to be verified.
    Claimed(FormClaim<'a>),
}

/// The claim of a form. It borrows from the fields.
#[derive(Clone)]
pub struct FormClaim<'a> {
    access_key_id: &'a str,
    token: Option<&'a str>,
    /// Base64, as sent.
    policy: &'a str,
    signature: &'a str,
    /// V4: the scope, and the second of `x-oss-date`.
    v4: Option<(Scope<'a>, i64)>,
}

impl fmt::Debug for FormClaim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormClaim")
            .field("access_key_id", &self.access_key_id)
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

impl<'a> FormClaim<'a> {
    /// The id to look up, together with [`FormClaim::token`].
    pub fn access_key_id(&self) -> &'a str {
        self.access_key_id
    }

    /// The STS token, if one came along.
    pub fn token(&self) -> Option<&'a str> {
        self.token
    }

    /// V1 or V4.
    pub fn version(&self) -> Version {
        if self.v4.is_some() { Version::V4 } else { Version::V1 }
    }

    /// The V4 scope.
    pub fn scope(&self) -> Option<Scope<'a>> {
        self.v4.map(|(scope, _)| scope)
    }

    fn check_time(&self, now: i64, options: &VerifyOptions) -> Result<(), AuthError> {
        let Some((scope, date)) = self.v4 else {
            return Ok(());
        };
        if date > now.saturating_add(options.max_skew_seconds) {
            return Err(AuthError::NotYetValid);
        }
        verify::expired(date.saturating_add(MAX_V4_VALIDITY_SECONDS), now)?;
        if scope.day != time::compact_day(date) {
            return Err(AuthError::ScopeDay(Carrier::Query));
        }
        Ok(())
    }
}

/// Finds the claim of a form: V4 if it has any of V4's own fields, else V1 if it has any of V1's, else none.
pub fn detect_form(fields: &FormFields) -> Result<FormSigned<'_>, AuthError> {
    let has_any = |names: &[&str]| names.iter().any(|name| fields.get(name).is_some());
    if has_any(&["x-oss-signature-version", "x-oss-credential", "x-oss-signature"]) {
        v4(fields).map(FormSigned::Claimed)
    } else if has_any(&["OSSAccessKeyId", "policy", "Signature"]) {
        v1(fields).map(FormSigned::Claimed)
    } else {
        Ok(FormSigned::Anonymous)
    }
}

fn v1(fields: &FormFields) -> Result<FormClaim<'_>, AuthError> {
    let access_key_id = filled(fields, "OSSAccessKeyId").ok_or(AuthError::FormWithoutKey)?;
    Ok(FormClaim {
        access_key_id,
        token: filled(fields, "x-oss-security-token"),
        signature: signature(fields, "Signature")?,
        policy: filled(fields, "policy").ok_or(AuthError::FormWithoutPolicy)?,
        v4: None,
    })
}

fn v4(fields: &FormFields) -> Result<FormClaim<'_>, AuthError> {
    let invalid = |field| AuthError::FormField { field };
    if fields.get("x-oss-signature-version") != Some(V4_WORD) {
        return Err(invalid("x-oss-signature-version"));
    }
    let credential = filled(fields, "x-oss-credential").ok_or(AuthError::FormWithoutKey)?;
    let (access_key_id, scope) = detect::split_credential(credential)
        .filter(|(_, scope)| detect::is_day(scope.day))
        .ok_or(invalid("x-oss-credential"))?;
    let date =
        fields.get("x-oss-date").and_then(time::parse_compact).ok_or(invalid("x-oss-date"))?;
    Ok(FormClaim {
        access_key_id,
        token: filled(fields, "x-oss-security-token"),
        signature: signature(fields, "x-oss-signature")?,
        policy: filled(fields, "policy").ok_or(AuthError::FormWithoutPolicy)?,
        v4: Some((scope, date)),
    })
}

fn filled<'a>(fields: &'a FormFields, name: &str) -> Option<&'a str> {
    fields.get(name).filter(|value| !value.is_empty())
}

fn signature<'a>(fields: &'a FormFields, name: &str) -> Result<&'a str, AuthError> {
    let value = fields.get(name);
    value
        .filter(|value| !value.is_empty())
        .ok_or(AuthError::FormWithoutSignature { present: value.is_some() })
}

/// Checks the claim of a form as [`super::verify`] does for a request, and returns the policy that was signed.
///
/// The policy itself is not applied yet: see [`Policy::check`] and [`Policy::check_length`]. `cloudbox` is that of the target.
pub fn verify_form(
    claim: &FormClaim<'_>,
    cloudbox: Option<&str>,
    lookup: Lookup<'_>,
    now: i64,
    options: &VerifyOptions,
) -> Result<Policy, AuthError> {
    let (secret, signing_key) = verify::admit(lookup, claim.access_key_id, || {
        claim.check_time(now, options)?;
        claim.scope().map_or(Ok(()), |scope| verify::check_place(&scope, cloudbox, options))
    })?;
    let computed = match claim.scope() {
        None => key::hmac_sha1_base64(secret.expose(), claim.policy.as_bytes()),
        Some(scope) => {
            let derive = || SigningKey::derive(secret, scope.day, scope.region, scope.product);
            signing_key.cloned().unwrap_or_else(derive).sign(claim.policy.as_bytes())
        }
    };
    if !key::matches(&computed, claim.signature) {
        return Err(AuthError::SignatureMismatch(Box::new(SignatureMismatch {
            version: claim.version(),
            access_key_id: claim.access_key_id.to_owned(),
            signature_provided: claim.signature.to_owned(),
            string_to_sign: claim.policy.as_bytes().to_vec(),
            canonical_request: None,
        })));
    }
    Policy::parse(claim.policy)
}

/// The V1 signature of a form over the base64 text of its policy, for the `Signature` field.
pub fn sign_form_v1(secret: &Secret, policy: &str) -> String {
    key::hmac_sha1_base64(secret.expose(), policy.as_bytes())
}

/// The fields that a V4 policy must demand exactly.
pub(super) const V4_MANDATORY: [&str; 3] =
    ["x-oss-signature-version", "x-oss-credential", "x-oss-date"];
