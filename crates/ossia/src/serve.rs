//! `ossia serve`: settings, engine, object layer, server, until a signal ends it.

use std::{
    env, fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use ossia_engine::{EngineOptions, LocalEngine, OpenError};
use ossia_keys::MasterKeys;
use ossia_objects::{Clock, Objects, SystemClock, keys_in_use};
use ossia_ram::Ram;
use ossia_server::{
    Server, body_files_max,
    config::Config,
    identity::{self, Identity, Master},
    identity_limits,
    metrics::Figures,
    object_settings, start_screen,
};
use ossia_store::{MemoryOptions, MemoryStore, Store};
use tokio::signal::unix::{SignalKind, signal};

use crate::{control::Control, figures, files, keyfile};

/// What `ossia serve` takes.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on; port 0 lets the system choose [default: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// The data folder, made if it is absent [default: ossia-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The file with the master keys, made at the first start; never within the data folder [default: beside the configuration
    /// file, else beside the data folder, with .master-key behind its name]
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    /// The certificate, in PEM, chain behind it: the server then answers by TLS alone; read anew when it changes
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Keep everything in memory and leave nothing behind
    #[arg(long)]
    memory: bool,
    /// Base domain for virtual hosts, BUCKET.DOMAIN; may be repeated
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<String>,
    /// A host name that stands for a bucket; may be repeated
    #[arg(long, value_name = "DOMAIN=BUCKET")]
    cname: Vec<String>,
    /// The region whose name answers carry [default: cn-hangzhou]
    #[arg(long)]
    region: Option<String>,
    /// A TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any setting by its path, such as append.max_bytes=1000; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

const BAD_SETTINGS: u8 = 2;
const IN_USE: u8 = 3;
const DAMAGED: u8 = 4;

/// Why a server ended other than by a signal: what to tell, and the exit code.
struct Failed {
    message: String,
    code: u8,
}

impl Failed {
    fn new(message: impl std::fmt::Display) -> Failed {
        Failed { message: message.to_string(), code: 1 }
    }

    fn with(code: u8) -> impl Fn(String) -> Failed {
        move |message| Failed { message, code }
    }
}

/// Runs a server until SIGTERM or SIGINT.
pub(crate) async fn run(arguments: ServeArgs) -> ExitCode {
    log_to_stderr();
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("ossia: {}", failed.message);
            ExitCode::from(failed.code)
        }
    }
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("OSSIA_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

async fn serve(arguments: ServeArgs) -> Result<(), Failed> {
    // Before anything is opened, so that no signal ends the process half way.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failed::new)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failed::new)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(Failed::new)?;
    let mut config = settings(arguments)?;
    let wanted = config.limits.connections_max;
    let files = files::raise_limit();
    config.limits.connections_max =
        files::connections_within(files, body_files_max(&config), wanted);
    if config.limits.connections_max < wanted {
        let (connections, files) = (config.limits.connections_max, files.unwrap_or_default());
        tracing::info!(
            connections,
            files,
            wanted,
            "the limit of open files lowers limits.connections_max"
        );
    }
    let pair = identity::pair_of_environment(
        env::var(identity::ACCESS_KEY_ID).ok(),
        env::var(identity::ACCESS_KEY_SECRET).ok(),
    )
    .map_err(|error| Failed::with(BAD_SETTINGS)(error.to_string()))?;
    let (store, local) = open_store(&config).await?;
    let figures =
        local.clone().map(|engine| -> Figures { Arc::new(move || figures::of(&engine.metrics())) });
    let keys = master_keys(&config, &store).await?;
    // After the store: its lock keeps two first starts from making two identities.
    let identity = if config.memory {
        Identity::in_memory(pair, &config.account)
    } else {
        let master = Master { keys: &keys, file: &config.master_key_file };
        Identity::of_folder(&config.data, pair, &config.account, &master).map_err(Failed::new)?
    };
    let limits = identity_limits(&config);
    let ram = Ram::open(Arc::clone(&store), Arc::clone(&keys), &identity.account, limits)
        .await
        .map_err(|error| Failed::new(format!("cannot read the stored identities: {error}")))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = object_settings(&config);
    let objects =
        Objects::open_with(Arc::clone(&store), Arc::clone(&clock), settings, Arc::clone(&keys))
            .await
            .map_err(|error| Failed::new(format!("cannot read the stored data: {error}")))?;
    let served = objects.clone();
    let server = Server::start(config.clone(), &identity, objects, ram, clock, figures)
        .await
        .map_err(Failed::new)?;
    let control = local.and_then(|engine| Control::open(&config.data, engine, served));
    let screen = start_screen(&config, &identity, server.address(), server.metrics_address());
    if let Err(error) = writeln!(io::stdout(), "{screen}") {
        // Whoever read standard output has gone; clients have not.
        tracing::warn!(%error, "the start screen could not be written");
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM received, stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT received, stopping"),
            Some(()) = hang_up.recv() => {
                tracing::info!("SIGHUP received: certificate and key are looked at");
                server.reload().await;
                continue;
            }
        }
        break;
    }
    drop(control);
    if !server.shutdown().await {
        tracing::warn!("requests were cut off: they took longer than limits.shutdown_ms");
    }
    store
        .shutdown()
        .await
        .map_err(|error| Failed::new(format!("cannot close the store: {error}")))?;
    tracing::info!("stopped");
    Ok(())
}

fn settings(arguments: ServeArgs) -> Result<Config, Failed> {
    let bad = Failed::with(BAD_SETTINGS);
    let file = match &arguments.config {
        Some(path) => Some(
            fs::read_to_string(path)
                .map_err(|error| bad(format!("{}: {error}", path.display())))?,
        ),
        None => None,
    };
    let mut config = Config::load(file.as_deref(), environment(), &arguments.set)
        .map_err(|error| bad(error.to_string()))?;
    let ServeArgs {
        listen,
        data,
        master_key_file,
        tls_cert,
        tls_key,
        memory,
        domain,
        cname,
        region,
        config: path,
        set: _,
    } = arguments;
    config.listen = listen.unwrap_or(config.listen);
    config.data = data.unwrap_or(config.data);
    config.master_key_file = master_key_file.unwrap_or(config.master_key_file);
    config.tls.cert = tls_cert.unwrap_or(config.tls.cert);
    config.tls.key = tls_key.unwrap_or(config.tls.key);
    config.memory |= memory;
    config.region = region.unwrap_or(config.region);
    if !domain.is_empty() {
        config.domain = domain;
    }
    if !cname.is_empty() {
        config.cname = cname;
    }
    let mut config = config.checked().map_err(|error| bad(error.to_string()))?;
    if !config.memory {
        let place = keyfile::place(&config.master_key_file, path.as_deref(), &config.data);
        config.master_key_file = place.map_err(bad)?;
    }
    Ok(config)
}

/// The master keys. Before anything that is sealed is read.
async fn master_keys(config: &Config, store: &Arc<dyn Store>) -> Result<Arc<MasterKeys>, Failed> {
    if config.memory {
        return MasterKeys::ephemeral().map(Arc::new).map_err(Failed::new);
    }
    let in_use = keys_in_use(store)
        .await
        .map_err(|error| Failed::new(format!("cannot read the stored data: {error}")))?;
    keyfile::open(&config.master_key_file, &in_use).map(Arc::new).map_err(Failed::with(DAMAGED))
}

/// Variables whose name or value is no UTF-8 are nobody's setting.
fn environment() -> impl Iterator<Item = (String, String)> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The store, and what it tells of itself.
async fn open_store(config: &Config) -> Result<(Arc<dyn Store>, Option<LocalEngine>), Failed> {
    if config.memory {
        let bytes_max = (config.memory_max_bytes > 0).then_some(config.memory_max_bytes);
        let options = MemoryOptions { bytes_max, ..MemoryOptions::default() };
        return Ok((Arc::new(MemoryStore::new(options)), None));
    }
    let options = engine_options(config);
    // Opening replays the journal and blocks meanwhile.
    let opened =
        tokio::task::spawn_blocking(|| LocalEngine::open(options)).await.map_err(Failed::new)?;
    match opened {
        Ok(engine) => Ok((Arc::new(engine.clone()), Some(engine))),
        Err(error) => {
            let told = error.to_string();
            let (code, message) = match error {
                OpenError::Locked { .. } => (IN_USE, told),
                OpenError::Damaged { .. } | OpenError::NewerFormat { .. } => (DAMAGED, told),
                OpenError::Setting { name, reason } => {
                    // The engine's own name of a bound says that it is one; the setting's does not.
                    let name = name.strip_suffix("_max").unwrap_or(name);
                    (BAD_SETTINGS, format!("engine.{name}: {reason}"))
                }
                OpenError::Io { .. } => (1, told),
            };
            Err(Failed { message, code })
        }
    }
}

fn engine_options(config: &Config) -> EngineOptions {
    let engine = &config.engine;
    EngineOptions {
        shards: engine.shards,
        segment_bytes: engine.segment_bytes,
        journal_bytes: engine.journal_bytes,
        memtable_bytes: engine.memtable_bytes,
        checkpoint_bytes: engine.checkpoint_bytes,
        cache_bytes: engine.cache_bytes,
        queue_bytes_max: engine.queue_bytes,
        group_bytes_max: engine.group_bytes,
        reserve_bytes: engine.reserve_bytes,
        disk_reads_max: engine.disk_reads,
        idle_flush_ms: engine.idle_flush_ms,
        admission_wait_ms: engine.admission_wait_ms,
        data: config.data.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_s_defaults_are_those_of_the_settings() {
        let config = Config::default();
        assert_eq!(engine_options(&config), EngineOptions::new(&config.data));
    }
}
