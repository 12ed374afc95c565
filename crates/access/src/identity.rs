//! What is attached to a caller, decided for itself: all that counts for management of identities, a part of what counts for objects.

use std::{fmt, sync::Arc};

use ossia_protocol::policy::{Ask, Conditions, Policy, Resource, Subject, Verdict};

use crate::{Caller, PolicyOrigin, Principal};

/// Where a statement stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In the policy that the session was narrowed to.
    Session,
    /// In a policy that is attached to the caller.
    Attached {
        /// Its name.
        name: Arc<str>,
        /// Whose it is.
        origin: PolicyOrigin,
    },
    /// In the policy of the bucket.
    Bucket,
}

/// A statement that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The policy that it is of.
    pub source: Source,
    /// Which one it is, counted from 1.
    pub number: usize,
    /// What it calls itself.
    pub sid: Option<Arc<str>>,
}

impl Cause {
    pub(crate) fn new(source: Source, policy: &Policy, at: usize) -> Self {
        let sid = policy.statements().get(at).and_then(|statement| statement.sid().cloned());
        Self { source, number: at + 1, sid }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {}", self.number)?;
        if let Some(sid) = &self.sid {
            write!(f, " ({sid:?})")?;
        }
        match &self.source {
            Source::Session => f.write_str(" of the session policy"),
            Source::Attached { name, origin: PolicyOrigin::System } => {
                write!(f, " of the system policy {name}")
            }
            Source::Attached { name, origin: PolicyOrigin::Custom } => {
                write!(f, " of the policy {name}")
            }
            Source::Bucket => f.write_str(" of the bucket policy"),
        }
    }
}

/// Why a caller may or may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The account's own key owns everything.
    Owner,
    /// A statement says so: the decision tells which way.
    Statement(Cause),
    /// The session was narrowed to what its policy allows, and it does not allow this.
    SessionSilent,
    /// No policy allows it, and nothing else could.
    NoPolicy,
    /// The ACL of the object lets everybody.
    PublicObject,
    /// The ACL of the bucket lets everybody.
    PublicBucket,
    /// It manages the account, a bucket or rights, which is the owner's; no ACL grants it, and no policy does.
    OwnersOnly,
    /// The object's own ACL does not let this caller.
    ObjectAcl,
    /// The bucket's ACL does not let this caller.
    BucketAcl,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Owner => f.write_str("the owner"),
            Reason::Statement(cause) => cause.fmt(f),
            Reason::SessionSilent => f.write_str("no statement of the session policy allows it"),
            Reason::NoPolicy => f.write_str("no statement of any policy allows it"),
            Reason::PublicObject => f.write_str("the object's ACL is public"),
            Reason::PublicBucket => f.write_str("the bucket's ACL is public"),
            Reason::OwnersOnly => f.write_str("it is the owner's, and no policy allows it"),
            Reason::ObjectAcl => {
                f.write_str("the object's ACL does not let the caller, and no policy does")
            }
            Reason::BucketAcl => {
                f.write_str("the bucket's ACL does not let the caller, and no policy does")
            }
        }
    }
}

/// A decision with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the caller may.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
}

impl Decision {
    pub(crate) const fn allow(reason: Reason) -> Self {
        Self { allowed: true, reason }
    }

    pub(crate) const fn deny(reason: Reason) -> Self {
        Self { allowed: false, reason }
    }
}

impl Caller {
    /// The caller as principals of policies are compared with.
    pub fn subject(&self) -> Subject<'_> {
        match &self.principal {
            Principal::Account => Subject::Account,
            Principal::User { id, name } => Subject::User { id, name },
            Principal::Session { role, session, .. } => Subject::Session { role, session },
            Principal::Anonymous => Subject::Anonymous,
        }
    }
}

/// What a session policy says by itself: `Some` if it refuses. It never grants.
pub(crate) fn refused_by_session(caller: &Caller, ask: &Ask<'_>) -> Option<Decision> {
    let policy = caller.session_policy.as_deref()?;
    match policy.evaluate(ask, |_| true) {
        Verdict::Allowed(_) => None,
        Verdict::Silent => Some(Decision::deny(Reason::SessionSilent)),
        Verdict::Denied(at) => {
            Some(Decision::deny(Reason::Statement(Cause::new(Source::Session, policy, at))))
        }
    }
}

/// What all attached policies say together: a denial of any, else a permission of any, the first of either.
pub(crate) fn by_attached(caller: &Caller, ask: &Ask<'_>) -> Option<Decision> {
    let mut allowed = None;
    for attached in &caller.policies {
        let cause = |at| {
            let source =
                Source::Attached { name: Arc::clone(&attached.name), origin: attached.origin };
            Reason::Statement(Cause::new(source, &attached.policy, at))
        };
        match attached.policy.evaluate(ask, |_| true) {
            Verdict::Denied(at) => return Some(Decision::deny(cause(at))),
            Verdict::Allowed(at) if allowed.is_none() => {
                allowed = Some(Decision::allow(cause(at)));
            }
            Verdict::Allowed(_) | Verdict::Silent => {}
        }
    }
    allowed
}

/// Whether a caller may do what only its own policies decide: actions of RAM and STS. The account's own key may do everything.
///
/// `action` is as `ram:CreateUser`, `resource` as `acs:ram:*:<account>:user/<name>`.
pub fn decide_identity(
    caller: &Caller,
    action: &str,
    resource: &str,
    conditions: &Conditions<'_>,
) -> Decision {
    match caller.principal {
        Principal::Account => return Decision::allow(Reason::Owner),
        Principal::Anonymous => return Decision::deny(Reason::NoPolicy),
        Principal::User { .. } | Principal::Session { .. } => {}
    }
    let ask = Ask { action, resource: Resource::new(resource), conditions };
    refused_by_session(caller, &ask)
        .or_else(|| by_attached(caller, &ask))
        .unwrap_or(Decision::deny(Reason::NoPolicy))
}

/// Whether a role's trust policy lets this caller assume the role, a role of `account`. What the caller's own policies say of it is
/// asked besides, with [`decide_identity`].
pub fn trusts(
    policy: &Policy,
    caller: &Caller,
    account: &str,
    conditions: &Conditions<'_>,
) -> bool {
    let ask = Ask { action: "sts:AssumeRole", resource: Resource::new("*"), conditions };
    let verdict = policy.evaluate(&ask, |statement| statement.names(caller.subject(), account));
    matches!(verdict, Verdict::Allowed(_))
}

#[cfg(test)]
mod tests {
    use ossia_protocol::policy::PolicyKind;

    use super::*;
    use crate::AttachedPolicy;

    fn policy(kind: PolicyKind, statements: &str) -> Arc<Policy> {
        let text = format!("{{\"Version\":\"1\",\"Statement\":[{statements}]}}");
        Arc::new(Policy::parse(&text, kind).unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    fn user(policies: &[&str]) -> Caller {
        let attached = policies.iter().enumerate().map(|(at, text)| AttachedPolicy {
            name: format!("p{at}").into(),
            origin: PolicyOrigin::Custom,
            policy: policy(PolicyKind::Identity, text),
        });
        Caller {
            principal: Principal::User { id: "77".into(), name: "lee".into() },
            access_key_id: Some("AK".into()),
            policies: attached.collect(),
            session_policy: None,
        }
    }

    const ALL: &str = r#"{"Effect":"Allow","Action":"ram:*","Resource":"*"}"#;
    const NO_KEYS: &str = r#"{"Sid":"no keys","Effect":"Deny","Action":"ram:*AccessKey*",
        "Resource":"acs:ram:*:*:user/*"}"#;

    fn told(caller: &Caller, action: &str) -> (bool, String) {
        let resource = "acs:ram:*:1234:user/lee";
        let decision = decide_identity(caller, action, resource, &Conditions::default());
        (decision.allowed, decision.reason.to_string())
    }

    #[test]
    fn users_may_what_their_policies_say_and_a_denial_of_any_wins() {
        assert_eq!(told(&Caller::account("AK"), "ram:CreateUser"), (true, "the owner".into()));
        assert!(!told(&Caller::anonymous(), "ram:CreateUser").0);
        assert!(!told(&user(&[]), "ram:CreateUser").0);
        let both = user(&[ALL, NO_KEYS]);
        assert_eq!(told(&both, "ram:GetUser"), (true, "statement 1 of the policy p0".into()));
        let denied = (false, "statement 1 (\"no keys\") of the policy p1".into());
        assert_eq!(told(&both, "ram:CreateAccessKey"), denied);
        assert!(!told(&both, "sts:AssumeRole").0);
    }

    #[test]
    fn a_session_policy_narrows_and_never_grants() {
        let mut session = user(&[ALL]);
        let narrow = r#"{"Effect":"Allow","Action":["ram:Get*","sts:*"],"Resource":"*"}"#;
        session.session_policy = Some(policy(PolicyKind::Session, narrow));
        assert!(told(&session, "ram:GetUser").0);
        assert_eq!(
            told(&session, "ram:CreateUser").1,
            "no statement of the session policy allows it"
        );
        assert!(!told(&session, "sts:AssumeRole").0);
        session.policies.clear();
        assert!(!told(&session, "ram:GetUser").0);
    }

    #[test]
    fn a_role_trusts_whom_its_policy_names_under_its_conditions() {
        let trust = |principal: &str, condition: &str| {
            policy(
                PolicyKind::Trust,
                &format!(
                    r#"{{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{{"RAM":["{principal}"]}}{condition}}}"#
                ),
            )
        };
        let session = Caller {
            principal: Principal::Session {
                role_id: "5".into(),
                role: "Writer".into(),
                session: "s".into(),
            },
            ..Caller::account("AK")
        };
        let plain = Conditions::default();
        for (principal, wanted) in [
            ("acs:ram::1234:root", [true, true, true, false]),
            ("acs:ram::99:root", [false; 4]),
            ("acs:ram::1234:user/lee", [false, true, false, false]),
            ("acs:ram::1234:user/kim", [false; 4]),
            ("acs:ram::1234:role/writer", [false, false, true, false]),
        ] {
            let policy = trust(principal, "");
            let callers = [Caller::account("AK"), user(&[]), session.clone(), Caller::anonymous()];
            let told = callers.map(|caller| trusts(&policy, &caller, "1234", &plain));
            assert_eq!(told, wanted, "{principal}");
        }
        let external = trust(
            "acs:ram::1234:root",
            r#","Condition":{"StringEquals":{"sts:ExternalId":"abc"}}"#,
        );
        assert!(!trusts(&external, &user(&[]), "1234", &plain));
        let given = Conditions { external_id: Some("abc".into()), ..plain };
        assert!(trusts(&external, &user(&[]), "1234", &given));
        let but = r#"{"Effect":"Allow","Action":"*","Principal":{"RAM":"acs:ram::1234:root"}},
            {"Effect":"Deny","Action":"sts:*","Principal":{"RAM":"acs:ram::1234:user/lee"}}"#;
        let but = policy(PolicyKind::Trust, but);
        assert!(
            trusts(&but, &session, "1234", &given) && !trusts(&but, &user(&[]), "1234", &given)
        );
        let other =
            r#"{"Effect":"Allow","Action":"sts:Get*","Principal":{"RAM":"acs:ram::1234:root"}}"#;
        assert!(!trusts(&policy(PolicyKind::Trust, other), &session, "1234", &given));
    }
}
