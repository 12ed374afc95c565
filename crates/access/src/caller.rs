//! Who asks, and what is attached to whoever asks.

use std::sync::Arc;

use ossia_protocol::policy::Policy;

/// Who a request comes from (`permissions.md` calls them principals).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The account's own key, the root key: the owner of everything.
    Account,
    /// A RAM user of the account.
    User {
        /// Decimal, never used again.
        id: Arc<str>,
        /// The name, which may change.
        name: Arc<str>,
    },
    /// Whoever assumed a role, with temporary credentials.
    Session {
        /// The role's id: decimal, never used again.
        role_id: Arc<str>,
        /// The role's name.
        role: Arc<str>,
        /// What the session was called when the role was assumed.
        session: Arc<str>,
    },
    /// Nobody in particular: the request is not signed.
    Anonymous,
}

/// Where an attached policy comes from, for the reason of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyOrigin {
    /// One that every server has.
    System,
    /// One that the account made.
    Custom,
}

/// A policy that is attached to a user, one of its groups, or a role.
#[derive(Debug, Clone)]
pub struct AttachedPolicy {
    /// Its name.
    pub name: Arc<str>,
    /// Whose it is.
    pub origin: PolicyOrigin,
    /// Its default version.
    pub policy: Arc<Policy>,
}

/// A caller with everything that goes with it. Made once for each key and shared by its requests.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// The AccessKey id that signed; `None` for nobody in particular.
    pub access_key_id: Option<Arc<str>>,
    /// What is attached: a user's own and its groups' policies, a role's. Empty for the root key, which needs none.
    pub policies: Vec<AttachedPolicy>,
    /// What a session was narrowed to when its role was assumed.
    pub session_policy: Option<Arc<Policy>>,
}

impl Caller {
    /// The account's own key.
    pub fn account(access_key_id: &str) -> Self {
        Self {
            principal: Principal::Account,
            access_key_id: Some(access_key_id.into()),
            policies: Vec::new(),
            session_policy: None,
        }
    }

    /// Nobody in particular.
    pub const fn anonymous() -> Self {
        Self {
            principal: Principal::Anonymous,
            access_key_id: None,
            policies: Vec::new(),
            session_policy: None,
        }
    }

    /// Whether this is the account's own key.
    pub fn is_account(&self) -> bool {
        self.principal == Principal::Account
    }

    /// Whether the request is not signed.
    pub fn is_anonymous(&self) -> bool {
        self.principal == Principal::Anonymous
    }
}
