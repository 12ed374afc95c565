//! The server over real sockets, on the in-memory store, driven by a small HTTP/1.1 client that can send odd bytes.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod access;
mod addressing;
mod append;
mod attributes;
mod auth;
mod buckets;
mod callback;
mod circumstances;
mod config;
mod copy;
mod delivery;
mod dispatch;
mod documents;
mod drive;
mod encryption;
mod expectations;
mod http2;
mod intruders;
mod lifetimes;
mod lists;
mod metrics;
mod multipart;
mod objects;
mod overload;
mod policies;
mod post;
mod ram;
mod seal;
mod tls;
mod transport;
mod traps;
mod users;
mod versions;
