//! Why a command failed, and the exit code that says so.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use ossia_client::{ClientError, InvalidInput, Outcome};

/// What ends a command early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Arguments that make no sense, or a file of this machine that cannot be read or written.
    Usage(String),
    /// A call failed; with a line that helps, where there is one.
    Call(Box<ClientError>, Option<&'static str>),
    /// Whoever read standard output has read enough.
    OutputClosed,
    /// Several failures, all told already; this is the code of the first.
    Told(u8),
}

impl Failure {
    pub(crate) fn usage(message: &str) -> Failure {
        Failure::Usage(message.to_owned())
    }

    /// A file of this machine.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Failure {
        Failure::Usage(format!("{}: {error}", path.display()))
    }

    /// Standard output.
    pub(crate) fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Usage(format!("standard output: {error}")),
        }
    }

    /// Adds what an unsigned caller should know.
    pub(crate) fn with_hint(self, anonymous: bool) -> Failure {
        match self {
            Failure::Call(error, None) if anonymous && error.status() == Some(403) => {
                Failure::Call(
                    error,
                    Some(
                        "no access key was given: set OSSIA_ACCESS_KEY_ID and OSSIA_ACCESS_KEY_SECRET",
                    ),
                )
            }
            failure => failure,
        }
    }

    /// The exit code, as the crate's table has it.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::OutputClosed => 0,
            Failure::Usage(_) => 2,
            Failure::Told(code) => *code,
            Failure::Call(error, _) => match **error {
                ClientError::InvalidInput(_) | ClientError::Body(_) => 2,
                ClientError::Transport { .. }
                | ClientError::Timeout { .. }
                | ClientError::AppendUnknown { .. } => 3,
                _ => 1,
            },
        }
    }

    /// Tells it on standard error.
    pub(crate) fn tell(&self) {
        match self {
            Failure::OutputClosed | Failure::Told(_) => {}
            Failure::Usage(message) => eprintln!("ossia: {message}"),
            Failure::Call(error, hint) => {
                eprintln!("ossia: {error}");
                if error.outcome() == Outcome::Unknown && self.code() == 3 {
                    eprintln!("ossia: it may have happened all the same");
                }
                if let Some(hint) = hint {
                    eprintln!("ossia: {hint}");
                }
            }
        }
    }

    /// Tells it and gives its exit code.
    pub(crate) fn report(&self) -> ExitCode {
        self.tell();
        ExitCode::from(self.code())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        Failure::Call(Box::new(error), None)
    }
}

impl From<InvalidInput> for Failure {
    fn from(error: InvalidInput) -> Failure {
        Failure::from(ClientError::from(error))
    }
}
