//! The command line: `ossia mb | rb | ls | stat | cat | cp | rm | append | seal` on `oss://bucket/key`, and
//! `ossia user | key | group | role | policy` on identities.
//!
//! Owns arguments, output and exit codes. Everything that goes over the network is [`ossia_client`]'s; this crate knows
//! nothing of the server and of how bytes are stored.
//!
//! The binary flattens [`Command`] among its own commands and hands it to [`run`]:
//!
//! ```no_run
//! use clap::{Parser, Subcommand};
//!
//! #[derive(Parser)]
//! struct Arguments {
//!     #[command(subcommand)]
//!     command: Top,
//! }
//!
//! #[derive(Subcommand)]
//! enum Top {
//!     #[command(flatten)]
//!     Client(ossia_cli::Command),
//! }
//!
//! # async fn example() -> std::process::ExitCode {
//! let Top::Client(command) = Arguments::parse().command;
//! ossia_cli::run(command).await
//! # }
//! ```
//!
//! # Output
//!
//! Results go to standard output, everything else to standard error. With `--json` each result is one JSON object on one line:
//! a listing's entry, a block appended. Control characters in names are shown escaped, except in JSON, which has its own way.
//!
//! # Exit codes
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | the service refused, or an answer did not fit the bytes; of `policy explain`: denied |
//! | 2 | usage: wrong arguments, a file of this machine that cannot be read or written |
//! | 3 | no answer: connection, timeout; what was asked for may have happened |

mod append;
mod args;
mod buckets;
mod copy;
mod failure;
mod identities;
mod input;
mod objects;
mod output;

pub use args::{
    AppendArgs, CatArgs, Command, Connected, ConnectedCommand, Connection, CpArgs, LsArgs, MbArgs,
    OssUri, OssUriError, Place, RbArgs, RmArgs, SealArgs, SignVersion, StatArgs,
};
pub use identities::{
    AddPolicyArgs, AddRoleArgs, AddUserArgs, AssumeArgs, AttachArgs, Entity, ExplainArgs,
    GroupCommand, GroupName, KeyCommand, KeyName, Membership, NoArgs, PolicyCommand, PolicyName,
    RoleCommand, RoleName, UserCommand, UserName,
};

use std::process::ExitCode;

use clap::{Args, Subcommand};
use ossia_client::{Addressing, Client, Credentials, SignatureVersion};

use crate::failure::Failure;
use crate::output::Output;

/// Runs one command to its end and answers with the process's exit code (see the table above).
///
/// It needs a tokio runtime with I/O, time and signals; it prints to the process's standard streams, and blocks a worker while
/// they do.
pub async fn run(command: Command) -> ExitCode {
    let result = match command {
        Command::Mb(c) => with(c, buckets::make).await,
        Command::Rb(c) => with(c, buckets::remove).await,
        Command::Ls(c) => with(c, buckets::list).await,
        Command::Stat(c) => with(c, objects::stat).await,
        Command::Cat(c) => with(c, objects::cat).await,
        Command::Cp(c) => with(c, copy::copy).await,
        Command::Rm(c) => with(c, objects::remove).await,
        Command::Append(c) => with(c, append::append).await,
        Command::Seal(c) => with(c, append::seal).await,
        Command::User(c) => with_command(c, identities::user).await,
        Command::Key(c) => with_command(c, identities::key).await,
        Command::Group(c) => with_command(c, identities::group).await,
        Command::Role(c) => with_command(c, identities::role).await,
        Command::Policy(c) => with_command(c, identities::policy).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// What every command works with.
struct Session {
    client: Client,
    output: Output,
}

/// Connects a command's arguments with a client and runs it.
async fn with<A: Args, F>(
    connected: Connected<A>,
    command: impl FnOnce(Session, A) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    connect(connected.connection, connected.args, command).await
}

/// As [`with`], for one of several.
async fn with_command<C: Subcommand, F>(
    connected: ConnectedCommand<C>,
    command: impl FnOnce(Session, C) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    connect(connected.connection, connected.command, command).await
}

async fn connect<A, F>(
    connection: Connection,
    args: A,
    command: impl FnOnce(Session, A) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let signed = credentials(&connection)?;
    let anonymous = signed.is_none();
    let mut builder = Client::builder(&connection.endpoint).region(&connection.region).signature(
        match connection.sign {
            SignVersion::V1 => SignatureVersion::V1,
            SignVersion::V4 => SignatureVersion::V4,
        },
    );
    if connection.path_style {
        builder = builder.addressing(Addressing::Path);
    }
    if let Some(credentials) = signed {
        builder = builder.credentials(credentials);
    }
    let client = builder.build().map_err(|error| Failure::Usage(error.to_string()))?;
    let session = Session { client, output: Output::new(connection.json) };
    command(session, args).await.map_err(|failure| failure.with_hint(anonymous))
}

/// The key to sign with: from the arguments or Ossia's own variables, else from those that the official SDKs read. None at all
/// means unsigned.
fn credentials(connection: &Connection) -> Result<Option<Credentials>, Failure> {
    let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    match (given(&connection.access_key_id), given(&connection.access_key_secret)) {
        (Some(id), Some(secret)) => {
            let credentials = Credentials::new(id, secret);
            Ok(Some(match given(&connection.security_token) {
                Some(token) => credentials.with_security_token(token),
                None => credentials,
            }))
        }
        (None, None) => Ok(Credentials::from_env()),
        (Some(_), None) => Err(Failure::usage("the access key secret is missing")),
        (None, Some(_)) => Err(Failure::usage("the access key id is missing")),
    }
}
