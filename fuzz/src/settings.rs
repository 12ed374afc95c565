//! What operators and users write: a file of settings, variables and flags, the identity file, endpoints, command lines.

use clap::{FromArgMatches as _, Subcommand as _};
use ossia_cli::{Command, OssUri, Place};
use ossia_server::config::Config;

use crate::input::text;

pub(crate) fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let text = text(rest);
    match kind {
        b'f' => {
            let told = Config::load(Some(&text), [], &[]);
            assert_eq!(told, Config::load(Some(&text), [], &[]));
            if let Ok(config) = told {
                let _ = config.checked();
            }
        }
        b'e' => {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
            if let Ok(config) = Config::load(None, variables, &[]) {
                let _ = config.checked();
            }
        }
        b's' => {
            let sets: Vec<String> = text.lines().map(str::to_owned).collect();
            if let Ok(config) = Config::load(None, [], &sets) {
                let _ = config.checked();
            }
        }
        b'i' => ossia_server::identity::fuzz(&text),
        b'u' => {
            let mut lines = text.splitn(4, '\n');
            let mut line = || lines.next().unwrap_or_default();
            ossia_client::fuzzing::endpoint(line(), line(), line(), line().as_bytes());
        }
        b'c' => {
            let words = std::iter::once("ossia").chain(text.lines());
            // Required, as the program requires it: without one there is nothing to be read from the matches.
            let program = clap::Command::new("ossia").subcommand_required(true);
            let command = Command::augment_subcommands(program);
            if let Ok(matches) = command.try_get_matches_from(words) {
                assert!(Command::from_arg_matches(&matches).is_ok(), "clap has checked it");
            }
        }
        _ => {
            if let Ok(uri) = text.parse::<OssUri>() {
                assert_eq!(uri.to_string().parse(), Ok(uri));
            }
            let _ = text.parse::<Place>();
        }
    }
}
