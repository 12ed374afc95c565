//! The server: HTTP in, calls of the object layer, HTTP out.
//!
//! | room | owns |
//! |---|---|
//! | `http` | sockets, limits, time-outs, request ids, bodies as streams |
//! | `auth` | credentials: who sent a request |
//! | `access` | whether the caller may do the operation here |
//! | `access_log`, `inventory` | what is delivered into buckets in the background |
//! | `rpc` | requests to RAM and STS, which share the port |
//! | `callback` | calls to application servers, and to nobody else |
//! | `handlers` | one function an operation, and the table of errors |
//! | `service` | the way of a request through these rooms |
//! | [`config`], [`identity`] | settings; account and root key |
//! | [`metrics`] | what operators see |
//!
//! It must not know how bytes are stored, nor decide anything about objects: both is the object layer's.

mod access;
mod access_log;
mod audit;
mod auth;
mod callback;
pub mod config;
mod handlers;
mod http;
pub mod identity;
mod inventory;
mod last_uses;
pub mod metrics;
mod quota;
mod rarely;
mod rpc;
mod screen;
mod server;
mod service;

pub use http::TlsError;
pub use screen::start_screen;
pub use server::{Server, StartError, body_files_max, identity_limits, object_settings};
