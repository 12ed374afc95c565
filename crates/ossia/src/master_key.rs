//! `ossia master-key`: looks at a master key file, and adds a key to it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use ossia_keys::MasterKeys;

use crate::keyfile;

/// What `ossia master-key` takes.
#[derive(Debug, Args)]
pub(crate) struct MasterKeyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a key and make it the current one
    ///
    /// A running server notices by itself within seconds, and seals the data keys of its objects anew; its log tells when no object
    /// is under an older key any more. The older keys stay in the file. Copy the file before and after.
    Rotate(Place),
    /// Tell the ids of the keys, the current one last; never the keys themselves
    Show(Place),
}

/// Where the file is.
#[derive(Debug, Args)]
struct Place {
    /// The file with the master keys
    #[arg(long, value_name = "FILE", env = "OSSIA_MASTER_KEY_FILE", conflicts_with = "data")]
    master_key_file: Option<PathBuf>,
    /// The data folder, for the file beside it [default: ossia-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Does it. Exit codes: 0 done, 2 it could not be.
pub(crate) fn run(arguments: &MasterKeyArgs) -> ExitCode {
    match done(&arguments.verb) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ossia: {error}");
            ExitCode::from(2)
        }
    }
}

fn done(verb: &Verb) -> Result<String, String> {
    let (Verb::Rotate(place) | Verb::Show(place)) = verb;
    let path = match &place.master_key_file {
        Some(path) => path.clone(),
        None => {
            let data = place.data.as_deref().unwrap_or(Path::new("ossia-data"));
            keyfile::place(Path::new(""), None, data)?
        }
    };
    let keys = MasterKeys::of_file(&path).map_err(|error| error.to_string())?;
    match verb {
        Verb::Rotate(_) => {
            let id = keys.rotate().map_err(|error| error.to_string())?;
            Ok(format!("{}: the key {id} is current", path.display()))
        }
        Verb::Show(_) => {
            let current = keys.current();
            let ids = keys.ids().into_iter().filter(|id| Some(*id) != current);
            let mut lines: Vec<String> = ids.map(|id| id.to_string()).collect();
            lines.extend(current.map(|id| format!("{id} current")));
            Ok(lines.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_adds_a_key_that_is_current_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let place = || Place { master_key_file: Some(path.clone()), data: None };
        assert!(done(&Verb::Rotate(place())).unwrap_err().contains("no such key file"));
        let first = MasterKeys::open_or_create(&path).unwrap().current().unwrap();
        done(&Verb::Rotate(place())).unwrap();
        let now = MasterKeys::of_file(&path).unwrap().current().unwrap();
        assert_eq!(done(&Verb::Show(place())).unwrap(), format!("{first}\n{now} current"));
        let beside = Place { master_key_file: None, data: Some(folder.path().join("data")) };
        assert!(done(&Verb::Show(beside)).unwrap_err().contains("data.master-key"));
    }
}
