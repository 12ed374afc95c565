//! All identities in memory, as the records say, and a change to them under construction.
//!
//! A thousand users with their policies are a few megabytes. A state is never changed: a change works on a copy, whose maps share
//! what stays the same, and the copy takes the place of the state once it is durable.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ossia_keys::{MasterKeys, Purpose};
use ossia_protocol::{
    auth::Secret,
    policy::{Policy as Document, PolicyKind},
};
use ossia_store::{Item, ReadError, SCAN_LIMIT_MAX, Scan, Store};

use crate::{
    Limits,
    answer::Fault,
    records::{self, Attached, Generation, Group, LastUse, PARTITION, Policy, Role, User},
    signing::SigningKeys,
};

/// Why the identities cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// A record that cannot be read. Leaving it out could let somebody in who is kept out by it.
    #[error("the stored {what} cannot be read: {why}")]
    Damaged {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
}

/// What of a key is not in its record.
#[derive(Debug)]
pub(crate) struct LiveKey {
    /// `None` where the master key does not open it.
    pub(crate) secret: Option<Secret>,
    pub(crate) signing: SigningKeys,
    /// When it was last used, in milliseconds; 0 for never.
    pub(crate) used_ms: AtomicU64,
    /// What of that is stored.
    pub(crate) noted_ms: AtomicU64,
}

impl LiveKey {
    pub(crate) fn new(secret: Option<Secret>, used_ms: u64) -> LiveKey {
        LiveKey {
            secret,
            signing: SigningKeys::small(),
            used_ms: AtomicU64::new(used_ms),
            noted_ms: AtomicU64::new(used_ms),
        }
    }
}

/// All identities.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// The number of the last change.
    pub(crate) generation: u64,
    /// By name in lower case, as groups, roles and policies are.
    pub(crate) users: BTreeMap<String, Arc<User>>,
    pub(crate) groups: BTreeMap<String, Arc<Group>>,
    pub(crate) roles: BTreeMap<String, Arc<Role>>,
    pub(crate) policies: BTreeMap<String, Arc<Policy>>,
    /// The default versions of the account's policies.
    pub(crate) documents: HashMap<String, Arc<Document>>,
    /// The trust policies of roles, by the roles' ids.
    pub(crate) trusts: HashMap<String, Arc<Document>>,
    /// By key id.
    pub(crate) keys: HashMap<String, Arc<LiveKey>>,
    /// Policies that every server has.
    pub(crate) system: Arc<System>,
}

/// Policies that every server has.
#[derive(Debug, Default)]
pub(crate) struct System {
    pub(crate) policies: BTreeMap<String, (Policy, Arc<Document>)>,
}

/// Names, descriptions and documents of the policies that every server has (`permissions.md` §5.2).
const SYSTEM: [(&str, &str, &str); 3] = [
    (
        "AliyunOSSFullAccess",
        "Everything on every bucket and object.",
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"*"}]}"#,
    ),
    (
        "AliyunOSSReadOnlyAccess",
        "Reading every bucket and object.",
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["oss:Get*","oss:List*"],"Resource":"*"}]}"#,
    ),
    (
        "AliyunSTSAssumeRoleAccess",
        "Assuming roles.",
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}"#,
    ),
];

/// When the system policies are said to have been made: 2015-05-01.
const SYSTEM_MS: u64 = 1_430_438_400_000;

impl System {
    pub(crate) fn new() -> Result<System, LoadError> {
        let mut policies = BTreeMap::new();
        for (name, description, document) in SYSTEM {
            let parsed = document_of(&format!("system policy {name}"), document)?;
            let version = records::PolicyVersion {
                number: 1,
                document: document.to_owned(),
                created_ms: SYSTEM_MS,
            };
            let policy = Policy {
                name: name.to_owned(),
                description: description.to_owned(),
                created_ms: SYSTEM_MS,
                updated_ms: SYSTEM_MS,
                versions: vec![version],
                default_version: 1,
                last_version: 1,
            };
            policies.insert(lower(name), (policy, parsed));
        }
        Ok(System { policies })
    }
}

/// What names are compared by.
pub(crate) fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn document_of(what: &str, text: &str) -> Result<Arc<Document>, LoadError> {
    let parsed = Document::parse(text, PolicyKind::Identity);
    parsed.map(Arc::new).map_err(|error| damaged(what, error))
}

fn damaged(what: &str, why: impl ToString) -> LoadError {
    LoadError::Damaged { what: what.to_owned(), why: why.to_string() }
}

impl State {
    /// Reads everything. `before` is the state that this one replaces: what it knows of keys beyond their records stays.
    pub(crate) async fn load(
        store: &dyn Store,
        master: &MasterKeys,
        before: &State,
    ) -> Result<State, LoadError> {
        loop {
            let generation = generation(store).await?;
            let state = State::read(store, master, before, generation).await?;
            // Pages show one state each; only with no change in between do they belong together.
            if self::generation(store).await? == generation {
                return Ok(state);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn read(
        store: &dyn Store,
        master: &MasterKeys,
        before: &State,
        generation: u64,
    ) -> Result<State, LoadError> {
        let system = Arc::clone(&before.system);
        let mut state = State { generation, system, ..State::default() };
        let mut used: HashMap<String, u64> = HashMap::new();
        // Nonces are no identities, and there may be many.
        let nonces = Bytes::from_static(&[records::NONCE]);
        let behind = Bytes::from_static(&[records::BEHIND_NONCES]);
        for (from, end) in [(Bytes::new(), Some(nonces)), (behind, None)] {
            let mut next = Some(from);
            while let Some(start) = next {
                let scan = Scan { start, end: end.clone(), limit: SCAN_LIMIT_MAX, fold: None };
                let page = store.scan(PARTITION, scan).await?;
                for item in page.items {
                    let Item::Record(key, record) = item else { continue };
                    state.take(&key, &record.value, &mut used)?;
                }
                next = page.resume;
            }
        }
        for user in state.users.values() {
            for key in &user.keys {
                let known = before.keys.get(&key.id).filter(|known| known.secret.is_some());
                let live = known.map(Arc::clone).unwrap_or_else(|| {
                    let used_ms = used.get(&key.id).copied().unwrap_or(0);
                    Arc::new(LiveKey::new(opened(master, &key.id, &key.sealed), used_ms))
                });
                state.keys.insert(key.id.clone(), live);
            }
        }
        Ok(state)
    }

    fn take(
        &mut self,
        key: &[u8],
        value: &Bytes,
        used: &mut HashMap<String, u64>,
    ) -> Result<(), LoadError> {
        let (tag, name) = key.split_first().map_or((0, &[][..]), |(tag, name)| (*tag, name));
        let name = String::from_utf8_lossy(name).into_owned();
        let told = |what: &str| format!("{what} {name}");
        match tag {
            b'G' => {}
            records::USER => {
                let user: User =
                    records::decode(value).map_err(|why| damaged(&told("user"), why))?;
                self.users.insert(lower(&user.name), Arc::new(user));
            }
            records::GROUP => {
                let group: Group =
                    records::decode(value).map_err(|why| damaged(&told("group"), why))?;
                self.groups.insert(lower(&group.name), Arc::new(group));
            }
            records::ROLE => {
                let role: Role =
                    records::decode(value).map_err(|why| damaged(&told("role"), why))?;
                let trust = Document::parse(&role.trust, PolicyKind::Trust)
                    .map_err(|why| damaged(&told("trust policy of role"), why))?;
                self.trusts.insert(role.id.clone(), Arc::new(trust));
                self.roles.insert(lower(&role.name), Arc::new(role));
            }
            records::POLICY => {
                let what = told("policy");
                let policy: Policy = records::decode(value).map_err(|why| damaged(&what, why))?;
                let default = policy.version(policy.default_version);
                let default = default.ok_or_else(|| damaged(&what, "no default version"))?;
                let document = document_of(&what, &default.document)?;
                self.documents.insert(lower(&policy.name), document);
                self.policies.insert(lower(&policy.name), Arc::new(policy));
            }
            records::LAST_USE => {
                // Nothing rests on it: one that cannot be read is none.
                let last: LastUse = records::decode(value).unwrap_or_default();
                used.insert(name, last.ms);
            }
            _ => return Err(damaged(&told("record"), "its kind is not known")),
        }
        Ok(())
    }

    /// A policy by its name, whatever the case.
    pub(crate) fn policy(&self, system: bool, name: &str) -> Option<&Policy> {
        let name = lower(name);
        match system {
            true => self.system.policies.get(&name).map(|(policy, _)| policy),
            false => self.policies.get(&name).map(|policy| &**policy),
        }
    }

    /// The default version of what is attached.
    pub(crate) fn document(&self, attached: &Attached) -> Option<&Arc<Document>> {
        match attached.system {
            true => self.system.policies.get(&attached.name).map(|(_, document)| document),
            false => self.documents.get(&attached.name),
        }
    }

    pub(crate) fn user(&self, name: &str) -> Result<&Arc<User>, Fault> {
        let absent = || Fault::absent("User", "The user does not exist.");
        self.users.get(&lower(name)).ok_or_else(absent)
    }

    pub(crate) fn group(&self, name: &str) -> Result<&Arc<Group>, Fault> {
        let absent = || Fault::absent("Group", "The group does not exist.");
        self.groups.get(&lower(name)).ok_or_else(absent)
    }

    pub(crate) fn role(&self, name: &str) -> Result<&Arc<Role>, Fault> {
        let absent = || Fault::absent("Role", "The role does not exist.");
        self.roles.get(&lower(name)).ok_or_else(absent)
    }

    pub(crate) fn must_policy(&self, system: bool, name: &str) -> Result<&Policy, Fault> {
        let absent = || Fault::absent("Policy", "The policy does not exist.");
        self.policy(system, name).ok_or_else(absent)
    }

    /// The members of a group with when they joined, in the order of their names.
    pub(crate) fn members<'s>(
        &'s self,
        group: &'s str,
    ) -> impl Iterator<Item = (&'s User, u64)> + 's {
        self.users.values().filter_map(move |user| {
            let joined = user.groups.iter().find(|joined| joined.group == group)?;
            Some((&**user, joined.since_ms))
        })
    }

    /// How often each policy is attached, to whatever.
    pub(crate) fn attachments(&self) -> HashMap<(bool, &str), u64> {
        let mut counts = HashMap::new();
        let users = self.users.values().map(|user| &user.policies);
        let groups = self.groups.values().map(|group| &group.policies);
        let roles = self.roles.values().map(|role| &role.policies);
        for attached in users.chain(groups).chain(roles).flatten() {
            *counts.entry((attached.system, attached.name.as_str())).or_insert(0) += 1;
        }
        counts
    }
}

async fn generation(store: &dyn Store) -> Result<u64, LoadError> {
    let record = store.get(PARTITION, records::generation()).await?;
    match record {
        None => Ok(0),
        Some(record) => {
            let generation: Generation = records::decode(&record.value)
                .map_err(|why| damaged("number of the last change to identities", why))?;
            Ok(generation.number)
        }
    }
}

fn opened(master: &MasterKeys, id: &str, sealed: &[u8]) -> Option<Secret> {
    match master.open(Purpose::Secret, id.as_bytes(), sealed) {
        Ok(secret) => Some(Secret::new(&*secret)),
        Err(error) => {
            // Whoever looks through a store without any master key knows.
            if master.current().is_some() {
                tracing::warn!(
                    access_key_id = id,
                    %error,
                    "the secret of this key cannot be opened with the master key file that is there: the key is refused"
                );
            }
            None
        }
    }
}

/// A change under construction.
pub(crate) struct Change<'c> {
    pub(crate) state: State,
    pub(crate) account: &'c str,
    pub(crate) limits: &'c Limits,
    pub(crate) master: &'c MasterKeys,
    pub(crate) now_ms: u64,
    /// Records by their keys; `None` removes.
    pub(crate) writes: BTreeMap<Bytes, Option<Bytes>>,
}

impl Change<'_> {
    /// Puts a user into the place of the one that was called `before`.
    pub(crate) fn put_user(&mut self, before: Option<&str>, user: User) {
        if let Some(before) = before {
            self.state.users.remove(&lower(before));
        }
        self.write(records::USER, &user.id, &user);
        self.state.users.insert(lower(&user.name), Arc::new(user));
    }

    pub(crate) fn put_group(&mut self, before: Option<&str>, group: Group) {
        if let Some(before) = before {
            self.state.groups.remove(&lower(before));
        }
        self.write(records::GROUP, &group.id, &group);
        self.state.groups.insert(lower(&group.name), Arc::new(group));
    }

    pub(crate) fn put_role(&mut self, role: Role, trust: Arc<Document>) {
        self.write(records::ROLE, &role.id, &role);
        self.state.trusts.insert(role.id.clone(), trust);
        self.state.roles.insert(lower(&role.name), Arc::new(role));
    }

    /// Puts a role with the trust policy that it has.
    pub(crate) fn put_role_as_trusted(&mut self, role: Role) {
        self.write(records::ROLE, &role.id, &role);
        self.state.roles.insert(lower(&role.name), Arc::new(role));
    }

    /// Puts a policy. `document` is its default version.
    pub(crate) fn put_policy(&mut self, policy: Policy, document: Arc<Document>) {
        let name = lower(&policy.name);
        self.write(records::POLICY, &name, &policy);
        self.state.documents.insert(name.clone(), document);
        self.state.policies.insert(name, Arc::new(policy));
    }

    /// Puts a policy whose default version stays.
    pub(crate) fn put_policy_as_read(&mut self, policy: Policy) {
        let name = lower(&policy.name);
        self.write(records::POLICY, &name, &policy);
        self.state.policies.insert(name, Arc::new(policy));
    }

    pub(crate) fn write(&mut self, tag: u8, name: &str, record: &impl prost::Message) {
        self.writes.insert(records::key(tag, name), Some(records::encode(record)));
    }

    pub(crate) fn remove(&mut self, tag: u8, name: &str) {
        self.writes.insert(records::key(tag, name), None);
    }

    /// Takes a key away with all that is known of it.
    pub(crate) fn forget_key(&mut self, id: &str) {
        self.state.keys.remove(id);
        self.remove(records::LAST_USE, id);
    }

    /// Empties what was derived from a key, whose use stays known.
    pub(crate) fn renew_key(&mut self, id: &str) {
        if let Some(live) = self.state.keys.get_mut(id) {
            let fresh = LiveKey::new(live.secret.clone(), live.used_ms.load(Ordering::Relaxed));
            let noted = live.noted_ms.load(Ordering::Relaxed);
            fresh.noted_ms.store(noted, Ordering::Relaxed);
            *live = Arc::new(fresh);
        }
    }
}
