//! Settings of a client: where, as whom, how long, how often. Data only.

use std::fmt;
use std::time::Duration;

/// An access key, and the token that belongs to a temporary one.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) access_key_secret: String,
    pub(crate) security_token: Option<String>,
}

impl Credentials {
    /// A long-term key.
    pub fn new(access_key_id: impl Into<String>, access_key_secret: impl Into<String>) -> Self {
        Credentials {
            access_key_id: access_key_id.into(),
            access_key_secret: access_key_secret.into(),
            security_token: None,
        }
    }

    /// The same with the security token that STS gave along.
    #[must_use]
    pub fn with_security_token(mut self, token: impl Into<String>) -> Self {
        self.security_token = Some(token.into());
        self
    }

    /// The key in the environment: `OSSIA_ACCESS_KEY_ID`, `OSSIA_ACCESS_KEY_SECRET` and perhaps `OSSIA_SECURITY_TOKEN`, else
    /// `OSS_ACCESS_KEY_ID`, `OSS_ACCESS_KEY_SECRET` and perhaps `OSS_SESSION_TOKEN` as the official SDKs read them. Empty
    /// variables count as absent; the two sets are not mixed.
    pub fn from_env() -> Option<Self> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    fn from_lookup(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let set = |id: &str, secret: &str, token: &str| {
            let value = |name: &str| variable(name).filter(|value| !value.is_empty());
            Some(Credentials {
                access_key_id: value(id)?,
                access_key_secret: value(secret)?,
                security_token: value(token),
            })
        };
        set("OSSIA_ACCESS_KEY_ID", "OSSIA_ACCESS_KEY_SECRET", "OSSIA_SECURITY_TOKEN")
            .or_else(|| set("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"))
    }

    /// Key id, secret and token in clear, to be handed to another program.
    pub fn expose(&self) -> (&str, &str, Option<&str>) {
        (&self.access_key_id, &self.access_key_secret, self.security_token.as_deref())
    }

    /// The key's id.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }
}

impl fmt::Debug for Credentials {
    // Secrets and tokens never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// How requests are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureVersion {
    /// HMAC-SHA1 over a few headers.
    V1,
    /// HMAC-SHA256 with a key derived for day and region; every query parameter and `x-oss-` header is covered.
    #[default]
    V4,
}

/// Where the bucket's name goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addressing {
    /// Into the path where the endpoint is an address or a name without a dot (`localhost`), else into the host name.
    #[default]
    Auto,
    /// Into the path: `http://endpoint/bucket/key`.
    Path,
    /// Into the host name: `http://bucket.endpoint/key`. Impossible where the endpoint is an address.
    VirtualHosted,
    /// Nowhere: the endpoint is a domain bound to the bucket.
    Cname,
}

/// How long nothing may happen. There is no limit on how long a transfer takes while bytes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TCP connection. Default 5 s.
    pub connect: Duration,
    /// Without a byte of the request taken or of the answer received, TLS handshake included; a body stream that yields
    /// nothing for so long counts as well. Noticed after twice the limit at the latest. Default 60 s.
    pub idle: Duration,
    /// How long an unused connection is kept. Shorter than servers keep theirs (75 s for Ossia), so that a request seldom
    /// meets a connection that is just being closed. Default 45 s.
    pub keep_alive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            keep_alive: Duration::from_secs(45),
        }
    }
}

/// How often and how fast a request is tried again. What *may* be tried again is not a setting: see the crate's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all; 1 means no retry, 0 counts as 1. Default 3.
    pub attempts_max: u32,
    /// Longest pause before the second attempt; it doubles from attempt to attempt, and each pause is a random part, at
    /// least half, of what that gives. Default 100 ms.
    pub backoff_initial: Duration,
    /// Longest pause; a server's `Retry-After` is followed up to it. Default 3 s.
    pub backoff_max: Duration,
}

impl RetryPolicy {
    /// One attempt only. An append's lost answer is then not settled either.
    pub const NONE: RetryPolicy = RetryPolicy {
        attempts_max: 1,
        backoff_initial: Duration::ZERO,
        backoff_max: Duration::ZERO,
    };
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts_max: 3,
            backoff_initial: Duration::from_millis(100),
            backoff_max: Duration::from_secs(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Option<Credentials> {
        Credentials::from_lookup(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn our_own_variables_come_first_and_sets_are_not_mixed() {
        let oss = [
            ("OSS_ACCESS_KEY_ID", "a"),
            ("OSS_ACCESS_KEY_SECRET", "b"),
            ("OSS_SESSION_TOKEN", "t"),
        ];
        assert_eq!(from(&oss), Some(Credentials::new("a", "b").with_security_token("t")));
        let mut both = vec![("OSSIA_ACCESS_KEY_ID", "x")];
        both.extend(oss);
        assert_eq!(from(&both).unwrap().access_key_id(), "a");
        both.push(("OSSIA_ACCESS_KEY_SECRET", "y"));
        assert_eq!(from(&both), Some(Credentials::new("x", "y")));
        both.push(("OSSIA_SECURITY_TOKEN", ""));
        assert_eq!(from(&both), Some(Credentials::new("x", "y")));
        assert_eq!(from(&[]), None);
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", Credentials::new("id", "hush").with_security_token("quiet"));
        assert!(shown.contains("id") && !shown.contains("hush") && !shown.contains("quiet"));
    }
}
