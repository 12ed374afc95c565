//! Versions, retention, restores and the lifecycle among the random operations: which come, and how they are asked for.

use std::collections::BTreeMap;

use ossia_model::{
    self as model, Answer, Content, ListedVersion, Operation, Refusal, Reply, Retention, Rules,
    Setting, Step, Store, Versioning, stable_etag,
};
use proptest::prelude::*;

use super::{Act, Bed, Ids, KEYS, a_length, kind};
use crate::{
    BucketError, ConfigKind, DefaultRetention, DeleteError, DeleteIf, DeleteInput,
    ListVersionsInput, ObjectRetention, ObjectWormRules, Objects, ReadObjectError, RestoreError,
    RestoreInput, RetentionChange, RetentionError, RetentionMode, RetentionPeriod, VersionId,
    WormError,
    tests::support::{key, logs},
    words,
};

const DAY_S: i64 = 86_400;

/// What happens next to versions and to what is beside an object's bytes.
#[derive(Debug, Clone)]
pub(super) enum VersionAct {
    Set(Setting),
    Get {
        key: usize,
        which: Which,
        range: Option<(u64, u64)>,
    },
    Head {
        key: usize,
        which: Which,
    },
    Remove {
        key: usize,
        which: Which,
    },
    Copy {
        source: usize,
        which: Which,
        key: usize,
        forbid_overwrite: bool,
    },
    List {
        prefix: usize,
    },
    PutArchived {
        key: usize,
        length: usize,
    },
    Restore {
        key: usize,
        which: Option<Which>,
        days: u32,
    },
    /// Until so many seconds from now.
    Retain {
        key: usize,
        which: Option<Which>,
        seconds: i64,
        compliance: bool,
        bypass: bool,
    },
    Hold {
        key: usize,
        which: Option<Which>,
        held: bool,
    },
    /// So many seconds pass.
    Pass(u64),
    /// The lifecycle goes a round.
    Round,
}

/// A version of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    /// The current one, or one that it stands on.
    Down(usize),
    Null,
    /// Any that ever was, of any key.
    Ever(usize),
}

impl Which {
    fn of(self, at: &str, ids: &Ids, store: &Store) -> String {
        let versions = store.key(at).versions;
        match self {
            Which::Null => model::NULL.to_owned(),
            Which::Down(by) if !versions.is_empty() => {
                versions[versions.len() - 1 - by % versions.len()].id.clone()
            }
            Which::Ever(number) if !ids.versions.is_empty() => {
                Store::name(number % ids.versions.len())
            }
            // None has this id.
            Which::Down(_) | Which::Ever(_) => "none".to_owned(),
        }
    }
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        8 => (0_usize..4).prop_map(Which::Down),
        1 => Just(Which::Null),
        1 => (0_usize..100).prop_map(Which::Ever),
    ]
}

/// What a bucket of a sequence is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Flavour {
    /// It keeps no versions.
    Plain,
    /// It does, and does not, in turns.
    Versions,
    /// It keeps versions, and objects have retentions.
    Retained,
    /// It has a policy now and then.
    Policy,
}

pub(super) fn flavour() -> impl Strategy<Value = Flavour> {
    prop_oneof![
        3 => Just(Flavour::Plain),
        5 => Just(Flavour::Versions),
        2 => Just(Flavour::Retained),
        2 => Just(Flavour::Policy),
    ]
}

impl Flavour {
    /// How a sequence begins.
    pub(super) fn begin(self) -> Vec<Act> {
        let set = |setting| Act::Versioned(VersionAct::Set(setting));
        let enabled = set(Setting::Versioning(Versioning::Enabled));
        match self {
            Flavour::Plain | Flavour::Policy => Vec::new(),
            Flavour::Versions => vec![enabled],
            Flavour::Retained => vec![enabled, set(Setting::Retain(None))],
        }
    }

    /// How often these acts come among all others.
    pub(super) fn weight(self) -> u32 {
        match self {
            Flavour::Plain => 10,
            Flavour::Policy => 16,
            Flavour::Versions | Flavour::Retained => 40,
        }
    }

    pub(super) fn act(self) -> BoxedStrategy<VersionAct> {
        let a_key = || 0..KEYS.len();
        let days = || proptest::option::weighted(0.4, 1_u64..4);
        let rules = (days(), days(), any::<bool>(), days(), days());
        let rules = rules.prop_map(|(expire, trim, lone_markers, archive, abort)| {
            // What one rule cannot say is left out: it either expires objects or removes markers that stand alone, and archives
            // before it expires.
            let lone_markers = lone_markers && expire.is_none();
            let archive = archive.filter(|archive| expire.is_none_or(|expire| *archive < expire));
            Setting::Rules(Rules { day_s: 0, expire, trim, lone_markers, archive, abort })
        });
        let named = || proptest::option::of(which());
        let range = proptest::option::of((0_u64..300, 1_u64..300));
        let switch = prop_oneof![
            1 => Just(Versioning::Enabled),
            1 => Just(Versioning::Suspended),
        ];
        let policy = prop_oneof![
            6 => (1_u32..4).prop_map(Setting::BeginPolicy),
            4 => Just(Setting::AbortPolicy),
            1 => Just(Setting::LockPolicy),
            1 => (1_u32..4).prop_map(Setting::ExtendPolicy),
        ];
        let default = proptest::option::of((any::<bool>(), 1_u32..3)).prop_map(Setting::Retain);
        let (switches, policies, retained) = match self {
            Flavour::Plain => (0, 0, 0),
            Flavour::Versions => (3, 0, 0),
            Flavour::Retained => (1, 1, 8),
            Flavour::Policy => (1, 6, 0),
        };
        // Where there are no versions these are asked for as well, to be refused.
        let versions = if matches!(self, Flavour::Plain | Flavour::Policy) { 1 } else { 6 };
        let all: Vec<(u32, BoxedStrategy<VersionAct>)> =
            vec![
                (
                    switches,
                    (switch.prop_map(|to| VersionAct::Set(Setting::Versioning(to)))).boxed(),
                ),
                (policies, (policy.prop_map(VersionAct::Set)).boxed()),
                (retained, (default.prop_map(VersionAct::Set)).boxed()),
                (2, (rules.prop_map(VersionAct::Set)).boxed()),
                (
                    versions,
                    ((a_key(), which(), range).prop_map(|(key, which, range)| VersionAct::Get {
                        key,
                        which,
                        range,
                    }))
                    .boxed(),
                ),
                (
                    versions,
                    ((a_key(), which()).prop_map(|(key, which)| VersionAct::Head { key, which }))
                        .boxed(),
                ),
                (
                    versions * 2,
                    ((a_key(), which()).prop_map(|(key, which)| VersionAct::Remove { key, which }))
                        .boxed(),
                ),
                (
                    versions,
                    ((a_key(), which(), a_key(), any::<bool>()).prop_map(
                        |(source, which, key, forbid_overwrite)| VersionAct::Copy {
                            source,
                            which,
                            key,
                            forbid_overwrite,
                        },
                    ))
                    .boxed(),
                ),
                (4, ((0..=KEYS.len()).prop_map(|prefix| VersionAct::List { prefix })).boxed()),
                (
                    3,
                    ((a_key(), a_length())
                        .prop_map(|(key, length)| VersionAct::PutArchived { key, length }))
                    .boxed(),
                ),
                (
                    4,
                    ((a_key(), named(), 0_u32..9)
                        .prop_map(|(key, which, days)| VersionAct::Restore { key, which, days }))
                    .boxed(),
                ),
                (
                    1 + retained,
                    ((a_key(), named(), -DAY_S / 2..3 * DAY_S, any::<bool>(), any::<bool>())
                        .prop_map(|(key, which, seconds, compliance, bypass)| {
                            VersionAct::Retain { key, which, seconds, compliance, bypass }
                        }))
                    .boxed(),
                ),
                (
                    1 + retained,
                    ((a_key(), named(), any::<bool>())
                        .prop_map(|(key, which, held)| VersionAct::Hold { key, which, held }))
                    .boxed(),
                ),
                (
                    3,
                    (prop_oneof![0_u64..10, 0..2 * DAY_S.unsigned_abs()]
                        .prop_map(VersionAct::Pass))
                    .boxed(),
                ),
                (3, (Just(VersionAct::Round)).boxed()),
            ];
        // None of these never comes: a union takes no such weight.
        let some = all.into_iter().filter(|(weight, _)| *weight > 0).collect();
        proptest::strategy::Union::new_weighted(some).boxed()
    }
}

impl VersionAct {
    /// The operation that this is, now.
    pub(super) fn operation(
        &self,
        ids: &Ids,
        store: &Store,
        bytes: &dyn Fn(usize) -> model::Body,
    ) -> Operation {
        let on = |key: usize, step| Operation::On { key: KEYS[key].to_owned(), step };
        let of = |key: usize, which: Option<Which>, step| match which {
            None => on(key, step),
            Some(which) => {
                let version = which.of(KEYS[key], ids, store);
                on(key, Step::Of { version, step: Box::new(step) })
            }
        };
        match self {
            VersionAct::Set(setting) => Operation::Set(*setting),
            VersionAct::Get { key, which, range } => {
                let range = range.map(|(from, count)| from..from + count);
                of(*key, Some(*which), Step::Get { range })
            }
            VersionAct::Head { key, which } => of(*key, Some(*which), Step::Head),
            VersionAct::Remove { key, which } => of(*key, Some(*which), Step::Delete),
            VersionAct::Copy { source, which, key, forbid_overwrite } => Operation::Copy {
                source: KEYS[*source].to_owned(),
                version: Some(which.of(KEYS[*source], ids, store)),
                key: KEYS[*key].to_owned(),
                forbid_overwrite: *forbid_overwrite,
            },
            VersionAct::List { prefix } => {
                let prefix = KEYS.get(*prefix).copied().unwrap_or_default().to_owned();
                Operation::ListVersions { prefix }
            }
            VersionAct::PutArchived { key, length } => {
                let content = Content::of(&bytes(*length));
                let step = Box::new(Step::Put { content, forbid_overwrite: false });
                on(*key, Step::Making { id: String::new(), archived: true, step })
            }
            VersionAct::Restore { key, which, days } => {
                of(*key, *which, Step::Restore { days: *days })
            }
            VersionAct::Retain { key, which, seconds, compliance, bypass } => {
                let until_s = store.bucket.now_s().saturating_add_signed(*seconds);
                let to = Retention { until_s, compliance: *compliance };
                of(*key, *which, Step::Retain { to, bypass: *bypass })
            }
            VersionAct::Hold { key, which, held } => of(*key, *which, Step::Hold(*held)),
            VersionAct::Pass(_) | VersionAct::Round => Operation::Round,
        }
    }
}

/// The lifecycle goes a round.
pub(super) async fn round(bed: &Bed) {
    while let Err(failure) = bed.objects().core.lifecycle_round().await {
        let hostile = matches!(bed, Bed::Memory(world) if world.hostile);
        assert!(hostile, "{failure}");
    }
}

/// Every question about versions.
pub(super) fn questions(store: &Store) -> Vec<Operation> {
    let mut all = vec![Operation::ListVersions { prefix: String::new() }];
    for (key, version) in store.versions() {
        for step in [Step::Head, Step::Get { range: None }] {
            let step = Step::Of { version: version.id.clone(), step: Box::new(step) };
            all.push(Operation::On { key: key.to_owned(), step });
        }
    }
    all
}

pub(super) fn refusal(ids: &mut Ids, error: ReadObjectError) -> Refusal {
    match error {
        ReadObjectError::NoSuchKey => Refusal::NoSuchKey,
        ReadObjectError::NoSuchVersion => Refusal::NoSuchVersion,
        ReadObjectError::DeleteMarker { version, named } => {
            Refusal::Marker { id: ids.version(version), named }
        }
        ReadObjectError::Frozen => Refusal::Frozen,
        error => panic!("{error}"),
    }
}

/// A reply, with the version where one is named.
pub(super) fn about(ids: &mut Ids, version: Option<VersionId>, reply: Reply) -> Reply {
    match version {
        None => reply,
        Some(version) => Reply::of(&ids.version(version), reply),
    }
}

pub(super) async fn delete(
    objects: &Objects,
    ids: &mut Ids,
    at: &str,
    version: Option<VersionId>,
) -> Result<Reply, Refusal> {
    let input = DeleteInput { bucket: logs(), key: key(at), version, only: DeleteIf::Any };
    let told = objects.delete_with(input).await.map_err(|error| match error {
        DeleteError::Immutable => Refusal::Immutable,
        error => panic!("{error}"),
    })?;
    Ok(match version {
        None => {
            assert_eq!(told.delete_marker, told.version_id.is_some());
            about(ids, told.version_id, Reply::Deleted)
        }
        Some(VersionId::NOT_MADE) => Reply::of("none", Reply::Removed { marker: false }),
        Some(_) => about(ids, told.version_id, Reply::Removed { marker: told.delete_marker }),
    })
}

/// Does what concerns one version and not its bytes.
pub(super) async fn ask_beside(
    objects: &Objects,
    ids: &mut Ids,
    at: &str,
    version: Option<VersionId>,
    step: &Step,
) -> Result<Reply, Refusal> {
    let (bucket, name) = (logs(), key(at));
    let change = match step {
        Step::Restore { days } => {
            let input = RestoreInput { bucket, key: name, version, days: Some(*days), job: None };
            let told = match objects.restore(input).await {
                Ok(told) => told,
                Err(RestoreError::Object(error)) => return Err(refusal(ids, error)),
                Err(RestoreError::NotArchived) => return Err(Refusal::NotArchived),
                Err(RestoreError::InProgress) => return Err(Refusal::RestoreUnderWay),
                Err(RestoreError::Days { .. }) => return Err(Refusal::BadDays),
                Err(error) => panic!("{error}"),
            };
            return Ok(about(ids, told.version_id, Reply::Restored { extended: told.extended }));
        }
        Step::Hold(held) => RetentionChange::Hold(*held),
        Step::Retain { to, bypass } => {
            let mode = mode(to.compliance);
            let to = ObjectRetention { mode, until: to.until_s };
            RetentionChange::Retain { to, bypass: *bypass }
        }
        _ => unreachable!("nobody asks for half an operation"),
    };
    match objects.change_object_retention(&bucket, &name, version, change).await {
        Ok(version) => Ok(about(ids, version, Reply::Retained)),
        Err(RetentionError::Object(error)) => Err(refusal(ids, error)),
        Err(RetentionError::NotEnabled) => Err(Refusal::Excluded),
        Err(RetentionError::Appendable) => Err(Refusal::NotNormal),
        Err(RetentionError::Past) => Err(Refusal::Past),
        Err(RetentionError::Shorter) => Err(Refusal::Shorter),
    }
}

fn mode(compliance: bool) -> RetentionMode {
    if compliance { RetentionMode::Compliance } else { RetentionMode::Governance }
}

/// Changes what the bucket is set to.
pub(super) async fn set(
    objects: &Objects,
    ids: &mut Ids,
    setting: &Setting,
) -> Result<(), Refusal> {
    let bucket = logs();
    let worm = |error| match error {
        WormError::Exists => Refusal::AlreadyExists,
        WormError::NotFound => Refusal::NoSuchPolicy,
        WormError::Locked => Refusal::Locked,
        WormError::NotLocked => Refusal::NotLocked,
        WormError::Shorter => Refusal::Shorter,
        WormError::Excluded(_) => Refusal::Excluded,
        error => panic!("{error}"),
    };
    match setting {
        Setting::Versioning(to) => {
            let to = match to {
                Versioning::Enabled => words::Versioning::Enabled,
                _ => words::Versioning::Suspended,
            };
            objects.set_bucket_versioning(&bucket, to).await.map_err(|error| match error {
                BucketError::Retained => Refusal::Excluded,
                error => panic!("{error}"),
            })
        }
        Setting::BeginPolicy(days) => {
            ids.policy = objects.initiate_worm(&bucket, *days).await.map_err(worm)?;
            Ok(())
        }
        Setting::AbortPolicy => objects.abort_worm(&bucket).await.map_err(worm),
        Setting::LockPolicy => objects.lock_worm(&bucket, &ids.policy).await.map_err(worm),
        Setting::ExtendPolicy(days) => {
            objects.extend_worm(&bucket, &ids.policy, *days).await.map_err(worm)
        }
        Setting::Retain(default) => {
            let default = default.map(|(compliance, days)| DefaultRetention {
                mode: mode(compliance),
                period: RetentionPeriod::Days(days),
            });
            objects.set_object_worm(&bucket, ObjectWormRules { default }).await.map_err(worm)
        }
        Setting::Rules(rules) => {
            let document = document(rules);
            let set = objects.configure(Some(&bucket), ConfigKind::Lifecycle, move |_| {
                Ok(document.iter().map(|text| (String::new(), text.clone().into())).collect())
            });
            set.await.unwrap();
            Ok(())
        }
        Setting::Quota(_) => unreachable!("the front door enforces quotas"),
    }
}

/// The rules as a bucket keeps them; `None` if there are none.
fn document(rules: &Rules) -> Option<String> {
    let Rules { expire, trim, lone_markers, archive, abort, .. } = rules;
    let days = |days: &u64| format!("<Days>{days}</Days>");
    let mut inside = Vec::new();
    inside.extend(expire.iter().map(|it| format!("<Expiration>{}</Expiration>", days(it))));
    inside.extend(trim.iter().map(|it| {
        let days = format!("<NoncurrentDays>{it}</NoncurrentDays>");
        format!("<NoncurrentVersionExpiration>{days}</NoncurrentVersionExpiration>")
    }));
    inside.extend(archive.iter().map(|it| {
        let class = "<StorageClass>Archive</StorageClass>";
        format!("<Transition>{}{class}</Transition>", days(it))
    }));
    inside.extend(
        abort.iter().map(|it| format!("<AbortMultipartUpload>{}</AbortMultipartUpload>", days(it))),
    );
    if *lone_markers {
        let marker = "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>";
        inside.push(format!("<Expiration>{marker}</Expiration>"));
    }
    let inside: String = inside.concat();
    let rule = format!("<Rule><ID>a</ID><Prefix></Prefix><Status>Enabled</Status>{inside}</Rule>");
    let whole = format!("<LifecycleConfiguration>{rule}</LifecycleConfiguration>");
    (!inside.is_empty()).then_some(whole)
}

/// Page after page.
pub(super) async fn list(objects: &Objects, ids: &mut Ids, prefix: &str, limit: usize) -> Answer {
    let mut all: BTreeMap<String, Vec<ListedVersion>> = BTreeMap::new();
    let mut input = ListVersionsInput {
        bucket: logs(),
        prefix: prefix.to_owned(),
        delimiter: None,
        after: None,
        after_version: None,
        limit,
    };
    loop {
        let page = objects.list_versions(input.clone()).await.unwrap();
        for version in page.versions {
            let object = version.object.map(|info| {
                let kind = kind(info.kind);
                (kind, info.length, stable_etag(kind, &info.etag).unwrap())
            });
            let of_key = all.entry(version.key.as_str().to_owned()).or_default();
            assert_eq!(version.latest, of_key.is_empty(), "{}", version.key);
            assert_eq!(version.latest, version.noncurrent_since.is_none());
            of_key.push(ListedVersion { id: ids.version(version.version), object });
        }
        if !page.truncated {
            return Answer::Versions(all);
        }
        (input.after, input.after_version) = (page.last, page.last_version);
    }
}
