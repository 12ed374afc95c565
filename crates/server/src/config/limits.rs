//! `[limits]`: what clients may use, and what one of them may.

use ossia_protocol::network::Network;
use serde::{Deserialize, Serialize};

use super::{ConfigError, FIVE_GIB, check_networks, networks};
use crate::http::Share;

/// Bounds on what clients may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once; more wait in the system's queue. Default 16,384.
    pub connections_max: usize,
    /// Connections of one address at once, where a network of 64 bits counts as one IPv6 address; more are answered 503 and closed.
    /// 0 for half of `connections_max`. Default 0. See `trusted`.
    pub connections_per_address: usize,
    /// Requests that are worked on at once, each until its answer begins. Above: 503 with `Retry-After`. Default 4,096.
    pub requests_max: usize,
    /// The same for one address. 0 for half of `requests_max`. Default 0.
    pub requests_per_address: usize,
    /// Addresses and networks for which no bound of one address holds: a proxy stands for many clients. Default `127.0.0.0/8` and
    /// `::1`, since who is on this machine is either a proxy or could do worse.
    pub trusted: Vec<String>,
    /// Request headers, names and values together, in bytes. Above: 400 InvalidArgument. Default 32,768.
    pub header_bytes: usize,
    /// The request target in bytes. Above: 400 InvalidArgument. Default 8,192.
    pub uri_bytes: usize,
    /// From the first byte of a request's head to its end, in milliseconds; then the connection closes. Default 30,000.
    pub head_read_ms: u64,
    /// Bytes of heads that have begun and not ended, over all connections, beyond the first piece of each; half of it for those of
    /// one address. Above: the connection that sends more is closed. Default 67,108,864 (64 MiB).
    pub heads_bytes: u64,
    /// Between two requests of a connection, in milliseconds; then it closes. Default 75,000.
    pub idle_ms: u64,
    /// With `connections_max` connections, one that has been idle or in the middle of a head for so long, in milliseconds, makes
    /// room for the next. Default 5,000.
    pub idle_crowded_ms: u64,
    /// From a request's head to the last byte of its answer, in milliseconds; then the connection is cut. Default 259,200,000 (three
    /// days: the longest body at the slowest pace that `x-oss-traffic-limit` may ask for takes two).
    pub request_ms: u64,
    /// Between two bytes of a request's body, in milliseconds: then 400 RequestTimeout. The same for a client that does not take
    /// its answer; then the connection is cut. Default 60,000.
    pub body_stall_ms: u64,
    /// The least that a request's body must bring while the server waits for it, in bytes a second over `body_rate_ms`, once half of
    /// `requests_max` or `body_bytes` is in use, or of what its address may have; less is then answered 400 RequestTimeout as no
    /// byte at all is. A live feed may trickle until then. 0 for no such bound. Default 1,024.
    pub body_rate: u64,
    /// Over how much waiting `body_rate` is looked at, in milliseconds. Default 30,000.
    pub body_rate_ms: u64,
    /// A long body for which so much waiting brings little, in milliseconds, is written out to the disk as far as it has come, and
    /// gives its room in `body_bytes` to others but for 64 KiB. Default 1,000.
    pub body_lull_ms: u64,
    /// How many bytes of a refused body are read away, so that the client reads the answer. Default 67,108,864 (64 MiB).
    pub drain_bytes: u64,
    /// For how long, in milliseconds. Default 5,000.
    pub drain_ms: u64,
    /// Bytes of request bodies on their way through the process at once; those longer than 64 KiB share three quarters of it. A
    /// request that finds no room for `body_wait_ms` is answered 503 with `Retry-After`. Default 268,435,456 (256 MiB).
    pub body_bytes: u64,
    /// What one long body may hold of them; 64 KiB when it is slow, or came when half of them were in use. Default 1,048,576
    /// (1 MiB).
    pub body_bytes_each: u64,
    /// What the bodies of one address may hold of them. 0 for half. Default 0.
    pub body_bytes_per_address: u64,
    /// The same as `body_bytes` for answers on their way out, of which a long one holds 768 KiB, or 96 KiB if it came when half of
    /// them were in use. Apart from `body_bytes`, so that slow readers stop no writer. Default 268,435,456 (256 MiB).
    pub download_bytes: u64,
    /// What the answers to one address may hold of them. 0 for half. Default 0.
    pub download_bytes_per_address: u64,
    /// How long a request waits for room, in milliseconds. Default 10,000.
    pub body_wait_ms: u64,
    /// The longest body of one PutObject, in bytes. Above: 400 EntityTooLarge. Default 5,368,709,120 (5 GiB, OSS's limit).
    pub put_bytes: u64,
    /// How long requests under way may take to finish after a signal to stop, in milliseconds. Default 10,000.
    pub shutdown_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 16_384,
            connections_per_address: 0,
            requests_max: 4_096,
            requests_per_address: 0,
            trusted: vec!["127.0.0.0/8".to_owned(), "::1".to_owned()],
            header_bytes: 32 << 10,
            uri_bytes: 8 << 10,
            head_read_ms: 30_000,
            heads_bytes: 64 << 20,
            idle_ms: 75_000,
            idle_crowded_ms: 5_000,
            request_ms: 259_200_000,
            body_stall_ms: 60_000,
            body_rate: 1_024,
            body_rate_ms: 30_000,
            body_lull_ms: 1_000,
            drain_bytes: 64 << 20,
            drain_ms: 5_000,
            body_bytes: 256 << 20,
            body_bytes_each: 1 << 20,
            body_bytes_per_address: 0,
            download_bytes: 256 << 20,
            download_bytes_per_address: 0,
            body_wait_ms: 10_000,
            put_bytes: FIVE_GIB,
            shutdown_ms: 10_000,
        }
    }
}

/// What a bound of one address is when it is not set.
fn or_half(set: u64, all: u64) -> u64 {
    if set > 0 { set } else { (all / 2).max(1) }
}

impl Limits {
    /// What one address that is not trusted may take at once.
    pub(crate) fn share(&self) -> Share {
        let count = |set: usize, all: usize| {
            usize::try_from(or_half(set as u64, all as u64)).unwrap_or(usize::MAX)
        };
        // An account takes no more bytes than fit into 32 bits.
        let bytes = |set, all| usize::try_from(or_half(set, all).min(all)).unwrap_or(usize::MAX);
        Share {
            connections: count(self.connections_per_address, self.connections_max),
            requests: count(self.requests_per_address, self.requests_max),
            upload_bytes: bytes(self.body_bytes_per_address, self.body_bytes),
            download_bytes: bytes(self.download_bytes_per_address, self.download_bytes),
            head_bytes: or_half(0, self.heads_bytes),
        }
    }

    /// Those to whom no bound of one address applies.
    pub(crate) fn trusted(&self) -> Vec<Network> {
        networks(&self.trusted)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let at_least = |path, value: u64, least: u64| {
            if value >= least {
                return Ok(());
            }
            Err(ConfigError::Range { path, reason: format!("at least {least} is needed") })
        };
        let at_most = |path, value: u64, most: u64| {
            if value <= most {
                return Ok(());
            }
            Err(ConfigError::Range { path, reason: format!("at most {most} is possible") })
        };
        at_least("limits.connections_max", self.connections_max as u64, 1)?;
        at_most("limits.connections_max", self.connections_max as u64, 1 << 20)?;
        at_least("limits.requests_max", self.requests_max as u64, 1)?;
        check_networks("limits.trusted", &self.trusted)?;
        at_least("limits.header_bytes", self.header_bytes as u64, 4 << 10)?;
        at_most("limits.header_bytes", self.header_bytes as u64, 1 << 20)?;
        // hyper's own bound on a request target is 65,534 bytes.
        at_least("limits.uri_bytes", self.uri_bytes as u64, 1 << 10)?;
        at_most("limits.uri_bytes", self.uri_bytes as u64, 60 << 10)?;
        at_least("limits.head_read_ms", self.head_read_ms, 10)?;
        at_least("limits.idle_ms", self.idle_ms, 10)?;
        at_least("limits.heads_bytes", self.heads_bytes, 1 << 20)?;
        at_least("limits.request_ms", self.request_ms, 10)?;
        at_least("limits.body_stall_ms", self.body_stall_ms, 10)?;
        at_most("limits.body_rate", self.body_rate, 1 << 30)?;
        at_least("limits.body_rate_ms", self.body_rate_ms, 10)?;
        at_least("limits.body_lull_ms", self.body_lull_ms, 10)?;
        at_least("limits.body_bytes", self.body_bytes, 1 << 20)?;
        at_most("limits.body_bytes", self.body_bytes, u64::from(u32::MAX))?;
        at_least("limits.body_bytes_each", self.body_bytes_each, 64 << 10)?;
        at_least("limits.download_bytes", self.download_bytes, 1 << 20)?;
        at_most("limits.download_bytes", self.download_bytes, u64::from(u32::MAX))?;
        at_least("limits.put_bytes", self.put_bytes, 1)
    }
}
