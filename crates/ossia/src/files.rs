//! How many files the process may have open, and how many connections that leaves room for.
//!
//! A connection is a file, and an upload or a download holds a second one; of those there are no more than connections, nor than the
//! server's bounds on requests and answers allow. Were connections able to use up all of them, anyone could
//! keep the engine from opening its next one, and a failed write of its own files stops the store until it is opened anew (I5).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the engine holds at most: open tables, segments and their successors, with room to spare.
const ENGINE_FILES: u64 = 768;
/// A server that cannot hold this many connections is of no use; better to try than to refuse the start.
const CONNECTIONS_MIN: u64 = 16;

/// Raises the limit of open files as far as the system lets an unprivileged process, and tells it; `None` when there is none.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::info!(%error, "the limit of open files stays as it is");
            limit.current
        }
    }
}

/// At most `wanted` connections, and no more than the files that are left over allow, of which bodies take at most `bodies`.
pub(crate) fn connections_within(files: Option<u64>, bodies: u64, wanted: usize) -> usize {
    let Some(files) = files else { return wanted };
    let left = files.saturating_sub(ENGINE_FILES);
    let room = (left / 2).max(left.saturating_sub(bodies)).max(CONNECTIONS_MIN);
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_engine_its_files() {
        assert_eq!(connections_within(None, 6_000, 16_384), 16_384);
        assert_eq!(connections_within(Some(1 << 20), 6_000, 16_384), 16_384);
        assert_eq!(connections_within(Some(20_000), 1 << 20, 16_384), 9_616);
        assert_eq!(connections_within(Some(20_000), 6_000, 16_384), 13_232);
        assert_eq!(connections_within(Some(1_024), 6_000, 16_384), 128);
        assert_eq!(connections_within(Some(1_024), 6_000, 100), 100);
        assert_eq!(connections_within(Some(256), 6_000, 16_384), 16);
    }
}
