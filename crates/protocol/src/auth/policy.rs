//! The policy of a form upload: what its signer allows the sender to upload.
//!
//! ```text
//! policy    = { "expiration": "2026-01-15T09:30:45.000Z", "conditions": [ condition, ... ] }
//! condition = { "field": "value" }
//!           | ["eq", "$field", "value"] | ["starts-with", "$field", "prefix"]
//!           | ["in", "$field", ["a", "b"]] | ["not-in", "$field", ["a", "b"]]
//!           | ["content-length-range", min, max]
//! ```
//!
//! Field names are compared without regard to case. A condition on a field that the form lacks fails; a field without a
//! condition is allowed. Values are tested as sent, before `${filename}` is expanded. `\$` is a literal dollar.

use super::error::AuthError;
use super::form::{FormClaim, FormFields, V4_MANDATORY};
use crate::time;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::borrow::Cow;

/// A parsed policy. What it demands holds only once [`Policy::check`] and [`Policy::check_length`] have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Unix seconds.
    expiration: i64,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    /// The condition as JSON, for the message when it fails.
    text: String,
    test: Test,
}

/// Field names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Equals { field: String, value: String },
    StartsWith { field: String, prefix: String },
    In { field: String, values: Vec<String> },
    NotIn { field: String, values: Vec<String> },
    Length { min: u64, max: u64 },
}

impl Policy {
    /// Parses the base64 text of the `policy` field.
    ///
    /// # Errors
    /// [`AuthError::InvalidPolicy`] for anything that is not of the grammar.
    pub fn parse(base64: &str) -> Result<Policy, AuthError> {
        let compact: Vec<u8> = base64.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let bytes = STANDARD.decode(compact).map_err(|_| invalid("Policy is not base64."))?;
        let text = String::from_utf8(bytes).map_err(|_| invalid("Policy is not UTF-8."))?;
        let json: Value = serde_json::from_str(&unescape_dollars(&text))
            .map_err(|error| invalid(format!("Invalid JSON: {error}.")))?;
        let expiration = json
            .get("expiration")
            .and_then(Value::as_str)
            .and_then(time::parse_iso8601)
            .ok_or_else(|| invalid("Policy has no valid expiration."))?;
        let conditions = match json.get("conditions").and_then(Value::as_array) {
            Some(conditions) if !conditions.is_empty() => conditions,
            _ => return Err(invalid("Policy has no conditions.")),
        };
        let conditions = conditions.iter().map(condition).collect::<Result<_, _>>()?;
        Ok(Policy { expiration, conditions })
    }

    /// Checks expiration and every condition but the length of the file. `bucket` is the bucket of the request, whatever the
    /// form says; `now` is in Unix seconds.
    ///
    /// # Errors
    /// [`AuthError::PolicyExpired`], or [`AuthError::PolicyCondition`] with the first condition that fails. A V4 claim must be
    /// demanded by its own policy, with its date, credential and token.
    pub fn check(
        &self,
        claim: &FormClaim<'_>,
        bucket: &str,
        fields: &FormFields,
        now: i64,
    ) -> Result<(), AuthError> {
        if now > self.expiration {
            return Err(AuthError::PolicyExpired);
        }
        let value_of =
            |field: &str| if field == "bucket" { Some(bucket) } else { fields.get(field) };
        if let Some(failed) = self.conditions.iter().find(|one| !one.test.holds(&value_of)) {
            return Err(AuthError::PolicyCondition { condition: failed.text.clone() });
        }
        // The field that overrides the type is no way round what the policy wants of the type.
        let kind = fields.get("x-oss-content-type").filter(|kind| !kind.trim().is_empty());
        if let Some(kind) = kind {
            let mut of_type = self.conditions.iter().filter(|one| one.test.is_of("content-type"));
            if let Some(failed) = of_type.find(|one| !one.test.holds(&|_: &str| Some(kind))) {
                return Err(AuthError::PolicyCondition { condition: failed.text.clone() });
            }
        }
        let token = claim.token().map(|_| "x-oss-security-token");
        let mandatory = V4_MANDATORY.into_iter().chain(token).filter(|_| claim.scope().is_some());
        for field in mandatory {
            if !self.demands(field) {
                let value = fields.get(field).unwrap_or_default();
                let condition = serde_json::json!(["eq", format!("${field}"), value]).to_string();
                return Err(AuthError::PolicyCondition { condition });
            }
        }
        Ok(())
    }

    fn demands(&self, name: &str) -> bool {
        self.conditions
            .iter()
            .any(|one| matches!(&one.test, Test::Equals { field, .. } if field == name))
    }

    /// The sizes allowed for the file in bytes, both ends included: the narrowest of all ranges, everything without one.
    pub fn length_range(&self) -> (u64, u64) {
        self.conditions.iter().fold((0, u64::MAX), |(low, high), condition| match condition.test {
            Test::Length { min, max } => (low.max(min), high.min(max)),
            _ => (low, high),
        })
    }

    /// Checks the size of the file in bytes.
    ///
    /// # Errors
    /// [`AuthError::FormTooLarge`] and [`AuthError::FormTooSmall`].
    pub fn check_length(&self, size: u64) -> Result<(), AuthError> {
        let (min, max) = self.length_range();
        if size > max {
            return Err(AuthError::FormTooLarge { size, limit: max });
        }
        if size < min {
            return Err(AuthError::FormTooSmall { size, limit: min });
        }
        Ok(())
    }
}

impl Test {
    /// Whether it is of this field.
    fn is_of(&self, name: &str) -> bool {
        match self {
            Test::Equals { field, .. }
            | Test::StartsWith { field, .. }
            | Test::In { field, .. }
            | Test::NotIn { field, .. } => field == name,
            Test::Length { .. } => false,
        }
    }

    fn holds<'v>(&self, value_of: &dyn Fn(&str) -> Option<&'v str>) -> bool {
        match self {
            Test::Equals { field, value } => value_of(field).is_some_and(|given| given == value),
            Test::StartsWith { field, prefix } => {
                value_of(field).is_some_and(|given| given.starts_with(prefix.as_str()))
            }
            Test::In { field, values } => {
                value_of(field).is_some_and(|given| values.iter().any(|value| value == given))
            }
            Test::NotIn { field, values } => {
                value_of(field).is_some_and(|given| values.iter().all(|value| value != given))
            }
            // Known only when the file has been read.
            Test::Length { .. } => true,
        }
    }
}

fn condition(json: &Value) -> Result<Condition, AuthError> {
    let (text, test) = match json {
        Value::Object(members) => {
            let mut members = members.iter();
            let (Some((field, value)), None) = (members.next(), members.next()) else {
                return Err(invalid(
                    "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
                ));
            };
            let value = scalar(value)?;
            let text = serde_json::json!(["eq", format!("${field}"), value]).to_string();
            (text, Test::Equals { field: field.to_ascii_lowercase(), value })
        }
        Value::Array(parts) => (json.to_string(), array_condition(parts)?),
        _ => return Err(invalid("Invalid Condition: neither an object nor an array.")),
    };
    // The service separates the parts with a blank.
    let text = text.replace("\",\"", "\", \"");
    Ok(Condition { text, test })
}

fn array_condition(parts: &[Value]) -> Result<Test, AuthError> {
    let [operator, first, second] = parts else {
        return Err(invalid("Invalid Condition: an array must have three elements."));
    };
    let operator = operator.as_str().ok_or_else(|| invalid("Invalid Condition: no operator."))?;
    if operator.eq_ignore_ascii_case("content-length-range") {
        return Ok(Test::Length { min: size(first)?, max: size(second)? });
    }
    let field = first
        .as_str()
        .and_then(|name| name.strip_prefix('$'))
        .ok_or_else(|| {
            invalid("Invalid Condition: the second element must be a $ and a field name.")
        })?
        .to_ascii_lowercase();
    match operator.to_ascii_lowercase().as_str() {
        "eq" => Ok(Test::Equals { field, value: scalar(second)? }),
        "starts-with" => Ok(Test::StartsWith { field, prefix: scalar(second)? }),
        "in" => Ok(Test::In { field, values: list(second)? }),
        "not-in" => Ok(Test::NotIn { field, values: list(second)? }),
        _ => Err(invalid(format!("Invalid Condition: unknown operator {operator}."))),
    }
}

/// Text; a number or boolean counts as its text, since form values are text.
fn scalar(json: &Value) -> Result<String, AuthError> {
    match json {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(invalid("Invalid Condition: a value must be text.")),
    }
}

fn list(json: &Value) -> Result<Vec<String>, AuthError> {
    let values = json.as_array().ok_or_else(|| invalid("Invalid Condition: a list is missing."))?;
    values.iter().map(scalar).collect()
}

fn size(json: &Value) -> Result<u64, AuthError> {
    let number = match json {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    number.ok_or_else(|| invalid("Invalid Condition: a length must be a non-negative integer."))
}

/// `\$` is not JSON, so it becomes `$` first; a backslash that is itself escaped stays one.
fn unescape_dollars(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match rest.next() {
            Some('$') => out.push('$'),
            Some(other) => out.extend([letter, other]),
            None => out.push(letter),
        }
    }
    out
}

fn invalid(reason: impl Into<Cow<'static, str>>) -> AuthError {
    AuthError::InvalidPolicy { reason: reason.into() }
}
