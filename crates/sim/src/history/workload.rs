//! Many clients that get in each other's way.
//!
//! Each client does one operation after the other, on a few keys that all share, and remembers what it was told of them: mostly it
//! appends where the end was last said to be, sometimes where it once was, sometimes anywhere. The seed decides all that clients
//! decide; how the system schedules them it does not.

use std::collections::HashMap;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use ossia_model::{Answer, Body, Content, Info, Kind, Operation, Refusal, Reply, Step};
use tokio::task::JoinSet;

use super::body::stamped;
use super::event::{History, Outcome};
use super::send::Target;
use super::uploads::Uploads;
use crate::random::Random;

/// How long a client waits that was told that the server cannot at the moment.
const PAUSE: Duration = Duration::from_millis(5);

/// What the clients do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides everything that clients decide.
    pub seed: u64,
    /// How many clients. Default 16; below 255.
    pub clients: u16,
    /// How many keys they share. Default 8.
    pub keys: usize,
    /// How many operations each client does in one run at most. Default: no limit.
    pub operations_max: u64,
    /// A longer object is rather replaced or deleted than extended. Default 512 KiB.
    pub object_bytes_max: u64,
    /// Bodies have at most so many bytes; those that are large have half of it at least. Default 320 KiB, so that they are staged
    /// (the server keeps up to 128 KiB inline).
    pub body_bytes_max: u64,
    /// Whether the bucket keeps versions, so that they are asked for and removed. Default: no.
    pub versions: bool,
}

impl Settings {
    /// The defaults, with this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            clients: 16,
            keys: 8,
            operations_max: u64::MAX,
            object_bytes_max: 512 << 10,
            body_bytes_max: 320 << 10,
            versions: false,
        }
    }
}

/// The clients, from run to run.
#[derive(Debug)]
pub struct Workload {
    settings: Settings,
    clients: Vec<Client>,
}

/// What clients were last told of the objects.
#[derive(Debug, Default)]
struct Known {
    objects: Mutex<HashMap<String, View>>,
    /// Ids by keys, the newest last.
    versions: Mutex<HashMap<String, Vec<String>>>,
    uploads: Uploads,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct View {
    kind: Option<Kind>,
    length: u64,
    sealed: bool,
}

#[derive(Debug)]
struct Client {
    id: u16,
    number: u32,
    random: Random,
    keys: Arc<Vec<String>>,
    known: Arc<Known>,
    /// What it was told itself, and never forgets until it is told anew: how it comes to be wrong.
    stale: HashMap<String, u64>,
    settings: Settings,
}

impl Workload {
    /// Clients that have done nothing yet.
    pub fn new(settings: Settings) -> Self {
        let mut random = Random::new(settings.seed);
        // Keys above and below one another, some the beginnings of others.
        let key = |i: usize| {
            if i.is_multiple_of(2) { format!("k/{i}") } else { format!("k/{}-log", i - 1) }
        };
        let keys = Arc::new((0..settings.keys).map(key).collect::<Vec<_>>());
        let known = Arc::new(Known::default());
        let client = |id| Client {
            id,
            number: 0,
            random: random.fork(),
            keys: Arc::clone(&keys),
            known: Arc::clone(&known),
            stale: HashMap::new(),
            settings: settings.clone(),
        };
        let clients = (0..settings.clients).map(client).collect();
        Self { clients, settings }
    }

    /// Every key that is ever used.
    pub fn keys(&self) -> Vec<String> {
        self.clients.first().map(|client| client.keys.to_vec()).unwrap_or_default()
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.settings.seed
    }

    /// Lets the clients run until `stop` is set, or the server is gone, or each has done what [`Settings::operations_max`] allows.
    /// Returns when every operation has ended. Can be run again, against the same data.
    ///
    /// # Panics
    /// When a client does: a mistake in this crate.
    pub async fn run(&mut self, target: &Target, history: &History, stop: &Arc<AtomicBool>) {
        let mut tasks = JoinSet::new();
        for mut client in self.clients.drain(..) {
            let (target, history, stop) = (target.clone(), history.clone(), Arc::clone(stop));
            tasks.spawn(async move {
                client.run(&target, &history, &stop).await;
                client
            });
        }
        while let Some(client) = tasks.join_next().await {
            self.clients.push(client.expect("a client does not panic"));
        }
        // The order in which they end must not decide anything.
        self.clients.sort_by_key(|client| client.id);
    }
}

impl Client {
    async fn run(&mut self, target: &Target, history: &History, stop: &AtomicBool) {
        for _ in 0..self.settings.operations_max {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let operation = self.choose();
            self.number += 1;
            let pending = history.begin(self.id, self.number, operation.clone());
            let (outcome, made_of) = target.send(&operation).await;
            pending.end(outcome.clone(), made_of);
            if outcome.server_is_gone() {
                return;
            }
            match &outcome {
                Outcome::Answered(answer) => self.learn(&operation, answer),
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// The next operation.
    fn choose(&mut self) -> Operation {
        let key = self.key();
        let view = self.known.of(&key);
        let on = |step| Operation::On { key: key.clone(), step };
        let versions = self.known.versions(&key);
        match self.choose_verb(view, versions.len() as u64) {
            Verb::OfVersion(step) => {
                let at = self.random.below(versions.len() as u64) as usize;
                let step = match step {
                    OfVersion::Remove => Step::Delete,
                    OfVersion::Get => Step::Get { range: None },
                };
                match versions.get(at) {
                    Some(id) => on(Step::Of { version: id.clone(), step: Box::new(step) }),
                    None => on(step),
                }
            }
            Verb::ListVersions => Operation::ListVersions { prefix: key },
            Verb::Append => {
                let position = self.position(&key, view.length);
                let body = self.body();
                on(Step::Append { position, body })
            }
            Verb::Put => {
                let forbid_overwrite = self.random.percent(15);
                on(Step::Put { content: Content::of(&self.body()), forbid_overwrite })
            }
            Verb::Copy => {
                let source = self.key();
                // Onto itself a copy changes headers only, and nothing that is looked at here.
                if source == key {
                    return on(Step::Head);
                }
                let forbid_overwrite = self.random.percent(15);
                Operation::Copy { source, version: None, key, forbid_overwrite }
            }
            Verb::Seal => {
                let position = self.position(&key, view.length);
                on(Step::Seal { position })
            }
            Verb::Delete => on(Step::Delete),
            Verb::Get => on(Step::Get { range: None }),
            Verb::GetRange => {
                let start = self.random.below(view.length.max(1) + 16);
                let end = start + 1 + self.random.below(view.length.max(1));
                on(Step::Get { range: Some(start..end) })
            }
            Verb::Head => on(Step::Head),
            Verb::Upload => {
                let number = (self.id, self.number + 1);
                self.known.uploads.choose(&mut self.random, &self.keys, number)
            }
            Verb::List => {
                let prefix = if self.random.percent(50) { String::new() } else { key };
                Operation::List { prefix }
            }
        }
    }

    fn choose_verb(&mut self, view: View, versions: u64) -> Verb {
        let full = view.length > self.settings.object_bytes_max;
        let append = match view {
            _ if full => 0,
            View { kind: Some(Kind::Normal | Kind::Multipart), .. } | View { sealed: true, .. } => {
                4
            }
            View { kind: Some(Kind::Appendable) | None, .. } => 60,
        };
        let replace = if append < 10 { 20 } else { 6 };
        self.random.weighted(&[
            (append, Verb::Append),
            (replace, Verb::Put),
            (6, Verb::Copy),
            (2, Verb::Seal),
            (if full { 30 } else { replace }, Verb::Delete),
            (8, Verb::Get),
            (6, Verb::GetRange),
            (6, Verb::Head),
            (3, Verb::List),
            (30, Verb::Upload),
            // The more there are, the more are removed.
            (versions * 3, Verb::OfVersion(OfVersion::Remove)),
            (versions.min(6), Verb::OfVersion(OfVersion::Get)),
            (if self.settings.versions { 3 } else { 0 }, Verb::ListVersions),
        ])
    }

    fn key(&mut self) -> String {
        let at = self.random.below(self.keys.len() as u64);
        usize::try_from(at).ok().and_then(|at| self.keys.get(at)).cloned().unwrap_or_default()
    }

    /// Mostly right, as far as anybody knows.
    fn position(&mut self, key: &str, known: u64) -> u64 {
        match self.random.below(20) {
            0 => 0,
            1 => known + 1 + self.random.below(100),
            2 => known.saturating_sub(1 + self.random.below(100)),
            3 => self.stale.get(key).copied().unwrap_or_default(),
            _ => known,
        }
    }

    /// Mostly small; some too large to be kept inline; now and then nothing at all.
    fn body(&mut self) -> Body {
        let max = self.settings.body_bytes_max;
        let length = match self.random.below(100) {
            0 => 0,
            1..80 => 16 + self.random.below(1_000),
            80..94 => 1_000 + self.random.below(16 << 10),
            _ => max / 2 + self.random.below(max / 2),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // As the history numbers it.
        Body::new(stamped(self.id, self.number + 1, length))
    }

    fn learn(&mut self, operation: &Operation, answer: &Answer) {
        self.known.uploads.learn(operation, answer);
        if self.settings.versions {
            self.known.learn_versions(operation, answer);
        }
        match (operation, answer) {
            (Operation::On { key, step }, Answer::One(reply)) => {
                if let Some(view) = view(step, reply, self.known.of(key)) {
                    if self.random.percent(50) {
                        self.stale.insert(key.clone(), view.length);
                    }
                    self.known.learn(key, view);
                }
            }
            (Operation::List { .. }, Answer::Listed(listed)) => {
                for (key, (kind, length, _)) in listed {
                    let sealed = self.known.of(key).sealed;
                    let view = View { kind: Some(*kind), length: *length, sealed };
                    self.known.learn(key, view);
                }
            }
            _ => {}
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Append,
    Put,
    Copy,
    Seal,
    Delete,
    Get,
    GetRange,
    Head,
    List,
    Upload,
    OfVersion(OfVersion),
    ListVersions,
}

#[derive(Debug, Clone, Copy)]
enum OfVersion {
    Remove,
    Get,
}

/// What an answer says of the object.
fn view(step: &Step, reply: &Reply, known: View) -> Option<View> {
    // What is current then is not told.
    if matches!(step, Step::Of { .. }) {
        return None;
    }
    let appendable = |length| View { kind: Some(Kind::Appendable), length, sealed: false };
    let of = |info: &Info| View { kind: Some(info.kind), length: info.length, sealed: info.sealed };
    Some(match reply {
        Reply::Appended { next_position, .. } => appendable(*next_position),
        Reply::Stored { .. } => {
            let length = match step {
                Step::Put { content, .. } => content.length(),
                _ => known.length,
            };
            View { kind: Some(Kind::Normal), length, sealed: false }
        }
        Reply::Sealed => View { sealed: true, ..known },
        Reply::Deleted | Reply::Refused(Refusal::NoSuchKey) => View::default(),
        Reply::Read { info, .. } | Reply::Found(info) => of(info),
        Reply::Refused(Refusal::WrongPosition { length, .. }) => appendable(*length),
        Reply::Refused(Refusal::NotAppendable) => View { kind: Some(Kind::Normal), ..known },
        Reply::Refused(Refusal::Sealed) => View { sealed: true, ..known },
        Reply::Completed { .. } => View { kind: Some(Kind::Multipart), ..View::default() },
        // Uploads are remembered by themselves.
        Reply::Refused(_)
        | Reply::Listed(_)
        | Reply::Source(_)
        | Reply::PartSource(_)
        | Reply::Initiated { .. }
        | Reply::PartStored { .. }
        | Reply::Parts(_)
        | Reply::UploadListed(_)
        | Reply::Removed { .. }
        | Reply::Versions(_)
        | Reply::VersionFound(_)
        | Reply::Restored { .. }
        | Reply::Retained
        | Reply::Aborted => return None,
        Reply::Of { reply, .. } => return view(step, reply, known),
    })
}

impl Known {
    fn versions(&self, key: &str) -> Vec<String> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.get(key).cloned().unwrap_or_default()
    }

    fn learn_versions(&self, operation: &Operation, answer: &Answer) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        match (operation, answer) {
            (Operation::On { key, step: Step::Of { version, step } }, Answer::One(reply)) => {
                let gone = matches!(reply, Reply::Refused(Refusal::NoSuchVersion));
                if gone || **step == Step::Delete {
                    versions.entry(key.clone()).or_default().retain(|known| known != version);
                }
            }
            (Operation::On { key, .. }, Answer::One(reply)) => {
                let of_key = versions.entry(key.clone()).or_default();
                if let Reply::Versions(all) = reply {
                    *of_key = all.iter().rev().map(|version| version.id.clone()).collect();
                }
                if let Some(id) = reply.version().filter(|id| of_key.iter().all(|it| it != id)) {
                    of_key.push(id.to_owned());
                }
            }
            (Operation::Copy { key, .. }, Answer::Copied { version: Some(id), .. }) => {
                versions.entry(key.clone()).or_default().push(id.clone());
            }
            _ => {}
        }
    }

    fn of(&self, key: &str) -> View {
        let views = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        views.get(key).copied().unwrap_or_default()
    }

    fn learn(&self, key: &str, view: View) {
        let mut views = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        views.insert(key.to_owned(), view);
    }
}
