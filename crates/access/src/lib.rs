//! Who may do what.
//!
//! Owns callers and, over them, the one decision. Pure functions: whatever a decision rests on is handed in, so that it can be
//! explained and tried without a server. It must not know sockets, stores, secrets or signatures.

mod actions;
mod caller;
mod decide;
mod identity;
mod refusal;

pub use actions::{
    GET_OBJECT_TAGGING, Given, GivenSource, PUT_OBJECT, PUT_OBJECT_ACL, PUT_OBJECT_TAGGING, Right,
    Rule, actions, right_of, rule, source_actions,
};
pub use caller::{AttachedPolicy, Caller, PolicyOrigin, Principal};
pub use decide::{Site, decide, decide_by_acl, decide_by_policies};
pub use identity::{Cause, Decision, Reason, Source, decide_identity, trusts};
pub use refusal::{Refused, refusal};
