//! Whom statements of bucket policies and trust policies speak of.

use super::{
    PolicyError,
    json::Json,
    pattern::{Glob, Letters, has_wildcard},
};

/// Who asks, as principals of policies are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The account's own key.
    Account,
    /// A user of the account.
    User {
        /// Its id.
        id: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A session of a role of the account.
    Session {
        /// The role's name.
        role: &'a str,
        /// The session's name.
        session: &'a str,
    },
    /// Nobody in particular.
    Anonymous,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// `*`.
    Everybody,
    /// The id of an account or of a user.
    Id(Box<str>),
    /// `arn:sts::<account>:<kind>/<role>/<session>`.
    Session { account: Glob, kind: Glob, role: Glob, session: Glob },
    /// `acs:ram::<account>:root`: every identity of the account.
    Root { account: Box<str> },
    /// `acs:ram::<account>:user/<name>`.
    User { account: Box<str>, name: Box<str> },
    /// `acs:ram::<account>:role/<name>`.
    Role { account: Box<str>, name: Box<str> },
    /// Somebody that there cannot be here: a service, or who is known elsewhere.
    Nobody,
}

/// The principals of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principals {
    /// Everybody but these.
    negated: bool,
    entries: Vec<Entry>,
}

impl Principals {
    /// Everybody, which is what a bucket policy means that names nobody.
    pub(super) fn everybody() -> Principals {
        Principals { negated: false, entries: vec![Entry::Everybody] }
    }

    /// Those of a bucket policy: texts.
    pub(super) fn of_bucket(names: &Json, negated: bool) -> Result<Principals, PolicyError> {
        let names = names.unpacked_texts().ok_or_else(|| {
            PolicyError::new("the Principal of a bucket policy must be a list of ids")
        })?;
        if names.is_empty() {
            return Ok(Principals { negated, ..Principals::everybody() });
        }
        let entries = names.iter().map(|name| Entry::of_bucket(name)).collect::<Result<_, _>>()?;
        Ok(Principals { negated, entries })
    }

    /// Those of a trust policy: `{"RAM": […], "Service": […], "Federated": […]}`.
    pub(super) fn of_trust(kinds: &Json) -> Result<Principals, PolicyError> {
        let Json::Object(kinds) = kinds else {
            return Err(PolicyError::new("the Principal of a trust policy must be an object"));
        };
        let mut entries = Vec::new();
        for (kind, names) in kinds {
            let names = names.texts().filter(|names| !names.is_empty()).ok_or_else(|| {
                PolicyError::new(format!("the Principal {kind} must be a list of names"))
            })?;
            match kind.as_str() {
                "RAM" => {
                    for name in &names {
                        entries.push(Entry::of_trust(name)?);
                    }
                }
                "Service" | "Federated" => entries.push(Entry::Nobody),
                _ => return Err(PolicyError::new(format!("the Principal {kind} is unknown"))),
            }
        }
        match entries.is_empty() {
            true => Err(PolicyError::new("the Principal names nobody")),
            false => Ok(Principals { negated: false, entries }),
        }
    }

    /// Whether the statement speaks of this subject, in a bucket or a role of `owner`. `conditional`: it has a condition, without
    /// which `*` does not reach the owner itself.
    pub(super) fn name(&self, subject: Subject<'_>, owner: &str, conditional: bool) -> bool {
        let mut named = self.entries.iter();
        if self.negated {
            // As `*` with exceptions.
            return (subject != Subject::Account || conditional)
                && !named.any(|entry| entry.names(subject, owner, true));
        }
        named.any(|entry| entry.names(subject, owner, conditional))
    }

    /// Whether anybody may be meant, not only those that are listed.
    pub(super) fn is_open(&self) -> bool {
        self.negated
            || self.entries.iter().any(|entry| match entry {
                Entry::Everybody => true,
                Entry::Session { account, kind, role, session } => {
                    [account, kind, role, session].iter().any(|g| !matches!(g, Glob::Exact(_)))
                }
                _ => false,
            })
    }
}

impl Entry {
    fn of_bucket(name: &str) -> Result<Entry, PolicyError> {
        if name == "*" {
            return Ok(Entry::Everybody);
        }
        if let Some(rest) = name.strip_prefix("arn:sts::") {
            let invalid = || PolicyError::new(format!("the principal {name} is no session"));
            let (account, rest) = rest.split_once(':').ok_or_else(invalid)?;
            let mut parts = rest.splitn(3, '/').map(Glob::new);
            let (Some(kind), Some(role), Some(session)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Err(invalid());
            };
            return Ok(Entry::Session { account: Glob::new(account), kind, role, session });
        }
        let of_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(of_id) {
            return Err(PolicyError::new(format!(
                "the principal {name:?} is neither an id, nor *, nor arn:sts::…"
            )));
        }
        Ok(Entry::Id(name.into()))
    }

    fn of_trust(name: &str) -> Result<Entry, PolicyError> {
        let invalid = || {
            PolicyError::new(format!(
                "the principal {name:?} is not acs:ram::<account>:root, user/<name> or role/<name>"
            ))
        };
        let rest = name.strip_prefix("acs:ram::").ok_or_else(invalid)?;
        let (account, who) = rest.split_once(':').ok_or_else(invalid)?;
        if account.is_empty() || has_wildcard(rest) {
            return Err(invalid());
        }
        let account = account.into();
        let named = |name: &str| {
            let valid = !name.is_empty() && !name.contains('/');
            if valid { Ok(Box::from(name)) } else { Err(invalid()) }
        };
        match who.split_once('/') {
            None if who == "root" => Ok(Entry::Root { account }),
            Some(("user", name)) => Ok(Entry::User { account, name: named(name)? }),
            Some(("role", name)) => Ok(Entry::Role { account, name: named(name)? }),
            _ => Err(invalid()),
        }
    }

    fn names(&self, subject: Subject<'_>, owner: &str, conditional: bool) -> bool {
        match (self, subject) {
            (Entry::Everybody, Subject::Account) => conditional,
            (Entry::Everybody, _) => true,
            // Before all others: nobody in particular is nobody of an account.
            (_, Subject::Anonymous) | (Entry::Nobody, _) => false,
            (Entry::Id(id), Subject::User { id: own, .. }) => **id == *owner || **id == *own,
            (Entry::Id(id), Subject::Account | Subject::Session { .. }) => **id == *owner,
            (Entry::Session { account, kind, role, session }, subject) => match subject {
                Subject::Session { role: own_role, session: own_session } => {
                    account.matches(owner, Letters::Exact)
                        && kind.matches("assumed-role", Letters::Exact)
                        && role.matches(own_role, Letters::Folded)
                        && session.matches(own_session, Letters::Exact)
                }
                _ => false,
            },
            (Entry::Root { account }, _) => **account == *owner,
            (Entry::User { account, name }, Subject::User { name: own, .. }) => {
                **account == *owner && name.eq_ignore_ascii_case(own)
            }
            (Entry::Role { account, name }, Subject::Session { role, .. }) => {
                **account == *owner && name.eq_ignore_ascii_case(role)
            }
            (Entry::User { .. } | Entry::Role { .. }, _) => false,
        }
    }
}
