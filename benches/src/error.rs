//! Why a bench could not be carried out. Slowness is never a reason.

use std::{fmt, io};

/// What broke the harness.
#[derive(Debug)]
pub(crate) enum BenchError {
    /// The command line makes no sense.
    Usage(String),
    /// A call to the system failed.
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// A process under test did not start or stop as it should.
    Child {
        /// Which one.
        name: String,
        /// What happened.
        what: String,
    },
    /// An answer that the workload cannot go on from.
    Answer {
        /// HTTP status, 0 when it was no HTTP.
        status: u16,
        /// The body, shortened, or what is wrong with the answer.
        text: String,
    },
    /// Bytes came back that were not the ones stored.
    Content(String),
    /// No operation finished for so long that the run was given up.
    Stalled,
    /// A round held no operation that counts.
    Idle,
}

impl BenchError {
    /// For `map_err`: an I/O error with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
        move |error| BenchError::Io { what: what.into(), error }
    }

    /// An answer that is not what the protocol promises.
    pub(crate) fn answer(text: impl Into<String>) -> BenchError {
        BenchError::Answer { status: 0, text: text.into() }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchError::Usage(text) => write!(f, "{text}"),
            BenchError::Io { what, error } => write!(f, "{what}: {error}"),
            BenchError::Child { name, what } => write!(f, "{name}: {what}"),
            BenchError::Answer { status, text } => write!(f, "unexpected answer {status}: {text}"),
            BenchError::Content(text) => write!(f, "wrong bytes: {text}"),
            BenchError::Stalled => f.write_str("no operation finished for a minute"),
            BenchError::Idle => f.write_str("no operation of the round came into its window"),
        }
    }
}

impl std::error::Error for BenchError {}
