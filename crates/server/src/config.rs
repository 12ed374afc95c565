//! The settings of a server: one struct, from a TOML file, the environment and flags, checked once.
//!
//! # Where a setting comes from
//!
//! Later sources win: the defaults below, the TOML file, the environment, `--set`, the flags of `ossia serve`.
//!
//! In the environment a setting is `OSSIA_` and its path in upper case, with two underscores between the levels:
//! `OSSIA_LISTEN`, `OSSIA_APPEND__MAX_BYTES`, `OSSIA_LIMITS__IDLE_MS`. Lists are separated by commas. A name with two underscores
//! that is no setting stops the start, so that a slip of the pen does not go unseen.
//!
//! The root key is no setting: `OSSIA_ACCESS_KEY_ID` and `OSSIA_ACCESS_KEY_SECRET`, see [`crate::identity`].

mod limits;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::{Table, Value};

use ossia_protocol::network::Network;

pub use self::limits::Limits;

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on. Port 0 lets the system choose one. Default `127.0.0.1:9000`.
    pub listen: SocketAddr,
    /// The data folder, made if it is absent. Default `ossia-data`.
    pub data: PathBuf,
    /// The file with the master keys, made at the first start; never within `data`. Empty: beside the configuration file, else beside
    /// the data folder, with `.master-key` behind its name. Of no account with `memory`. Default empty.
    pub master_key_file: PathBuf,
    /// Keeps everything in memory and leaves nothing behind; `data` is not touched. Default false.
    pub memory: bool,
    /// The most bytes that `memory` keeps, then writes are refused as on a full disk; 0 for no bound. Default 0.
    pub memory_max_bytes: u64,
    /// Certificate and key; with both, the server answers by TLS and by nothing else.
    pub tls: Tls,
    /// Base domains for virtual hosts: `bucket.DOMAIN`. The first one, with the port, is also the endpoint that answers name.
    /// `localhost` and `oss-*.aliyuncs.com` are always known. Default none.
    pub domain: Vec<String>,
    /// Host names that stand for a bucket, each `DOMAIN=BUCKET`. Default none.
    pub cname: Vec<String>,
    /// The region whose name answers carry, and which `auth.strict_region` asks for. Default `cn-hangzhou`.
    pub region: String,
    /// The account id, 16 digits; empty for the one made at the first start. Default empty.
    pub account: String,
    /// How many buckets there may be. Default 100, as OSS.
    pub buckets_max: u32,
    /// The endpoints that answers advertise.
    pub advertise: Advertise,
    /// Appends.
    pub append: Append,
    /// Signatures.
    pub auth: Auth,
    /// Users, groups, roles, policies and temporary credentials.
    pub ram: Ram,
    /// Callbacks to application servers.
    pub callback: Callback,
    /// Delivery of access logs.
    pub logging: Logging,
    /// Inventory reports.
    pub inventory: Inventory,
    /// Bounds on what clients may use.
    pub limits: Limits,
    /// The embedded engine.
    pub engine: Engine,
    /// Packing of appended objects.
    pub packing: Packing,
    /// How everything stored is read in turn.
    pub scrub: Scrub,
    /// Restores of archived objects.
    pub restore: Restore,
    /// How the lifecycle rules of buckets are followed.
    pub lifecycle: Lifecycle,
    /// What operators see.
    pub metrics: Metrics,
    /// Who did what.
    pub audit: Audit,
}

/// The audit log: a line of JSON for each request that was let through or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The file that lines are added to; none when empty. Opened again when it has been moved away. Default empty.
    pub file: PathBuf,
    /// When it has this many bytes it is set aside as `FILE.1`, in the place of the one before. Default 268,435,456 (256 MiB).
    pub bytes_max: u64,
}

impl Default for Audit {
    fn default() -> Audit {
        Audit { file: PathBuf::new(), bytes_max: 256 << 20 }
    }
}

/// TLS on `listen`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate, in PEM, with its chain behind it. Default none.
    pub cert: PathBuf,
    /// Its private key, in PEM. Default none.
    pub key: PathBuf,
    /// How often it is looked whether the files have changed, in milliseconds; SIGHUP has them read at once. Default 5,000.
    pub look_ms: u64,
    /// Whether clients may choose HTTP/2. Default true.
    pub http2: bool,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls { cert: PathBuf::new(), key: PathBuf::new(), look_ms: 5_000, http2: true }
    }
}

impl Tls {
    /// Whether there is any.
    pub fn is_on(&self) -> bool {
        !self.cert.as_os_str().is_empty()
    }
}

/// The endpoints in GetBucketInfo and ListBuckets: host and port, no scheme. Clients connect to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Advertise {
    /// The public endpoint; empty for the first `domain` with the port, or, without a domain, for OSS's form of the region.
    pub extranet: String,
    /// The internal endpoint; empty as above.
    pub intranet: String,
}

/// Settings of appends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Append {
    /// The longest appendable object in bytes. Default 5,368,709,120 (5 GiB, OSS's limit); at most 48.8 TiB.
    pub max_bytes: u64,
    /// What an append without `position` means: `"refuse"` answers 400 MissingArgument as OSS does, `"zero"` takes it as 0.
    /// Default `"refuse"`.
    pub missing_position: MissingPosition,
    /// Whether an appendable object may be the source of a copy: `"refuse"` or `"allow"`. Default `"refuse"`.
    pub copy_source: CopySource,
}

/// What an append without `position` means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingPosition {
    /// 400 MissingArgument.
    #[default]
    Refuse,
    /// Position 0.
    Zero,
}

/// Whether an appendable object may be copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopySource {
    /// 400 OperationNotSupported.
    #[default]
    Refuse,
    /// The newer behaviour of OSS.
    Allow,
}

/// Settings of signatures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Refuses V4 signatures made for another region than `region`. Default false: any region is taken.
    pub strict_region: bool,
    /// Proxies in front, addresses and networks: of a request that comes from one, the last address in `X-Forwarded-For` that is none
    /// of theirs is what policies take for its source. Default none: whoever else sends that header is not believed.
    pub proxies: Vec<String>,
}

impl Auth {
    pub(crate) fn proxies(&self) -> Vec<Network> {
        networks(&self.proxies)
    }

    fn check(&self) -> Result<(), ConfigError> {
        check_networks("auth.proxies", &self.proxies)
    }
}

fn networks(texts: &[String]) -> Vec<Network> {
    texts.iter().filter_map(|text| Network::parse(text)).collect()
}

fn check_networks(path: &'static str, texts: &[String]) -> Result<(), ConfigError> {
    let Some(bad) = texts.iter().find(|text| Network::parse(text).is_none()) else {
        return Ok(());
    };
    let reason = format!("{bad:?} is no address, and no network such as 10.0.0.0/8");
    Err(ConfigError::Range { path, reason })
}

/// How many users, groups, roles and policies there may be, and how long sessions last. The numbers are those of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ram {
    /// Users. Default 1,000.
    pub users: usize,
    /// Groups. Default 50.
    pub groups: usize,
    /// Roles. Default 1,000.
    pub roles: usize,
    /// Policies of the account's own. Default 1,500.
    pub policies: usize,
    /// Versions of one policy. Default 5.
    pub versions: usize,
    /// AccessKeys of one user. Default 2.
    pub keys_per_user: usize,
    /// Groups that one user is in. Default 5.
    pub groups_per_user: usize,
    /// System policies attached to one user, group or role. Default 20.
    pub system_policies: usize,
    /// Policies of the account's own attached to one user. Default 10.
    pub custom_policies_per_user: usize,
    /// Those attached to one group. Default 5.
    pub custom_policies_per_group: usize,
    /// Those attached to one role. Default 5.
    pub custom_policies_per_role: usize,
    /// The shortest session of a role that may be asked for, in seconds. Default 900, as the service; shorter ones are for tests.
    pub session_seconds_min: u64,
    /// How often it is written when keys were last used, in milliseconds, 100 or more. Default 60,000. A crash forgets what has not
    /// been.
    pub last_use_ms: u64,
}

impl Default for Ram {
    fn default() -> Ram {
        let limits = ossia_ram::Limits::default();
        Ram {
            users: limits.users,
            groups: limits.groups,
            roles: limits.roles,
            policies: limits.policies,
            versions: limits.versions,
            keys_per_user: limits.keys_per_user,
            groups_per_user: limits.groups_per_user,
            system_policies: limits.system_policies_per_user,
            custom_policies_per_user: limits.custom_policies_per_user,
            custom_policies_per_group: limits.custom_policies_per_group,
            custom_policies_per_role: limits.custom_policies_per_role,
            session_seconds_min: limits.session_seconds_min,
            last_use_ms: 60_000,
        }
    }
}

/// Whom the server posts callbacks to, which clients ask for, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Callback {
    /// Whether any public IPv4 address may be called. Default true, as OSS.
    pub public: bool,
    /// Names, addresses and networks that may be called whatever their addresses are: `app.internal`, `10.1.0.0/16`. All others that
    /// are private, link-local, loopback, reserved or IPv6 are refused with 400 InvalidArgument. Default none.
    pub allowed: Vec<String>,
    /// How long one call may take, in milliseconds; then 203 CallbackFailed. Default 5,000, as OSS.
    pub timeout_ms: u64,
    /// Calls under way at once; more wait within `timeout_ms`. Default 256.
    pub at_once: usize,
}

impl Default for Callback {
    fn default() -> Callback {
        Callback { public: true, allowed: Vec::new(), timeout_ms: 5_000, at_once: 256 }
    }
}

/// How access logs are delivered to the buckets that want them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// How often lines are appended to their objects, in milliseconds. A crash loses what has not been. Default 60,000: whoever stops
    /// logging and empties the bucket is mostly done before that.
    pub flush_ms: u64,
    /// Bytes of lines that wait; lines that come then are lost and counted. Default 8,388,608 (8 MiB).
    pub buffer_bytes: usize,
}

impl Default for Logging {
    fn default() -> Logging {
        Logging { flush_ms: 60_000, buffer_bytes: 8 << 20 }
    }
}

/// When inventory reports are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inventory {
    /// How often rules are looked at, in milliseconds; 0 makes no reports. Default 60,000.
    pub look_ms: u64,
    /// How long a day is, in milliseconds: a week is seven of them, a month thirty. For tests. Default 86,400,000.
    pub day_ms: u64,
    /// Objects in one file of a report. Default 1,000,000.
    pub file_rows: u64,
}

impl Default for Inventory {
    fn default() -> Inventory {
        Inventory { look_ms: 60_000, day_ms: 86_400_000, file_rows: 1_000_000 }
    }
}

/// How the embedded engine uses its machine; of no account with `memory`. Its ranges are the engine's, which checks them before it
/// touches the data folder. Whether writes are synced is not a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Journals, indexes and commit threads beside one another; 0 for one per two cores, at most 8. A store keeps the number that
    /// it was made with. Default 0.
    pub shards: usize,
    /// Length of a journal segment in bytes, a multiple of 4,096. Default 67,108,864 (64 MiB).
    pub segment_bytes: u64,
    /// The journal's bound over all shards, in bytes: older segments are emptied and used again. Default 1,073,741,824 (1 GiB).
    pub journal_bytes: u64,
    /// How large the index's part in memory grows before it is written out, in bytes, of each shard. Default 33,554,432 (32 MiB).
    pub memtable_bytes: u64,
    /// How much journal may lie behind the last checkpoint, in bytes, of each shard; bounds what a start replays. Default 268,435,456
    /// (256 MiB).
    pub checkpoint_bytes: u64,
    /// Cache of the index's blocks in bytes. Default 16,777,216 (16 MiB).
    pub cache_bytes: u64,
    /// The most bytes of transactions that are accepted and not yet answered; more wait. Default 67,108,864 (64 MiB).
    pub queue_bytes: usize,
    /// What is made durable by one sync takes no further transaction once it has this many bytes. Default 8,388,608 (8 MiB).
    pub group_bytes: usize,
    /// Writes are refused as full when the disk has fewer free bytes than this; deletes go on. Default 201,326,592 (192 MiB).
    pub reserve_bytes: u64,
    /// Reads at the disk at once. Default 64.
    pub disk_reads: usize,
    /// After this long without a write, in milliseconds, the index's part in memory is written out and its memory given back.
    /// Default 10,000.
    pub idle_flush_ms: u64,
    /// How long a write waits for its turn, in milliseconds, before it is answered 503. Default 10,000.
    pub admission_wait_ms: u64,
}

/// When runs of small appends are folded into blobs, and how gently. A run is a row of small appends of one object with no large one
/// between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Packing {
    /// Whether anything is packed. Default true.
    pub enabled: bool,
    /// A run of so many bytes is packed at once. Default 8,388,608 (8 MiB).
    pub run_bytes_full: u64,
    /// A run of so many bytes is packed while its object grows, but for `spacing_ms`. Default 262,144 (256 KiB).
    pub run_bytes: u64,
    /// So is one of so many appends, 2 or more. Default 2,048.
    pub run_appends: u64,
    /// A run with fewer bytes and fewer than `run_appends` stays as it is, also at rest. Default 65,536 (64 KiB).
    pub rest_bytes: u64,
    /// The shortest time from the begin of a run, or from the last one of its object, until it is packed, in milliseconds, unless it
    /// has `run_bytes_full`. Default 1,000.
    pub spacing_ms: u64,
    /// An object to which nothing has been added for so long, in milliseconds, is at rest. Default 10,000.
    pub quiet_ms: u64,
    /// The most bytes in one blob, 1 or more. Default 67,108,864 (64 MiB).
    pub blob_bytes: u64,
    /// Packing pauses so many times as long as it works, at most 1,000. Default 3: a quarter of one core at most.
    pub pause_factor: u32,
    /// With more bytes than this waiting it no longer pauses. Default 268,435,456 (256 MiB).
    pub backlog_bytes: u64,
}

/// How everything stored is read in turn, to find damage while there is still something to heal it from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scrub {
    /// The most bytes read a second; 0 for no scrub. Default 4,194,304 (4 MiB): some 340 GiB a day.
    pub bytes_per_s: u64,
    /// A round begins no sooner than so many hours after the last one began. Default 336, two weeks.
    pub every_hours: u64,
    /// Nor sooner than this after a start, in milliseconds. Default 60,000.
    pub settle_ms: u64,
}

impl Default for Scrub {
    fn default() -> Scrub {
        Scrub { bytes_per_s: 4 << 20, every_hours: 336, settle_ms: 60_000 }
    }
}

/// Restores of archived objects. Classes are labels here, so a restore takes as long as it is told to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Restore {
    /// How long a restore takes, in milliseconds, at most an hour. Default 5,000.
    pub delay_ms: u64,
}

impl Default for Restore {
    fn default() -> Restore {
        Restore { delay_ms: 5_000 }
    }
}

/// How the lifecycle rules of buckets are followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifecycle {
    /// How often everything is looked at, in seconds; 0 for never. Default 3,600. What is due is due at midnight, in UTC.
    pub every_s: u64,
    /// The length of a day of the rules, in seconds, 1 or more. Default 86,400; shorter ones are for tests.
    pub day_seconds: u64,
    /// The most records looked at a second, 1 or more. Default 5,000.
    pub records_per_s: u32,
}

impl Default for Lifecycle {
    fn default() -> Lifecycle {
        Lifecycle { every_s: 3_600, day_seconds: 86_400, records_per_s: 5_000 }
    }
}

/// What operators see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Address and port that `GET /metrics` is answered on, in Prometheus's text format; empty for none. Whoever reaches it may read
    /// it: it asks for no signature, so it belongs on loopback or behind a firewall. Default empty.
    pub listen: String,
}

/// Regions that the service has, by their own names.
const REGIONS: [&str; 34] = [
    "cn-hangzhou",
    "cn-shanghai",
    "cn-nanjing",
    "cn-fuzhou",
    "cn-wuhan-lr",
    "cn-zhengzhou-jva",
    "cn-qingdao",
    "cn-beijing",
    "cn-zhangjiakou",
    "cn-huhehaote",
    "cn-wulanchabu",
    "cn-shenzhen",
    "cn-heyuan",
    "cn-guangzhou",
    "cn-chengdu",
    "cn-hongkong",
    "us-west-1",
    "us-east-1",
    "na-south-1",
    "eu-central-1",
    "eu-west-1",
    "me-east-1",
    "me-central-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "rg-china-mainland",
    "cn-beijing-finance-1",
];

const FIVE_GIB: u64 = 5 << 30;

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 9000)),
            data: PathBuf::from("ossia-data"),
            master_key_file: PathBuf::new(),
            memory: false,
            memory_max_bytes: 0,
            tls: Tls::default(),
            domain: Vec::new(),
            cname: Vec::new(),
            region: "cn-hangzhou".to_owned(),
            account: String::new(),
            buckets_max: 100,
            advertise: Advertise::default(),
            append: Append::default(),
            auth: Auth::default(),
            ram: Ram::default(),
            callback: Callback::default(),
            logging: Logging::default(),
            inventory: Inventory::default(),
            limits: Limits::default(),
            engine: Engine::default(),
            packing: Packing::default(),
            scrub: Scrub::default(),
            restore: Restore::default(),
            lifecycle: Lifecycle::default(),
            metrics: Metrics::default(),
            audit: Audit::default(),
        }
    }
}

impl Default for Append {
    fn default() -> Append {
        Append {
            max_bytes: FIVE_GIB,
            missing_position: MissingPosition::Refuse,
            copy_source: CopySource::Refuse,
        }
    }
}

impl Default for Engine {
    fn default() -> Engine {
        Engine {
            shards: 0,
            segment_bytes: 64 << 20,
            journal_bytes: 1 << 30,
            memtable_bytes: 32 << 20,
            checkpoint_bytes: 256 << 20,
            cache_bytes: 16 << 20,
            queue_bytes: 64 << 20,
            group_bytes: 8 << 20,
            reserve_bytes: 192 << 20,
            disk_reads: 64,
            idle_flush_ms: 10_000,
            admission_wait_ms: 10_000,
        }
    }
}

impl Default for Packing {
    fn default() -> Packing {
        Packing {
            enabled: true,
            run_bytes_full: 8 << 20,
            run_bytes: 256 << 10,
            run_appends: 2_048,
            rest_bytes: 64 << 10,
            spacing_ms: 1_000,
            quiet_ms: 10_000,
            blob_bytes: 64 << 20,
            pause_factor: 3,
            backlog_bytes: 256 << 20,
        }
    }
}

/// Why the settings make no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file is no TOML, or a setting has the wrong type or an unknown name.
    #[error("{0}")]
    Syntax(String),
    /// A variable of the environment or a `--set` names no setting.
    #[error("{name}: there is no setting {path}")]
    Unknown {
        /// As it was given.
        name: String,
        /// The path that it means.
        path: String,
    },
    /// A value of the environment or of `--set` has the wrong type.
    #[error("{name}: {wanted} is needed, not {value:?}")]
    Type {
        /// As it was given.
        name: String,
        /// What the setting takes.
        wanted: &'static str,
        /// What was given.
        value: String,
    },
    /// A value is out of its range.
    #[error("{path}: {reason}")]
    Range {
        /// The setting.
        path: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Config {
    /// Puts the settings together: `file` is the text of a TOML file, `environment` the variables of the process, `sets` the
    /// `path=value` of `--set`. The flags of the command line are applied by the caller, who then calls [`Config::checked`].
    ///
    /// # Errors
    /// [`ConfigError`] for what cannot be read. Ranges are left to [`Config::checked`].
    pub fn load(
        file: Option<&str>,
        environment: impl IntoIterator<Item = (String, String)>,
        sets: &[String],
    ) -> Result<Config, ConfigError> {
        let syntax = |e: toml::de::Error| ConfigError::Syntax(e.to_string());
        let mut table: Table = match file {
            Some(text) => toml::from_str(text).map_err(syntax)?,
            None => Table::new(),
        };
        let known = known_settings();
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix("OSSIA_") else { continue };
            let path = rest.to_ascii_lowercase().replace("__", ".");
            match known.get(&path) {
                Some(kind) => set(&mut table, &path, kind.parse(&name, &value)?),
                None if rest.contains("__") => return Err(ConfigError::Unknown { name, path }),
                // The client's variables and the root key share the prefix.
                None => {}
            }
        }
        for pair in sets {
            let (path, value) = pair.split_once('=').ok_or_else(|| ConfigError::Type {
                name: format!("--set {pair}"),
                wanted: "NAME=VALUE",
                value: pair.clone(),
            })?;
            let name = format!("--set {path}");
            match known.get(path) {
                Some(kind) => set(&mut table, path, kind.parse(&name, value)?),
                None => return Err(ConfigError::Unknown { name, path: path.to_owned() }),
            }
        }
        table.try_into().map_err(syntax)
    }

    /// Checks every range once.
    ///
    /// # Errors
    /// [`ConfigError::Range`] naming the first setting that makes no sense.
    pub fn checked(self) -> Result<Config, ConfigError> {
        let range =
            |path, reason: &str| Err(ConfigError::Range { path, reason: reason.to_owned() });
        let name = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        };
        if !name(&self.region) || self.region.contains('.') {
            return range("region", "letters, digits and hyphens are needed");
        }
        if !self.account.is_empty()
            && (self.account.len() != 16 || !self.account.bytes().all(|b| b.is_ascii_digit()))
        {
            return range("account", "16 digits are needed");
        }
        if let Some(bad) = self.domain.iter().find(|domain| !name(domain)) {
            return range(
                "domain",
                &format!("{bad:?} is no domain name (give no scheme, no port)"),
            );
        }
        if let Some(bad) = self.cname.iter().find(|cname| {
            cname.split_once('=').is_none_or(|(domain, bucket)| {
                !name(domain) || ossia_protocol::names::BucketName::new(bucket).is_err()
            })
        }) {
            return range("cname", &format!("{bad:?} is not DOMAIN=BUCKET"));
        }
        if self.buckets_max == 0 {
            return range("buckets_max", "at least 1 is needed");
        }
        if !(1..=50_000 << 30).contains(&self.append.max_bytes) {
            return range("append.max_bytes", "1 byte to 48.8 TiB is needed");
        }
        if self.tls.cert.as_os_str().is_empty() != self.tls.key.as_os_str().is_empty() {
            return range("tls", "cert and key must be set together");
        }
        if self.tls.look_ms == 0 {
            return range("tls.look_ms", "at least 1 is needed");
        }
        self.limits.check()?;
        self.auth.check()?;
        if self.audit.bytes_max == 0 {
            return range("audit.bytes_max", "at least 1 is needed");
        }
        let named = |text: &String| name(text) || Network::parse(text).is_some();
        if let Some(bad) = self.callback.allowed.iter().find(|text| !named(text)) {
            return range(
                "callback.allowed",
                &format!("{bad:?} is no host name, no address and no network"),
            );
        }
        if !(1..=600_000).contains(&self.callback.timeout_ms) {
            return range("callback.timeout_ms", "1 to 600,000 is needed");
        }
        if !(1..=65_536).contains(&self.callback.at_once) {
            return range("callback.at_once", "1 to 65,536 is needed");
        }
        if self.logging.flush_ms == 0 {
            return range("logging.flush_ms", "at least 1 is needed");
        }
        if self.inventory.day_ms == 0 || self.inventory.file_rows == 0 {
            return range("inventory", "day_ms and file_rows must be at least 1");
        }
        if self.packing.run_appends < 2 {
            return range("packing.run_appends", "at least 2 are needed");
        }
        if self.packing.blob_bytes == 0 {
            return range("packing.blob_bytes", "at least 1 is needed");
        }
        if self.packing.pause_factor > 1_000 {
            return range("packing.pause_factor", "at most 1,000 is possible");
        }
        if self.restore.delay_ms > 3_600_000 {
            return range("restore.delay_ms", "at most an hour is possible");
        }
        if self.lifecycle.day_seconds == 0 {
            return range("lifecycle.day_seconds", "at least 1 is needed");
        }
        if self.lifecycle.records_per_s == 0 {
            return range("lifecycle.records_per_s", "at least 1 is needed");
        }
        if !self.metrics.listen.is_empty() && self.metrics.address().is_none() {
            return range(
                "metrics.listen",
                "an address and a port are needed, such as 127.0.0.1:9001",
            );
        }
        Ok(self)
    }

    /// `cname` taken apart into domain and bucket.
    pub(crate) fn cnames(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cname.iter().filter_map(|cname| cname.split_once('='))
    }

    /// Whether a bucket may be asked for at a place, as `cn-hangzhou` or `oss-cn-hangzhou`. Programs name the region that they are
    /// written for, so any of the service's will do, unless `auth.strict_region` is set.
    pub(crate) fn is_at(&self, place: &str) -> bool {
        let region = place.strip_prefix("oss-").unwrap_or(place);
        region == self.region || (!self.auth.strict_region && REGIONS.contains(&region))
    }

    /// The endpoints that answers name, public and internal, once the port is known.
    pub(crate) fn endpoints(&self, port: u16) -> (String, String) {
        let own = self.domain.first().map(|domain| match port {
            80 => domain.clone(),
            port => format!("{domain}:{port}"),
        });
        let pick = |set: &str, cloud: String| match (set, &own) {
            ("", Some(own)) => own.clone(),
            ("", None) => cloud,
            (set, _) => set.to_owned(),
        };
        (
            pick(&self.advertise.extranet, format!("oss-{}.aliyuncs.com", self.region)),
            pick(&self.advertise.intranet, format!("oss-{}-internal.aliyuncs.com", self.region)),
        )
    }
}

impl Metrics {
    /// Where to listen, if anywhere.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}

/// The type of a setting, from its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Switch,
    List,
}

impl Kind {
    fn parse(self, name: &str, value: &str) -> Result<Value, ConfigError> {
        let wrong =
            |wanted| ConfigError::Type { name: name.to_owned(), wanted, value: value.to_owned() };
        match self {
            Kind::Text => Ok(Value::String(value.to_owned())),
            Kind::Number => value
                .trim()
                .replace('_', "")
                .parse()
                .map(Value::Integer)
                .map_err(|_| wrong("a whole number")),
            Kind::Switch => match value.trim() {
                "true" | "1" => Ok(Value::Boolean(true)),
                "false" | "0" | "" => Ok(Value::Boolean(false)),
                _ => Err(wrong("true or false")),
            },
            Kind::List => Ok(Value::Array(
                value
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Value::String(item.to_owned()))
                    .collect(),
            )),
        }
    }
}

/// Every setting by its path. Taken from the defaults, so that none can be forgotten: no field of [`Config`] is optional.
fn known_settings() -> BTreeMap<String, Kind> {
    fn walk(prefix: &str, table: &Table, known: &mut BTreeMap<String, Kind>) {
        for (name, value) in table {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let kind = match value {
                Value::Table(inner) => {
                    walk(&path, inner, known);
                    continue;
                }
                Value::Integer(_) => Kind::Number,
                Value::Boolean(_) => Kind::Switch,
                Value::Array(_) => Kind::List,
                _ => Kind::Text,
            };
            known.insert(path, kind);
        }
    }
    let mut known = BTreeMap::new();
    let defaults =
        Table::try_from(Config::default()).expect("the default configuration is a TOML table");
    walk("", &defaults, &mut known);
    known
}

/// Puts a value at a path. A level that the file gave as something else than a table is replaced, and so wins over the file.
fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((level, rest)) => {
            let inner = table.entry(level).or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
    }

    #[test]
    fn the_sample_file_names_every_setting_at_its_default() {
        let sample = include_str!("../../../docs/settings.toml");
        let named: Table = toml::from_str(sample).unwrap();
        let defaults = Table::try_from(Config::default()).unwrap();
        assert_eq!(named, defaults);
    }

    #[test]
    fn nothing_given_gives_the_defaults_and_they_are_valid() {
        let config = Config::load(None, [], &[]).unwrap();
        assert_eq!(config, Config::default());
        config.checked().unwrap();
    }

    #[test]
    fn the_environment_wins_over_the_file_and_set_over_both() {
        let file = "region = 'r-file'\n[append]\nmax_bytes = 7\nmissing_position = 'zero'";
        let config = Config::load(
            Some(file),
            env(&[
                ("OSSIA_REGION", "r-env"),
                ("OSSIA_APPEND__MAX_BYTES", "8"),
                ("OSSIA_DOMAIN", "a.example, b.example"),
                ("OSSIA_MEMORY", "true"),
                ("OSSIA_LISTEN", "0.0.0.0:80"),
            ]),
            &["append.max_bytes=9".to_owned()],
        )
        .unwrap();
        assert_eq!(config.region, "r-env");
        assert_eq!(config.append.max_bytes, 9);
        assert_eq!(config.append.missing_position, MissingPosition::Zero);
        assert_eq!(config.domain, ["a.example", "b.example"]);
        assert!(config.memory);
        assert_eq!(config.listen.port(), 80);
    }

    #[test]
    fn slips_are_told() {
        let unknown = Config::load(None, env(&[("OSSIA_APEND__MAX_BYTES", "8")]), &[]);
        assert!(matches!(unknown, Err(ConfigError::Unknown { .. })), "{unknown:?}");
        let unknown = Config::load(None, [], &["liste=1".to_owned()]);
        assert!(matches!(unknown, Err(ConfigError::Unknown { .. })), "{unknown:?}");
        let kind = Config::load(None, env(&[("OSSIA_LIMITS__IDLE_MS", "soon")]), &[]);
        assert!(matches!(kind, Err(ConfigError::Type { .. })), "{kind:?}");
        let file = Config::load(Some("lissten = '1.2.3.4:5'"), [], &[]);
        assert!(matches!(file, Err(ConfigError::Syntax(_))), "{file:?}");
        let file = Config::load(Some("append = { copy_source = 'maybe' }"), [], &[]);
        assert!(matches!(file, Err(ConfigError::Syntax(_))), "{file:?}");
    }

    #[test]
    fn the_clients_variables_are_left_alone() {
        let config = Config::load(
            None,
            env(&[("OSSIA_ENDPOINT", "http://x"), ("OSSIA_ACCESS_KEY_ID", "k"), ("PATH", "/")]),
            &[],
        );
        assert_eq!(config.unwrap(), Config::default());
    }

    #[test]
    fn ranges_are_checked() {
        let base = Config::default;
        for (config, path) in [
            (Config { region: "".into(), ..base() }, "region"),
            (Config { account: "12".into(), ..base() }, "account"),
            (Config { domain: vec!["http://x".into()], ..base() }, "domain"),
            (Config { cname: vec!["x.example".into()], ..base() }, "cname"),
            (Config { buckets_max: 0, ..base() }, "buckets_max"),
            (
                Config { limits: Limits { uri_bytes: 1 << 20, ..Limits::default() }, ..base() },
                "limits.uri_bytes",
            ),
            (
                Config {
                    limits: Limits { trusted: vec!["10.0.0.0/33".into()], ..Limits::default() },
                    ..base()
                },
                "limits.trusted",
            ),
            (
                Config { packing: Packing { run_appends: 1, ..Packing::default() }, ..base() },
                "packing.run_appends",
            ),
            (
                Config { metrics: Metrics { listen: "localhost".into() }, ..base() },
                "metrics.listen",
            ),
        ] {
            match config.checked() {
                Err(ConfigError::Range { path: told, .. }) => assert_eq!(told, path),
                other => panic!("{path}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_advertised_endpoint_is_the_domain_or_the_clouds() {
        let config = Config { domain: vec!["oss.example".into()], ..Config::default() };
        assert_eq!(config.endpoints(9000).0, "oss.example:9000");
        assert_eq!(Config::default().endpoints(9000).1, "oss-cn-hangzhou-internal.aliyuncs.com");
    }
}
