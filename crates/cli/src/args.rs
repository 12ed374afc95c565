//! Arguments as types: what a user can type, and nothing that it does.
//!
//! Connection options stand in each command rather than beside the binary's own options, because `ossia serve` gives
//! some of the same names (`--region`) another meaning.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

use crate::identities::{GroupCommand, KeyCommand, PolicyCommand, RoleCommand, UserCommand};

/// The commands that talk to a server.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make a bucket
    Mb(Connected<MbArgs>),
    /// Remove an empty bucket
    Rb(Connected<RbArgs>),
    /// List buckets, or the objects of one
    Ls(Connected<LsArgs>),
    /// Show what is known about a bucket or an object
    Stat(Connected<StatArgs>),
    /// Write an object to standard output
    Cat(Connected<CatArgs>),
    /// Copy a file to an object, an object to a file, or an object to an object
    Cp(Connected<CpArgs>),
    /// Delete objects
    Rm(Connected<RmArgs>),
    /// Append a file or standard input to an object
    ///
    /// From standard input the object grows as the input does: whatever has arrived is appended when a block is
    /// full or the flush interval is over, so that `tail -f app.log | ossia append oss://logs/app.log` is live.
    Append(Connected<AppendArgs>),
    /// Seal an appendable object: nothing can be appended to it afterwards
    Seal(Connected<SealArgs>),
    /// Make, list, show and remove users
    User(ConnectedCommand<UserCommand>),
    /// Make, list, switch and remove the AccessKeys of users
    Key(ConnectedCommand<KeyCommand>),
    /// Make, list, show and remove groups of users
    Group(ConnectedCommand<GroupCommand>),
    /// Make, list, show, remove and assume roles
    Role(ConnectedCommand<RoleCommand>),
    /// Make, list, show, remove, attach and detach policies
    Policy(ConnectedCommand<PolicyCommand>),
}

/// A command of several, together with where and as whom to run it.
#[derive(Debug, Clone, Args)]
pub struct ConnectedCommand<C: Subcommand> {
    /// Where and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// Which.
    #[command(subcommand)]
    pub command: C,
}

/// A command's own arguments together with where and as whom to run it.
#[derive(Debug, Clone, Args)]
pub struct Connected<A: Args> {
    /// Where and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// The command's own arguments.
    #[command(flatten)]
    pub args: A,
}

/// Which server, which key, which signature.
#[derive(Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Address of the service
    #[arg(long, global = true, env = "OSSIA_ENDPOINT", default_value = "http://127.0.0.1:9000")]
    pub endpoint: String,
    /// Region named in a V4 signature
    #[arg(long, global = true, env = "OSSIA_REGION", default_value = "cn-hangzhou")]
    pub region: String,
    /// Access key id (also `OSS_ACCESS_KEY_ID`)
    #[arg(long, global = true, env = "OSSIA_ACCESS_KEY_ID", hide_env_values = true)]
    pub access_key_id: Option<String>,
    /// Access key secret; better given by the environment (also `OSS_ACCESS_KEY_SECRET`)
    #[arg(long, global = true, env = "OSSIA_ACCESS_KEY_SECRET", hide_env_values = true)]
    pub access_key_secret: Option<String>,
    /// Security token of temporary credentials (also `OSS_SESSION_TOKEN`)
    #[arg(long, global = true, env = "OSSIA_SECURITY_TOKEN", hide_env_values = true)]
    pub security_token: Option<String>,
    /// Signature version
    #[arg(long, global = true, value_enum, default_value_t = SignVersion::V4)]
    pub sign: SignVersion,
    /// Put the bucket into the path, whatever the endpoint's name looks like
    #[arg(long, global = true)]
    pub path_style: bool,
    /// Print results as JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
}

impl fmt::Debug for Connection {
    // Secrets never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("sign", &self.sign)
            .finish_non_exhaustive()
    }
}

/// Signature versions that the command line can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SignVersion {
    /// `Authorization: OSS id:signature`.
    V1,
    /// `Authorization: OSS4-HMAC-SHA256 ...`.
    V4,
}

/// `ossia mb`.
#[derive(Debug, Clone, Args)]
pub struct MbArgs {
    /// The bucket, as oss://bucket
    pub bucket: OssUri,
    /// Its access control: private, public-read or public-read-write
    #[arg(long)]
    pub acl: Option<String>,
}

/// `ossia rb`.
#[derive(Debug, Clone, Args)]
pub struct RbArgs {
    /// The bucket, as oss://bucket
    pub bucket: OssUri,
}

/// `ossia ls`.
#[derive(Debug, Clone, Args)]
pub struct LsArgs {
    /// A bucket and perhaps a prefix, as oss://bucket/prefix; nothing lists the buckets
    pub place: Option<OssUri>,
    /// Every object below the prefix, not only the next level
    #[arg(short, long)]
    pub recursive: bool,
    /// Stop after this many entries
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
}

/// `ossia stat`.
#[derive(Debug, Clone, Args)]
pub struct StatArgs {
    /// A bucket or an object, as oss://bucket/key
    pub place: OssUri,
}

/// `ossia cat`.
#[derive(Debug, Clone, Args)]
pub struct CatArgs {
    /// The object, as oss://bucket/key
    pub object: OssUri,
    /// First byte to write
    #[arg(long, value_name = "BYTE")]
    pub offset: Option<u64>,
    /// How many bytes to write at most
    #[arg(long, value_name = "BYTES")]
    pub length: Option<u64>,
}

/// `ossia cp`.
#[derive(Debug, Clone, Args)]
pub struct CpArgs {
    /// A file, `-` for standard input, or oss://bucket/key
    pub source: Place,
    /// A file, a folder, `-` for standard output, or oss://bucket/key; a key ending in / keeps the source's name
    pub target: Place,
    /// Content type of the new object; by default guessed from its name
    #[arg(long)]
    pub content_type: Option<String>,
    /// Refuse to replace an object or a file that exists
    #[arg(long)]
    pub no_overwrite: bool,
}

/// `ossia rm`.
#[derive(Debug, Clone, Args)]
pub struct RmArgs {
    /// The objects, as oss://bucket/key
    #[arg(required = true)]
    pub objects: Vec<OssUri>,
}

/// `ossia append`.
#[derive(Debug, Clone, Args)]
pub struct AppendArgs {
    /// The object, as oss://bucket/key; it is created if it does not exist
    pub object: OssUri,
    /// The file to append; standard input if it is left out or `-`
    pub file: Option<PathBuf>,
    /// Length that the object must have now; by default it is asked for
    #[arg(long, value_name = "BYTE")]
    pub position: Option<u64>,
    /// Append a block as soon as so much has arrived on standard input
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub block_bytes: usize,
    /// Append whatever has arrived on standard input after so long
    #[arg(long, value_name = "MS", default_value_t = 200)]
    pub flush_interval_ms: u64,
    /// Content type, where the append creates the object; by default guessed from its name
    #[arg(long)]
    pub content_type: Option<String>,
}

/// `ossia seal`.
#[derive(Debug, Clone, Args)]
pub struct SealArgs {
    /// The object, as oss://bucket/key
    pub object: OssUri,
    /// Length that the object must have now; by default it is asked for
    #[arg(long, value_name = "BYTE")]
    pub position: Option<u64>,
}

/// `oss://bucket` or `oss://bucket/key`, unchecked but for its shape: the client checks names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OssUri {
    /// Between `oss://` and the next slash; never empty.
    pub bucket: String,
    /// Behind that slash, taken literally (no percent-decoding); empty if there is none.
    pub key: String,
}

/// Why a text is not an [`OssUri`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OssUriError {
    /// It does not begin with `oss://`.
    Scheme,
    /// Nothing stands between `oss://` and the next slash.
    Bucket,
}

impl fmt::Display for OssUriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OssUriError::Scheme => f.write_str("expected oss://bucket/key"),
            OssUriError::Bucket => f.write_str("the bucket's name is missing after oss://"),
        }
    }
}

impl std::error::Error for OssUriError {}

impl FromStr for OssUri {
    type Err = OssUriError;

    fn from_str(text: &str) -> Result<OssUri, OssUriError> {
        let rest = text.strip_prefix("oss://").ok_or(OssUriError::Scheme)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(OssUriError::Bucket);
        }
        Ok(OssUri { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for OssUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oss://{}", self.bucket)?;
        if !self.key.is_empty() {
            write!(f, "/{}", self.key)?;
        }
        Ok(())
    }
}

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the server.
    Object(OssUri),
    /// On this machine; `-` is a standard stream.
    File(PathBuf),
}

impl FromStr for Place {
    type Err = OssUriError;

    fn from_str(text: &str) -> Result<Place, OssUriError> {
        if text.starts_with("oss://") {
            text.parse().map(Place::Object)
        } else {
            Ok(Place::File(PathBuf::from(text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_splits_at_the_first_slash_and_keeps_the_key_as_it_is() {
        let uri: OssUri = "oss://bkt/a//b%2F c/".parse().unwrap();
        assert_eq!((uri.bucket.as_str(), uri.key.as_str()), ("bkt", "a//b%2F c/"));
        assert_eq!(uri.to_string(), "oss://bkt/a//b%2F c/");
        for bucket_only in ["oss://bkt", "oss://bkt/"] {
            let uri: OssUri = bucket_only.parse().unwrap();
            assert_eq!((uri.bucket.as_str(), uri.key.as_str()), ("bkt", ""));
        }
    }

    #[test]
    fn a_uri_without_scheme_or_bucket_is_refused() {
        assert_eq!("bkt/key".parse::<OssUri>(), Err(OssUriError::Scheme));
        assert_eq!("s3://bkt/key".parse::<OssUri>(), Err(OssUriError::Scheme));
        assert_eq!("oss://".parse::<OssUri>(), Err(OssUriError::Bucket));
        assert_eq!("oss:///key".parse::<OssUri>(), Err(OssUriError::Bucket));
    }

    #[test]
    fn a_place_is_a_file_unless_it_names_the_scheme() {
        assert_eq!("a/b".parse(), Ok(Place::File(PathBuf::from("a/b"))));
        assert!(matches!("oss://b/k".parse(), Ok(Place::Object(_))));
        assert_eq!("oss://".parse::<Place>(), Err(OssUriError::Bucket));
    }

    #[derive(clap::Parser)]
    struct Program {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn the_commands_fit_together() {
        use clap::CommandFactory as _;
        Program::command().debug_assert();
    }

    #[test]
    fn append_takes_standard_input_by_default() {
        use clap::Parser as _;
        let parsed = Program::parse_from(["ossia", "append", "oss://b/k", "--sign", "v1"]);
        let Command::Append(append) = parsed.command else { panic!("not an append") };
        assert_eq!(append.args.file, None);
        assert_eq!(append.args.position, None);
        assert_eq!(append.connection.sign, SignVersion::V1);
    }

    #[test]
    fn a_secret_is_not_printed_by_debug() {
        use clap::Parser as _;
        let parsed = Program::parse_from(["ossia", "ls", "--access-key-secret", "topsecret"]);
        assert!(!format!("{:?}", parsed.command).contains("topsecret"));
    }
}
