//! What a keeper does next.

use ossia_model::{
    Body, Content, Kind, NULL, Operation, Retention, Setting, Step, Store, Versioning,
};

use super::{Flavour, Keeper, now_ms};
use crate::history::stamped;

const KEYS: [&str; 4] = ["a", "a/b", "ab", "b"];
/// A key with more versions loses some.
const VERSIONS_MAX: usize = 12;
/// A longer object is rather replaced.
const OBJECT_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, Copy)]
enum Verb {
    Append,
    Put,
    Archived,
    Copy,
    Seal,
    Delete,
    Remove,
    Get,
    List,
    Restore,
    Retain,
    Hold,
    Switch,
}

impl Keeper {
    /// The next operation.
    pub(super) fn choose(&mut self) -> Operation {
        let key = KEYS[self.random.below(KEYS.len() as u64) as usize].to_owned();
        let there = self.store.key(&key);
        let on = |step| Operation::On { key: key.clone(), step };
        let versioned = self.store.bucket.versioning != Versioning::Never;
        let retained = self.flavour == Flavour::Retained;
        let full = there.versions.len() > VERSIONS_MAX;
        let verb = self.random.weighted(&[
            (if retained { 1 } else { 30 }, Verb::Append),
            (if full { 1 } else { 14 }, Verb::Put),
            (2, Verb::Archived),
            (if full || self.flavour == Flavour::Quota { 0 } else { 5 }, Verb::Copy),
            (1, Verb::Seal),
            (if full { 1 } else { 8 }, Verb::Delete),
            (if full { 40 } else { u64::from(versioned) * 12 }, Verb::Remove),
            (6, Verb::Get),
            (2, Verb::List),
            (3, Verb::Restore),
            (if retained { 8 } else { 0 }, Verb::Retain),
            (if retained { 8 } else { 0 }, Verb::Hold),
            (2, Verb::Switch),
        ]);
        match verb {
            Verb::Append => {
                let info = there.object().info();
                let length = info.as_ref().map_or(0, |info| info.length);
                if length > OBJECT_BYTES_MAX || info.is_some_and(|it| it.kind != Kind::Appendable) {
                    return on(Step::Delete);
                }
                let wrong = self.random.percent(5);
                let position = if wrong { self.random.below(100) } else { length };
                on(Step::Append { position, body: self.body() })
            }
            Verb::Put => {
                let forbid_overwrite = self.random.percent(15);
                on(Step::Put { content: Content::of(&self.body()), forbid_overwrite })
            }
            Verb::Archived => {
                let content = Content::of(&self.body());
                let step = Box::new(Step::Put { content, forbid_overwrite: false });
                on(Step::Making { id: String::new(), archived: true, step })
            }
            Verb::Copy => {
                let source = KEYS[self.random.below(KEYS.len() as u64) as usize].to_owned();
                let version = (versioned && self.random.percent(70)).then(|| self.version(&source));
                let forbid_overwrite = self.random.percent(15);
                Operation::Copy { source, version, key, forbid_overwrite }
            }
            Verb::Seal => {
                let length = there.object().content().map_or(0, Content::length);
                on(Step::Seal { position: length })
            }
            Verb::Delete => on(Step::Delete),
            Verb::Remove => self.of(&key, Step::Delete),
            Verb::Get if versioned && self.random.percent(60) => {
                self.of(&key, Step::Get { range: None })
            }
            Verb::Get => on(Step::Get { range: None }),
            Verb::List if versioned => Operation::ListVersions { prefix: String::new() },
            Verb::List => Operation::List { prefix: String::new() },
            Verb::Restore => {
                let step = Step::Restore { days: 1 + self.random.below(8) as u32 };
                if versioned { self.of(&key, step) } else { on(step) }
            }
            Verb::Retain => {
                // Far enough from now that nobody sees the time pass; now and then over already.
                let now_s = now_ms() / 1_000;
                let until_s = match self.random.below(10) {
                    0 => now_s - 3_600,
                    hours => now_s + hours * 36_000,
                };
                let to = Retention { until_s, compliance: self.random.percent(20) };
                let bypass = self.random.percent(50);
                self.of(&key, Step::Retain { to, bypass })
            }
            Verb::Hold => {
                let held = self.random.percent(40);
                self.of(&key, Step::Hold(held))
            }
            Verb::Switch => self.switch(),
        }
    }

    fn switch(&mut self) -> Operation {
        let on = self.random.percent(50);
        let setting = match self.flavour {
            Flavour::Versions | Flavour::Retained => {
                let to = if on { Versioning::Enabled } else { Versioning::Suspended };
                Setting::Versioning(to)
            }
            Flavour::Policy if self.store.bucket.active_policy().is_some() => Setting::AbortPolicy,
            Flavour::Policy if on => Setting::BeginPolicy(1 + self.random.below(5) as u32),
            Flavour::Policy | Flavour::Quota => {
                return Operation::List { prefix: String::new() };
            }
        };
        Operation::Set(setting)
    }

    /// The step on one of its versions, mostly the current one.
    fn of(&mut self, key: &str, step: Step) -> Operation {
        let version = self.version(key);
        let step = Step::Of { version, step: Box::new(step) };
        Operation::On { key: key.to_owned(), step }
    }

    fn version(&mut self, key: &str) -> String {
        let versions = self.store.key(key).versions;
        let at = self.random.below(versions.len() as u64) as usize;
        match (self.random.below(20), versions.get(at)) {
            (0, _) if !self.ids.0.is_empty() => {
                Store::name(self.random.below(self.ids.0.len() as u64) as usize)
            }
            (_, Some(version)) => version.id.clone(),
            (_, None) => NULL.to_owned(),
        }
    }

    /// Mostly small; some too large to be kept inline; now and then nothing at all.
    fn body(&mut self) -> Body {
        self.bodies += 1;
        let length = match self.random.below(100) {
            0 => 0,
            1..70 => 16 + self.random.below(500),
            70..95 => 500 + self.random.below(16 << 10),
            _ if self.flavour == Flavour::Quota => 16 << 10,
            _ => (130 << 10) + self.random.below(100 << 10),
        };
        let number = u32::try_from(self.bodies).unwrap_or(u32::MAX);
        Body::new(stamped(200, number, length as usize))
    }
}
