//! A bucket's policy: JSON that is kept byte for byte. Its statements are not decided here; what is known of it is whether it is
//! one at all, whether it opens the bucket to the public, and whether it denies anything.

use serde_json::Value;

use crate::error::{ErrorCode, OssError};

/// Longest policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 16 * 1024;

/// What is known of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicySummary {
    /// A statement allows everybody, by no fixed condition.
    pub public: bool,
    /// A statement denies something.
    pub denies: bool,
}

/// Conditions that keep a statement from being public when they name fixed values.
const FIXING: [&str; 4] = ["acs:SourceVpc", "acs:SourceVpcId", "acs:AccessId", "acs:SourceIp"];

impl PolicySummary {
    /// Reads a policy.
    ///
    /// # Errors
    /// 400 `InvalidPolicyDocument`.
    pub fn parse(text: &[u8]) -> Result<Self, OssError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(invalid("The policy is too long."));
        }
        let text = std::str::from_utf8(text).map_err(|_| invalid("Invalid JSON: not UTF-8."))?;
        let policy: Value = serde_json::from_str(text)
            .map_err(|error| invalid(&format!("Invalid JSON: {error}.")))?;
        let policy = policy.as_object().ok_or_else(|| invalid("The policy must be an object."))?;
        if !matches!(policy.get("Version").and_then(Value::as_str), Some("1")) {
            return Err(invalid("The Version must be \"1\"."));
        }
        let statements = policy.get("Statement").and_then(Value::as_array);
        let statements = statements.filter(|list| !list.is_empty());
        let statements = statements.ok_or_else(|| invalid("The Statement must be a list."))?;
        let mut summary = Self::default();
        for statement in statements {
            summary.add(statement)?;
        }
        Ok(summary)
    }

    fn add(&mut self, statement: &Value) -> Result<(), OssError> {
        for (name, other) in
            [("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal")]
        {
            let listed = statement.get(name).or_else(|| statement.get(other));
            // Some programs name nobody, and that is taken, as if it were everybody.
            if name == "Principal" && listed.is_none() {
                continue;
            }
            if listed.and_then(texts).is_none_or(|list| list.is_empty()) {
                return Err(invalid(&format!("The {name} of a statement is missing or invalid.")));
            }
        }
        match statement.get("Effect").and_then(Value::as_str) {
            Some("Deny") => self.denies = true,
            Some("Allow") => {
                let principals = statement.get("Principal").and_then(texts);
                let open = principals.is_none_or(|list| list.iter().any(|name| name.contains('*')));
                self.public |= open && !is_fixed(statement.get("Condition"));
            }
            _ => return Err(invalid("The Effect of a statement must be Allow or Deny.")),
        }
        match statement.get("Condition") {
            None | Some(Value::Object(_)) => Ok(()),
            Some(_) => Err(invalid("The Condition of a statement must be an object.")),
        }
    }
}

/// Whether a condition restricts to fixed places or keys.
fn is_fixed(condition: Option<&Value>) -> bool {
    let operators = condition.and_then(Value::as_object);
    operators.into_iter().flatten().any(|(operator, keys)| {
        !operator.contains("Not")
            && keys.as_object().into_iter().flatten().any(|(key, values)| {
                FIXING.contains(&key.as_str())
                    && texts(values).is_some_and(|values| {
                        let any = |value: &&str| value.contains('*') || value.ends_with("/0");
                        !values.is_empty() && !values.iter().any(any)
                    })
            })
    })
}

/// One text or a list of them.
fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn invalid(what: &str) -> OssError {
    OssError::new(ErrorCode::InvalidPolicyDocument).with_message(format!("Invalid Policy: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(effect: &str, principal: &str, condition: &str) -> Result<PolicySummary, ErrorCode> {
        let text = format!(
            "{{\"Version\":\"1\",\"Statement\":[{{\"Effect\":\"{effect}\",\"Principal\":[\"{principal}\"],\
             \"Action\":[\"oss:GetObject\"],\"Resource\":[\"acs:oss:*:*:b/*\"]{condition}}}]}}"
        );
        PolicySummary::parse(text.as_bytes()).map_err(|error| error.code())
    }

    #[test]
    fn public_is_what_allows_all_under_no_fixed_condition() {
        let public = |principal: &str, condition: &str| {
            summary("Allow", principal, condition).unwrap().public
        };
        let from =
            |ip: &str| format!(",\"Condition\":{{\"IpAddress\":{{\"acs:SourceIp\":[\"{ip}\"]}}}}");
        assert!(public("*", ""));
        assert!(!public("27001", ""));
        assert!(!public("*", &from("10.0.0.0/8")));
        assert!(public("*", &from("0.0.0.0/0")));
        assert_eq!(summary("Deny", "*", ""), Ok(PolicySummary { public: false, denies: true }));
    }

    #[test]
    fn a_statement_without_a_principal_is_taken_and_counts_as_public() {
        let statement = "{\"Action\":[\"oss:PutObject\"],\"Effect\":\"Allow\",\"Resource\":[\"acs:oss:*:*:*\"]}";
        let text = format!("{{\"Version\":\"1\",\"Statement\":[{statement}]}}");
        assert!(PolicySummary::parse(text.as_bytes()).unwrap().public);
        let nobody = text.replace("\"Action\"", "\"Principal\":[],\"Action\"");
        assert!(PolicySummary::parse(nobody.as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        assert_eq!(summary("Maybe", "*", ""), Err(ErrorCode::InvalidPolicyDocument));
        for text in ["", "[]", "{}", "{\"Version\":\"1\",\"Statement\":[]}", "\u{0}", "[[[[[["] {
            assert!(PolicySummary::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(PolicySummary::parse("[".repeat(10_000).as_bytes()).is_err());
        assert!(PolicySummary::parse(" ".repeat(POLICY_BYTES_MAX + 1).as_bytes()).is_err());
    }
}
