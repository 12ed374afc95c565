//! A running server: the rooms joined, started and stopped in order.

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ossia_objects::{Clock, Lifecycle, Objects, Packing, Scrub, Settings};
use ossia_protocol::addressing::Addressing;
use ossia_ram::Ram;
use thiserror::Error;
use tokio::{net::TcpSocket, task::JoinHandle};

use crate::{
    access_log::{AccessLogs, Delivery},
    audit::Audit,
    auth::Authenticator,
    callback::Callbacks,
    config::{self, Config, CopySource, Limits},
    http::{Admission, Front, FrontSettings, Guests, Requests, Tempo, Tls, TlsError},
    identity::Identity,
    inventory::Inventories,
    last_uses::LastUses,
    metrics::{Figures, Sources, Window},
    service::App,
};

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Certificate and key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The audit log cannot be written.
    #[error("cannot open the audit log {}: {source}", file.display())]
    Audit {
        /// The file asked for.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A server that answers.
pub struct Server {
    front: Front,
    window: Option<Window>,
    objects: Objects,
    delivery: Delivery,
    inventories: Option<Inventories>,
    audit: Audit,
    last_uses: LastUses,
    grace: Duration,
    tls: Option<Arc<Tls>>,
    /// Looks at certificate and key now and then.
    looking: Option<JoinHandle<()>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.front.address()).finish_non_exhaustive()
    }
}

/// How many connections the system may keep for the accept loop to come.
const BACKLOG: u32 = 1024;

/// What a download holds: one piece that the client is taking, one behind it, one read ahead.
const DOWNLOAD_PIECES: u64 = 3;
/// A piece for one of very many readers.
pub(crate) const LEAN_PIECE_BYTES: usize = 32 << 10;
/// What a long upload may hold when it is slow, or one of very many.
const UPLOAD_LEAN_BYTES: u64 = 64 << 10;

impl Server {
    /// Listens and starts to answer. `config` must have been checked, `objects` opened with [`object_settings`] and the same clock,
    /// `ram` with [`identity_limits`] for the account of `identity`.
    /// `figures` tells of the store behind `objects`, for `metrics.listen`.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: Config,
        identity: &Identity,
        objects: Objects,
        ram: Arc<Ram>,
        clock: Arc<dyn Clock>,
        figures: Option<Figures>,
    ) -> Result<Server, StartError> {
        let tls = match config.tls.is_on() {
            true => Some(Arc::new(Tls::open(&config.tls.cert, &config.tls.key, config.tls.http2)?)),
            false => None,
        };
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = listen_on(config.listen).map_err(listen)?;
        let port = listener.local_addr().map_err(listen)?.port();
        let limits = config.limits.clone();
        let wait = Duration::from_millis(limits.body_wait_ms);
        let share = limits.share();
        let download_each = DOWNLOAD_PIECES * object_settings(&config).read_piece_bytes as u64;
        let download_lean = DOWNLOAD_PIECES * LEAN_PIECE_BYTES as u64;
        let audit = Audit::open(&config.audit)
            .map_err(|source| StartError::Audit { file: config.audit.file.clone(), source })?;
        let app = App {
            objects: objects.clone(),
            clock,
            account: identity.account.clone(),
            endpoints: config.endpoints(port),
            authenticator: Authenticator::new(
                &identity.root,
                Arc::clone(&ram),
                &config.region,
                config.auth.strict_region,
            ),
            ram: Arc::clone(&ram),
            addressing: Addressing::new(config.domain.iter().map(String::as_str), config.cnames()),
            callbacks: Callbacks::new(&config.callback),
            under_way: Arc::default(),
            logs: AccessLogs::new(&config.logging),
            audit: audit.clone(),
            proxies: config.auth.proxies(),
            uploads: Admission::new(
                limits.body_bytes,
                share.upload_bytes as u64,
                limits.body_bytes_each,
                UPLOAD_LEAN_BYTES,
                wait,
            ),
            downloads: Admission::new(
                limits.download_bytes,
                share.download_bytes as u64,
                download_each,
                download_lean,
                wait,
            ),
            requests: Arc::new(Requests::new(limits.requests_max)),
            config: config.clone(),
            meters: Arc::default(),
        };
        let meters = Arc::clone(&app.meters);
        let window = match config.metrics.address() {
            Some(address) => Some(window(address, &app, figures)?),
            None => None,
        };
        let flush = Duration::from_millis(config.logging.flush_ms);
        let logs = app.logs.clone();
        let clock = Arc::clone(&app.clock);
        let guests = Guests::new(share, limits.trusted());
        let settings = front_settings(&limits);
        let front = Front::open(listener, Arc::new(app), settings, meters, guests, tls.clone())
            .map_err(listen)?;
        let every = Duration::from_millis(config.tls.look_ms);
        let looking = tls.clone().map(|tls| tokio::spawn(look(tls, every)));
        let delivery = logs.deliver(objects.clone(), flush);
        let inventories =
            Inventories::begin(objects.clone(), Arc::clone(&clock), &config.inventory);
        let every = Duration::from_millis(config.ram.last_use_ms);
        let last_uses = LastUses::begin(ram, clock, every);
        let grace = Duration::from_millis(limits.shutdown_ms);
        Ok(Server {
            front,
            window,
            objects,
            delivery,
            inventories,
            audit,
            last_uses,
            grace,
            tls,
            looking,
        })
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// Where `metrics.listen` is answered, with the real port.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.window.as_ref().map(Window::address)
    }

    /// Reads certificate and key again, if they have changed. Connections that stand keep what they have agreed on.
    pub async fn reload(&self) {
        if let Some(tls) = self.tls.clone() {
            // Reading files blocks. It does not panic.
            let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
        }
    }

    /// Stops: no new connections, requests under way may finish within `limits.shutdown_ms`, as may the delivery of access logs,
    /// then background work ends. The store stays open. Says whether all requests finished.
    pub async fn shutdown(self) -> bool {
        if let Some(looking) = &self.looking {
            looking.abort();
        }
        let finished = self.front.close(self.grace).await;
        self.delivery.close(self.grace).await;
        self.audit.flush(self.grace).await;
        if let Some(inventories) = self.inventories {
            inventories.close().await;
        }
        self.last_uses.close().await;
        self.objects.close().await;
        finished
    }
}

async fn look(tls: Arc<Tls>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let tls = Arc::clone(&tls);
        let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
    }
}

/// How many files bodies on their way may hold open at most: one for each request that is worked on, and one for each long answer.
pub fn body_files_max(config: &Config) -> u64 {
    let lean = DOWNLOAD_PIECES * LEAN_PIECE_BYTES as u64;
    (config.limits.requests_max as u64).saturating_add(config.limits.download_bytes / lean)
}

/// The settings of the object layer that follow from a configuration.
pub fn object_settings(config: &Config) -> Settings {
    Settings {
        append_max_bytes: config.append.max_bytes,
        put_max_bytes: config.limits.put_bytes,
        copy_appendable: config.append.copy_source == CopySource::Allow,
        buckets_max: config.buckets_max,
        packing: packing(&config.packing),
        scrub: Scrub {
            bytes_per_s: config.scrub.bytes_per_s,
            every: Duration::from_secs(config.scrub.every_hours.saturating_mul(3_600)),
            settle: Duration::from_millis(config.scrub.settle_ms),
        },
        restore_delay: Duration::from_millis(config.restore.delay_ms),
        lifecycle: Lifecycle {
            every: Duration::from_secs(config.lifecycle.every_s),
            day: Duration::from_secs(config.lifecycle.day_seconds),
            records_per_s: config.lifecycle.records_per_s,
        },
        ..Settings::default()
    }
}

/// How many identities there may be, by a configuration.
pub fn identity_limits(config: &Config) -> ossia_ram::Limits {
    let set = &config.ram;
    ossia_ram::Limits {
        users: set.users,
        groups: set.groups,
        roles: set.roles,
        policies: set.policies,
        versions: set.versions,
        keys_per_user: set.keys_per_user,
        groups_per_user: set.groups_per_user,
        system_policies_per_user: set.system_policies,
        custom_policies_per_user: set.custom_policies_per_user,
        system_policies_per_group: set.system_policies,
        custom_policies_per_group: set.custom_policies_per_group,
        system_policies_per_role: set.system_policies,
        custom_policies_per_role: set.custom_policies_per_role,
        session_seconds_min: set.session_seconds_min,
    }
}

fn packing(set: &config::Packing) -> Packing {
    Packing {
        enabled: set.enabled,
        run_bytes_full: set.run_bytes_full,
        run_bytes: set.run_bytes,
        run_appends: set.run_appends,
        rest_bytes: set.rest_bytes,
        spacing: Duration::from_millis(set.spacing_ms),
        quiet: Duration::from_millis(set.quiet_ms),
        blob_bytes_max: set.blob_bytes,
        pause_factor: set.pause_factor,
        backlog_bytes: set.backlog_bytes,
        ..Packing::default()
    }
}

fn window(address: SocketAddr, app: &App, figures: Option<Figures>) -> Result<Window, StartError> {
    let sources = Sources {
        meters: Arc::clone(&app.meters),
        objects: app.objects.clone(),
        uploads: app.uploads.clone(),
        downloads: app.downloads.clone(),
        requests: Arc::clone(&app.requests),
        audit: app.audit.clone(),
        connections_max: app.config.limits.connections_max as u64,
        figures,
    };
    listen_on(address)
        .and_then(|listener| Window::open(listener, sources))
        .map_err(|source| StartError::Listen { address, source })
}

fn listen_on(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the connections of the run before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn front_settings(limits: &Limits) -> FrontSettings {
    FrontSettings {
        connections_max: limits.connections_max,
        idle: Duration::from_millis(limits.idle_ms),
        head_read: Duration::from_millis(limits.head_read_ms),
        idle_crowded: Duration::from_millis(limits.idle_crowded_ms),
        request: Duration::from_millis(limits.request_ms),
        tempo: Tempo {
            stall: Duration::from_millis(limits.body_stall_ms),
            window: Duration::from_millis(limits.body_rate_ms),
            window_bytes: limits.body_rate.saturating_mul(limits.body_rate_ms) / 1000,
        },
        heads_bytes: limits.heads_bytes,
        drain_bytes: limits.drain_bytes,
        drain_time: Duration::from_millis(limits.drain_ms),
        // Heads above the limits must be read whole for their error to be told; twice is enough for honest mistakes.
        buffer_bytes: (2 * (limits.header_bytes + limits.uri_bytes)).max(128 << 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_identities_are_those_of_the_settings() {
        assert_eq!(identity_limits(&Config::default()), ossia_ram::Limits::default());
    }

    #[test]
    fn the_object_layer_s_defaults_are_those_of_the_settings() {
        // But for the scrub, which an object layer by itself does not begin.
        let settings =
            Settings { scrub: Settings::default().scrub, ..object_settings(&Config::default()) };
        assert_eq!(settings, Settings::default());
    }
}
