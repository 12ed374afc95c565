//! What stands under a key: versions, one on top of the other, and the uploads that may make another. This file is the specification
//! of versions, retention, restores and the lifecycle; what becomes of one version's bytes says [`Object::step`].

use std::collections::BTreeMap;

use crate::{
    Bucket, Info, NULL, Object, Refusal, Reply, Step, Upload, Versioning,
    bucket::DAY_S,
    object::{Kind, ListedVersion},
};

/// The most days of a restore.
const RESTORE_DAYS_MAX: u32 = 7;
/// How a version is called before somebody has said how.
const UNNAMED: &str = "?";

/// Everything that stands under one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Key {
    /// The versions, the current one last.
    pub versions: Vec<Version>,
    /// Uploads under way, by their ids.
    pub uploads: BTreeMap<String, Upload>,
}

/// A version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    /// Its id; [`NULL`] in a bucket that keeps none.
    pub id: String,
    /// What it is; [`Object::Absent`] is a delete marker.
    pub object: Object,
    /// Last-Modified, in seconds.
    pub modified_s: u64,
    /// When another one came on top of it, in seconds.
    pub covered_s: Option<u64>,
    /// Whether it is read only after a restore.
    pub archived: bool,
    /// The last restore: when it is ready, and when it is over, in milliseconds.
    pub restore: Option<(u64, u64)>,
    /// Its own retention, over or not.
    pub retention: Option<Retention>,
    /// Whether it is held.
    pub held: bool,
}

/// A retention of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retention {
    /// Until then, in seconds.
    pub until_s: u64,
    /// Whether it is never shortened.
    pub compliance: bool,
}

/// What belongs to the version that a step may make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Making<'a> {
    pub(crate) id: &'a str,
    pub(crate) archived: bool,
}

impl From<Object> for Key {
    fn from(object: Object) -> Self {
        let mut key = Key::default();
        if object != Object::Absent {
            key.add(object, &Bucket::default(), Making { id: NULL, archived: false });
        }
        key
    }
}

impl Version {
    /// Whether it is a delete marker.
    pub fn is_marker(&self) -> bool {
        self.object == Object::Absent
    }

    /// Whether it cannot be read now.
    pub fn is_frozen(&self, bucket: &Bucket) -> bool {
        let restored = |(ready, over): (u64, u64)| (ready..over).contains(&bucket.now_ms);
        self.archived && !self.restore.is_some_and(restored)
    }

    fn listed(&self) -> ListedVersion {
        let entry = |info: Info| (info.kind, info.length, info.etag);
        ListedVersion { id: self.id.clone(), object: self.object.info().map(entry) }
    }
}

impl Key {
    /// The current object; a delete marker is none.
    pub fn object(&self) -> &Object {
        self.versions.last().map_or(&Object::Absent, |current| &current.object)
    }

    /// Whether nothing at all is there.
    pub fn is_vacant(&self) -> bool {
        self.versions.is_empty() && self.uploads.is_empty()
    }

    /// What becomes of what stands here, and what is answered. A refusal and a question change nothing.
    pub fn step(&self, step: &Step, bucket: &Bucket) -> (Key, Reply) {
        let mut after = self.clone();
        match after.act(step, bucket, Making { id: UNNAMED, archived: false }) {
            Ok(reply) => (after, reply),
            Err(refusal) => (self.clone(), Reply::Refused(refusal)),
        }
    }

    fn act(&mut self, step: &Step, bucket: &Bucket, making: Making<'_>) -> Result<Reply, Refusal> {
        let versioned = bucket.versioning != Versioning::Never;
        match step {
            Step::Making { id, archived, step } => {
                self.act(step, bucket, Making { id, archived: *archived })
            }
            Step::Upload(step) => self.upload_step(step, bucket, making),
            Step::Append { body, .. } => {
                if bucket.retains.is_some() {
                    return Err(Refusal::Excluded);
                }
                let (object, reply) = self.object().step(step);
                // The type is looked at before the seal, the seal before the retention, that before the position.
                let early = [Refusal::NotAppendable, Refusal::Sealed].map(Reply::Refused);
                let current = self.versions.last_mut().filter(|current| !current.is_marker());
                if current.as_ref().is_some_and(|current| bucket.protects(current))
                    && !early.contains(&reply)
                {
                    return Err(Refusal::Immutable);
                }
                if let Reply::Refused(refusal) = reply {
                    return Err(refusal);
                }
                // In place, whatever the bucket does with versions.
                if let Some(current) = current {
                    current.object = object;
                    if body.length() > 0 {
                        current.modified_s = current.modified_s.max(bucket.now_s());
                    }
                } else {
                    self.add(object, bucket, making);
                }
                Ok(self.told(reply, bucket))
            }
            Step::Put { forbid_overwrite, .. } | Step::Place { forbid_overwrite, .. } => {
                self.may_replace(*forbid_overwrite, bucket)?;
                let (object, reply) = Object::Absent.step(step);
                self.add_retained(object, bucket, making);
                Ok(self.told(reply, bucket))
            }
            Step::Touch => {
                let Some(current) = self.versions.last_mut() else {
                    return Err(Refusal::NoSuchKey);
                };
                if bucket.protects(current) {
                    return Err(Refusal::Immutable);
                }
                current.modified_s = current.modified_s.max(bucket.now_s());
                let reply = Object::Absent
                    .step(&Step::Place { object: current.object.clone(), forbid_overwrite: false });
                Ok(reply.1)
            }
            Step::Seal { .. } => {
                let (object, reply) = self.object().step(step);
                if let Reply::Refused(refusal) = reply {
                    return Err(refusal);
                }
                if let Some(current) = self.versions.last_mut() {
                    current.object = object;
                }
                Ok(reply)
            }
            Step::Delete if versioned => {
                self.may_replace(false, bucket)?;
                self.add(Object::Absent, bucket, making);
                Ok(self.told(Reply::Deleted, bucket))
            }
            Step::Delete => {
                self.may_replace(false, bucket)?;
                self.versions.clear();
                Ok(Reply::Deleted)
            }
            Step::List => Ok(self.object().step(step).1),
            Step::Versions => {
                Ok(Reply::Versions(self.versions.iter().rev().map(Version::listed).collect()))
            }
            Step::FindVersion { version } => {
                let found = self.versions.iter().find(|it| it.id == *version);
                Ok(Reply::VersionFound(found.map(Version::listed)))
            }
            Step::Of { version, step } => self.act_on(version, step, bucket),
            _ => {
                let Some(at) = self.versions.len().checked_sub(1) else {
                    return Err(Refusal::NoSuchKey);
                };
                self.look(at, false, step, bucket)
            }
        }
    }

    /// A step on a version that is named.
    fn act_on(&mut self, id: &str, step: &Step, bucket: &Bucket) -> Result<Reply, Refusal> {
        let at = self.versions.iter().position(|version| version.id == id);
        if *step == Step::Delete {
            let Some(at) = at else {
                return Ok(Reply::of(id, Reply::Removed { marker: false }));
            };
            if bucket.protects(&self.versions[at]) {
                return Err(Refusal::Immutable);
            }
            let gone = self.remove(at);
            return Ok(Reply::of(id, Reply::Removed { marker: gone.is_marker() }));
        }
        self.look(at.ok_or(Refusal::NoSuchVersion)?, true, step, bucket)
    }

    /// A question about a version, or a change of what is beside its bytes.
    fn look(
        &mut self,
        at: usize,
        named: bool,
        step: &Step,
        bucket: &Bucket,
    ) -> Result<Reply, Refusal> {
        let version = &mut self.versions[at];
        if version.is_marker() {
            return Err(Refusal::Marker { id: version.id.clone(), named });
        }
        let now_s = bucket.now_s();
        let reads = matches!(step, Step::Get { .. } | Step::ReadSource | Step::ReadPart { .. });
        let reply = match step {
            _ if reads && version.is_frozen(bucket) => return Err(Refusal::Frozen),
            Step::Restore { days } => version.ask_for(*days, bucket)?,
            Step::Hold(_) | Step::Retain { .. } if bucket.retains.is_none() => {
                return Err(Refusal::Excluded);
            }
            Step::Hold(held) => {
                version.held = *held;
                Reply::Retained
            }
            Step::Retain { to, bypass } => {
                if version.object.info().is_some_and(|info| info.kind == Kind::Appendable) {
                    return Err(Refusal::NotNormal);
                }
                if to.until_s <= now_s {
                    return Err(Refusal::Past);
                }
                if let Some(old) = version.retention.filter(|old| now_s < old.until_s) {
                    let looser = to.until_s < old.until_s || (old.compliance && !to.compliance);
                    if looser && (old.compliance || !bypass) {
                        return Err(Refusal::Shorter);
                    }
                }
                version.retention = Some(*to);
                Reply::Retained
            }
            _ => match version.object.step(step).1 {
                Reply::Refused(refusal) => return Err(refusal),
                reply => reply,
            },
        };
        let id = version.id.clone();
        Ok(match bucket.versioning {
            // Half an operation answers nobody.
            _ if matches!(step, Step::ReadSource | Step::ReadPart { .. }) => reply,
            Versioning::Never => reply,
            _ => Reply::of(&id, reply),
        })
    }

    /// Whether what is current may be replaced. Where each write makes a version nothing is; where the new one is `null` it replaces
    /// one that is.
    pub(crate) fn may_replace(&self, forbid: bool, bucket: &Bucket) -> Result<(), Refusal> {
        if forbid && bucket.versioning == Versioning::Never && !self.versions.is_empty() {
            return Err(Refusal::AlreadyExists);
        }
        let replaced = self.versions.last().filter(|current| match bucket.versioning {
            Versioning::Never => true,
            Versioning::Enabled => false,
            Versioning::Suspended => current.id == NULL,
        });
        match replaced.is_some_and(|current| bucket.protects(current)) {
            true => Err(Refusal::Immutable),
            false => Ok(()),
        }
    }

    /// A version on top, with the retention that new ones are given.
    pub(crate) fn add_retained(&mut self, object: Object, bucket: &Bucket, making: Making<'_>) {
        self.add(object, bucket, making);
        if let (Some(new), Some(Some((compliance, days)))) =
            (self.versions.last_mut(), bucket.retains)
        {
            let until_s = new.modified_s + u64::from(days) * DAY_S;
            new.retention = Some(Retention { until_s, compliance });
        }
    }

    fn add(&mut self, object: Object, bucket: &Bucket, making: Making<'_>) {
        // Under one key Last-Modified never goes back.
        let modified_s =
            bucket.now_s().max(self.versions.last().map_or(0, |current| current.modified_s));
        let id = match bucket.versioning {
            Versioning::Enabled => making.id,
            Versioning::Never | Versioning::Suspended => NULL,
        };
        if id == NULL {
            self.versions.retain(|version| version.id != NULL);
        }
        if let Some(current) = self.versions.last_mut() {
            current.covered_s.get_or_insert(modified_s);
        }
        self.versions.push(Version {
            id: id.to_owned(),
            object,
            modified_s,
            covered_s: None,
            archived: making.archived,
            restore: None,
            retention: None,
            held: false,
        });
    }

    fn remove(&mut self, at: usize) -> Version {
        let gone = self.versions.remove(at);
        if let Some(current) = self.versions.last_mut() {
            current.covered_s = None;
        }
        gone
    }

    /// A reply, with the current version where there are any.
    pub(crate) fn told(&self, reply: Reply, bucket: &Bucket) -> Reply {
        match self.versions.last().filter(|_| bucket.versioning != Versioning::Never) {
            Some(current) => Reply::of(&current.id, reply),
            None => reply,
        }
    }

    /// What one round of the lifecycle makes of it; `name` names the versions that it makes.
    pub fn follow(&mut self, bucket: &Bucket, mut name: impl FnMut() -> String) {
        let (rules, now_s) = (bucket.rules, bucket.now_s());
        let due = |after, since| rules.is_due(after, since, now_s);
        if let Some(current) = self.versions.last_mut().filter(|current| !current.is_marker()) {
            let since = current.modified_s;
            let goes = due(rules.expire, since);
            let stays = self.may_replace(false, bucket).is_err();
            if goes && !stays {
                match bucket.versioning {
                    Versioning::Never => self.versions.clear(),
                    Versioning::Enabled | Versioning::Suspended => {
                        let id = match bucket.versioning {
                            Versioning::Enabled => name(),
                            _ => NULL.to_owned(),
                        };
                        self.add(Object::Absent, bucket, Making { id: &id, archived: false });
                    }
                }
            } else if due(rules.archive, since)
                && (!goes || bucket.versioning == Versioning::Never)
                && let Some(current) = self.versions.last_mut()
                && !current.archived
            {
                current.archived = true;
                current.restore = None;
            }
        }
        if bucket.versioning != Versioning::Never {
            let last = self.versions.len().saturating_sub(1);
            let mut at = 0;
            self.versions.retain(|version| {
                at += 1;
                let older = at <= last;
                let goes = older
                    && version.covered_s.is_some_and(|since| due(rules.trim, since))
                    && !bucket.protects(version);
                !goes
            });
            if let [lone] = self.versions.as_slice()
                && lone.is_marker()
                && (rules.lone_markers || due(rules.expire, lone.modified_s))
            {
                self.versions.clear();
            }
        }
        self.uploads.retain(|_, upload| !due(rules.abort, upload.begun_s));
    }
}

impl Version {
    fn ask_for(&mut self, days: u32, bucket: &Bucket) -> Result<Reply, Refusal> {
        if !self.archived {
            return Err(Refusal::NotArchived);
        }
        if days == 0 || days > RESTORE_DAYS_MAX {
            return Err(Refusal::BadDays);
        }
        let now = bucket.now_ms;
        let period = u64::from(days) * DAY_S * 1_000;
        let (ready, over, extended) = match self.restore.filter(|(_, over)| now < *over) {
            Some((ready, _)) if now < ready => return Err(Refusal::RestoreUnderWay),
            // Never shorter.
            Some((_, over)) => (now, over.max(now + period), true),
            None => {
                let ready = now + bucket.restore_ms;
                (ready, ready + period, false)
            }
        };
        self.restore = Some((ready, over));
        Ok(Reply::Restored { extended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Content};

    struct Under {
        key: Key,
        bucket: Bucket,
        made: u32,
    }

    impl Under {
        fn new(versioning: Versioning) -> Self {
            let bucket = Bucket { versioning, ..Bucket::default() };
            Self { key: Key::default(), bucket, made: 0 }
        }

        fn told(&mut self, step: Step) -> Reply {
            self.made += 1;
            let id = format!("v{}", self.made);
            let step = Step::Making { id, archived: false, step: Box::new(step) };
            let (after, reply) = self.key.step(&step, &self.bucket);
            if reply.changes_nothing() || !step.may_change() {
                assert_eq!(after, self.key, "{step:?}");
            }
            self.key = after;
            reply
        }

        fn ids(&self) -> Vec<&str> {
            self.key.versions.iter().map(|version| version.id.as_str()).collect()
        }
    }

    fn put(text: &str) -> Step {
        let content = Content::of(&Body::new(text.to_owned()));
        Step::Put { content, forbid_overwrite: true }
    }

    fn append(position: u64, text: &str) -> Step {
        Step::Append { position, body: Body::new(text.to_owned()) }
    }

    fn of(version: &str, step: Step) -> Step {
        Step::Of { version: version.to_owned(), step: Box::new(step) }
    }

    #[test]
    fn each_write_is_a_version_but_an_append_goes_on_with_its_own() {
        let mut under = Under::new(Versioning::Enabled);
        under.told(append(0, "log"));
        let reply = under.told(append(3, "!"));
        assert!(matches!(reply, Reply::Of { version, .. } if version == "v1"));
        under.told(Step::Delete);
        let gone = under.told(Step::Head);
        assert_eq!(gone, Reply::Refused(Refusal::Marker { id: "v3".to_owned(), named: false }));
        assert!(matches!(
            under.told(append(4, "x")),
            Reply::Refused(Refusal::WrongPosition { .. })
        ));
        under.told(append(0, "new"));
        assert_eq!(under.ids(), ["v1", "v3", "v6"]);
        under.told(of("v6", Step::Delete));
        under.told(of("v3", Step::Delete));
        // The first one is current again, and goes on.
        assert!(matches!(under.told(append(4, "x")), Reply::Of { version, .. } if version == "v1"));
        assert_eq!(under.key.versions[0].covered_s, None);
    }

    #[test]
    fn a_suspended_bucket_replaces_the_null_version_and_no_other() {
        let mut under = Under::new(Versioning::Never);
        under.told(put("a"));
        under.bucket.versioning = Versioning::Enabled;
        under.told(put("b"));
        under.bucket.versioning = Versioning::Suspended;
        under.told(put("c"));
        assert_eq!(under.ids(), ["v2", NULL]);
        under.told(Step::Delete);
        assert_eq!(under.ids(), ["v2", NULL]);
        assert!(under.key.versions[1].is_marker());
        under.told(of(NULL, Step::Delete));
        assert_eq!(under.ids(), ["v2"]);
    }

    #[test]
    fn a_retention_keeps_its_version_and_no_other() {
        let mut under = Under::new(Versioning::Enabled);
        under.bucket.set(crate::Setting::Retain(None)).unwrap();
        under.told(put("a"));
        let to = |until_s, compliance| Retention { until_s, compliance };
        let retain = |to, bypass| of("v1", Step::Retain { to, bypass });
        under.told(retain(to(100, false), false));
        assert_eq!(under.told(retain(to(50, false), false)), Reply::Refused(Refusal::Shorter));
        assert!(!under.told(retain(to(50, true), true)).changes_nothing());
        assert_eq!(under.told(retain(to(40, true), true)), Reply::Refused(Refusal::Shorter));
        assert_eq!(under.told(of("v1", Step::Delete)), Reply::Refused(Refusal::Immutable));
        under.told(put("b"));
        under.told(Step::Delete);
        assert_eq!(under.key.versions.len(), 3);
        assert_eq!(under.told(append(0, "x")), Reply::Refused(Refusal::Excluded));
        under.bucket.now_ms = 50_000;
        under.told(of("v1", Step::Hold(true)));
        assert_eq!(under.told(of("v1", Step::Delete)), Reply::Refused(Refusal::Immutable));
        under.told(of("v1", Step::Hold(false)));
        under.told(of("v1", Step::Delete));
        assert_eq!(under.key.versions.len(), 2);
    }

    #[test]
    fn an_archived_version_is_read_only_while_it_is_restored() {
        let mut under = Under::new(Versioning::Never);
        under.bucket.restore_ms = 1_000;
        let archived = |step| Step::Making { id: NULL.to_owned(), archived: true, step };
        under.told(archived(Box::new(put("a"))));
        let get = || Step::Get { range: None };
        assert_eq!(under.told(get()), Reply::Refused(Refusal::Frozen));
        assert!(matches!(under.told(Step::Head), Reply::Found(_)));
        under.told(Step::Restore { days: 1 });
        let again = under.told(Step::Restore { days: 1 });
        assert_eq!(again, Reply::Refused(Refusal::RestoreUnderWay));
        under.bucket.now_ms = 1_000;
        assert!(matches!(under.told(get()), Reply::Read { .. }));
        assert_eq!(under.told(Step::Restore { days: 2 }), Reply::Restored { extended: true });
        under.bucket.now_ms = 2 * DAY_S * 1_000 + 1_000;
        assert_eq!(under.told(get()), Reply::Refused(Refusal::Frozen));
    }

    #[test]
    fn rules_cover_what_is_current_trim_what_is_older_and_clear_what_is_left() {
        let mut under = Under::new(Versioning::Enabled);
        under.bucket.rules =
            crate::Rules { day_s: 10, expire: Some(1), trim: Some(2), ..Default::default() };
        under.told(put("a"));
        let mut round = |now_s: u64| {
            under.bucket.now_ms = now_s * 1_000;
            let bucket = under.bucket.clone();
            under.key.follow(&bucket, || "m".to_owned());
            under.key.versions.iter().map(|it| it.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(round(9), ["v1"]);
        assert_eq!(round(10), ["v1", "m"]);
        assert_eq!(round(29), ["v1", "m"]);
        assert!(round(30).is_empty());
    }
}
