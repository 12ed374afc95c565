//! Policy documents: who may do what to what, under which conditions (`permissions.md` §5).
//!
//! Owns the grammar and nothing else; what statements mean for a request is decided elsewhere.

use serde_json::Value;
use thiserror::Error;

/// What a document is attached to, which decides on its grammar and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// To a user, a group or a role: up to 6,144 characters, no principals.
    Identity,
    /// To one session of a role: up to 2,048 characters, no principals.
    Session,
    /// To a bucket: up to 16 KiB, with principals.
    Bucket,
    /// To a role, saying who may assume it: up to 6,144 characters, with principals.
    Trust,
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct PolicyError(String);

/// A policy as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    kind: PolicyKind,
    text: Box<str>,
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// [`PolicyError`] names the fault.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, PolicyError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| PolicyError(format!("Invalid JSON: {error}.")))?;
        match value.get("Statement") {
            Some(Value::Array(_) | Value::Object(_)) => Ok(Self { kind, text: text.into() }),
            _ => Err(PolicyError("The policy has no Statement.".to_owned())),
        }
    }

    /// What it is attached to.
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// The document as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}
