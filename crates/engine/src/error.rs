//! Why a store could not be opened.

use std::path::PathBuf;

use thiserror::Error;

/// Why [`crate::LocalEngine::open`] refused. Nothing has been changed in the folder that a later start would miss.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has the folder open.
    #[error("the data folder {} is in use by another process{}", folder.display(), told(*pid))]
    Locked {
        /// The data folder.
        folder: PathBuf,
        /// The other process, where it left its number.
        pid: Option<u32>,
    },
    /// Stored bytes are not what was written, and going on could lose acknowledged data (I6).
    #[error("{} is damaged at offset {offset}: {what}; {advice}", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file, in bytes; 0 when it is the file as a whole.
        offset: u64,
        /// What is wrong with it.
        what: String,
        /// What to do now.
        advice: String,
    },
    /// A later version of Ossia has written the folder.
    #[error("the data folder {} has format {found}, this version knows up to {supported}; use a newer version", folder.display())]
    NewerFormat {
        /// The data folder.
        folder: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// A setting is out of its range.
    #[error("invalid setting {name}: {reason}")]
    Setting {
        /// The field of [`crate::EngineOptions`].
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operating system refused.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

fn told(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { path, error }
    }
}
