//! Identities: users, AccessKeys, groups, roles, policies and temporary credentials, as RAM and STS of the vendor manage them.
//!
//! Owns what is stored of them, what is in force, and the actions of both services. It must not know sockets, signatures, or what a
//! caller may do: the request comes verified, and the caller of this crate brings a [`Judge`].
//!
//! Invariants:
//! - Every change is one transaction of partition 1, decided on what it finds unchanged there (`records`).
//! - What is in force follows what is durable, before the answer goes out: a key that was deleted verifies nothing afterwards.
//! - A secret leaves once, in the answer of CreateAccessKey or AssumeRole. At rest it is sealed; a session's stands nowhere but in
//!   its token, which only the master key opens.
//!
//! | file | owns |
//! |---|---|
//! | `ram.rs` | the service: reading, changing |
//! | `api.rs` | the actions, their rights, paging |
//! | `users.rs`, `groups.rs`, `roles.rs`, `policies.rs`, `sts.rs` | what the actions do |
//! | `state.rs`, `records.rs` | identities in memory and in the store |
//! | `check.rs` | what `ossia check` looks at |
//! | `live.rs`, `signing.rs` | what requests are verified by |
//! | `answer.rs`, `params.rs`, `names.rs` | the words of the RPC style |

mod answer;
mod api;
mod check;
mod groups;
mod live;
mod names;
mod nonces;
mod params;
mod policies;
mod ram;
mod records;
mod roles;
mod signing;
mod state;
mod sts;
mod users;

#[cfg(test)]
mod tests;

pub use answer::{Fault, Format, Node, Object};
pub use api::{Judge, RAM_VERSION, STS_VERSION};
pub use check::check;
pub use live::{Credential, Found};
pub use names::{NoRandom, draw, draw_letters, guid};
pub use nonces::Nonce;
pub use params::Params;
pub use ram::{Ram, RamRequest};
pub use signing::SigningKeys;
pub use state::LoadError;

/// How many of everything there may be (`ram-rpc.md` §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Users of the account.
    pub users: usize,
    /// Groups of the account.
    pub groups: usize,
    /// Roles of the account.
    pub roles: usize,
    /// Policies of the account's own.
    pub policies: usize,
    /// Versions of one policy.
    pub versions: usize,
    /// Keys of one user.
    pub keys_per_user: usize,
    /// Groups that one user is in.
    pub groups_per_user: usize,
    /// System policies attached to one user.
    pub system_policies_per_user: usize,
    /// Policies of the account's own attached to one user.
    pub custom_policies_per_user: usize,
    /// System policies attached to one group.
    pub system_policies_per_group: usize,
    /// Policies of the account's own attached to one group.
    pub custom_policies_per_group: usize,
    /// System policies attached to one role.
    pub system_policies_per_role: usize,
    /// Policies of the account's own attached to one role.
    pub custom_policies_per_role: usize,
    /// The shortest session of a role, in seconds.
    pub session_seconds_min: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            users: 1_000,
            groups: 50,
            roles: 1_000,
            policies: 1_500,
            versions: 5,
            keys_per_user: 2,
            groups_per_user: 5,
            system_policies_per_user: 20,
            custom_policies_per_user: 10,
            system_policies_per_group: 20,
            custom_policies_per_group: 5,
            system_policies_per_role: 20,
            custom_policies_per_role: 5,
            session_seconds_min: 900,
        }
    }
}
