//! Who may do what.
//!
//! Owns callers and, over them, the one decision. Pure functions: whatever a decision rests on is handed in, so that it can be
//! explained and tried without a server. It must not know sockets, stores, secrets or signatures.

mod caller;
mod identity;

pub use caller::{AttachedPolicy, Caller, PolicyOrigin, Principal};
pub use identity::{Cause, Decision, Reason, Source, decide_identity, trusts};
