//! Random actions against a small model, with restarts in between; and what stands in the store.

mod rights;
mod sessions;
mod stores;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ossia_access::Caller;
use ossia_keys::MasterKeys;
use ossia_protocol::policy::Policy as Document;
use ossia_store::{MemoryOptions, MemoryStore, Store};
use proptest::prelude::*;

use crate::*;

struct Everything;

impl Judge for Everything {
    fn allows(&self, _: &Caller, _: &str, _: &str) -> bool {
        true
    }

    fn trusts(&self, _: &Caller, _: &Document) -> bool {
        true
    }
}

/// A nonce like no other.
fn fresh() -> Nonce {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    Nonce::new("id", &COUNT.fetch_add(1, Ordering::Relaxed).to_string(), UNTIL_S)
}

/// Until when nonces are kept.
const UNTIL_S: i64 = 1_768_465_845 + 900;
const NOW_MS: u64 = 1_768_465_845_000;

struct World {
    store: Arc<dyn Store>,
    master: Arc<MasterKeys>,
    ram: Arc<Ram>,
    limits: Limits,
}

impl World {
    async fn new(limits: Limits) -> World {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MemoryOptions::default()));
        let master = Arc::new(MasterKeys::ephemeral().unwrap());
        let ram = open(&store, &master, &limits).await;
        World { store, master, ram, limits }
    }

    async fn restart(&mut self) {
        self.ram.note_last_uses().await.unwrap();
        self.ram = open(&self.store, &self.master, &self.limits).await;
    }

    async fn call(&self, action: &str, pairs: &[(&str, &str)]) -> Result<Object, Fault> {
        self.call_once((RAM_VERSION, action), pairs, Arc::new(Caller::account("root")), fresh())
            .await
    }

    async fn call_once(
        &self,
        (version, action): (&str, &str),
        pairs: &[(&str, &str)],
        caller: Arc<Caller>,
        nonce: Nonce,
    ) -> Result<Object, Fault> {
        let request = RamRequest {
            action: action.to_owned(),
            version: version.to_owned(),
            params: Params::of(pairs.iter().copied()),
            caller,
            judge: Box::new(Everything),
            nonce,
            now_ms: NOW_MS,
        };
        self.ram.call(request).await
    }

    /// The user `lee` as its first key has it, which is made if there is none.
    async fn lee(&self) -> Arc<Caller> {
        let named = [("UserName", "lee")];
        let keys = self.call("ListAccessKeys", &named).await.unwrap();
        let id = match keys.get("AccessKeys") {
            Some(Node::List(_, keys)) if let [Node::Object(key), ..] = &keys[..] => match &key[0] {
                (_, Node::Text(id)) => id.clone(),
                other => panic!("{other:?}"),
            },
            _ => {
                let made = self.call("CreateAccessKey", &named).await.unwrap();
                text(&made, ["AccessKey", "AccessKeyId"])
            }
        };
        match self.ram.find(&id, None, NOW_MS / 1_000) {
            Found::Credential(found) => found.caller,
            other => panic!("{other:?}"),
        }
    }

    /// What is stored, in the words of the lists.
    async fn told(&self) -> String {
        let mut told = String::new();
        for action in ["ListUsers", "ListGroups", "ListRoles", "ListPolicies"] {
            told += &self.call(action, &[]).await.unwrap().render(action, "", Format::Json);
        }
        told
    }
}

async fn open(store: &Arc<dyn Store>, master: &Arc<MasterKeys>, limits: &Limits) -> Arc<Ram> {
    let (store, master) = (Arc::clone(store), Arc::clone(master));
    Ram::open(store, master, "1234567890123456", limits.clone()).await.unwrap()
}

fn text(object: &Object, path: [&str; 2]) -> String {
    let Some(Node::Object(members)) = object.get(path[0]) else { panic!("no {}", path[0]) };
    match members.iter().find(|(name, _)| *name == path[1]) {
        Some((_, Node::Text(text))) => text.clone(),
        other => panic!("{other:?}"),
    }
}

const DOCUMENT: &str =
    r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"*"}]}"#;
const TRUST: &str = r#"{"Version":"1","Statement":[
    {"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"RAM":["acs:ram::1:root"]}}]}"#;

/// A user as the model knows it.
#[derive(Debug, Clone, Default)]
struct ModelUser {
    keys: Vec<(String, bool)>,
    groups: BTreeSet<usize>,
    policies: BTreeSet<usize>,
}

/// Names are numbers; groups and users are told apart by what they are called now.
#[derive(Debug, Clone, Default)]
struct Model {
    users: BTreeMap<usize, ModelUser>,
    groups: BTreeMap<usize, BTreeSet<usize>>,
    roles: BTreeMap<usize, BTreeSet<usize>>,
    /// Versions, the default one, the last one.
    policies: BTreeMap<usize, (BTreeSet<u32>, u32, u32)>,
    gone: Vec<String>,
}

#[derive(Debug, Clone)]
enum Step {
    CreateUser(usize),
    DeleteUser(usize),
    Rename(usize, usize),
    CreateKey(usize),
    SwitchKey(usize, usize, bool),
    DeleteKey(usize, usize),
    CreateGroup(usize),
    DeleteGroup(usize),
    Join(usize, usize),
    Leave(usize, usize),
    CreateRole(usize),
    DeleteRole(usize),
    CreatePolicy(usize),
    DeletePolicy(usize, bool),
    AddVersion(usize, bool),
    SetDefault(usize, u32),
    DeleteVersion(usize, u32),
    Attach(u8, usize, usize),
    Detach(u8, usize, usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = 0..3_usize;
    let step = prop_oneof![
        n.clone().prop_map(Step::CreateUser),
        n.clone().prop_map(Step::DeleteUser),
        (n.clone(), n.clone()).prop_map(|(a, b)| Step::Rename(a, b)),
        n.clone().prop_map(Step::CreateKey),
        n.clone().prop_map(Step::CreateKey),
        (n.clone(), n.clone(), any::<bool>()).prop_map(|(a, b, on)| Step::SwitchKey(a, b, on)),
        (n.clone(), n.clone()).prop_map(|(a, b)| Step::DeleteKey(a, b)),
        n.clone().prop_map(Step::CreateGroup),
        n.clone().prop_map(Step::DeleteGroup),
        (n.clone(), n.clone()).prop_map(|(a, b)| Step::Join(a, b)),
        (n.clone(), n.clone()).prop_map(|(a, b)| Step::Leave(a, b)),
        n.clone().prop_map(Step::CreateRole),
        n.clone().prop_map(Step::DeleteRole),
        n.clone().prop_map(Step::CreatePolicy),
        (n.clone(), any::<bool>()).prop_map(|(a, all)| Step::DeletePolicy(a, all)),
        (n.clone(), any::<bool>()).prop_map(|(a, default)| Step::AddVersion(a, default)),
        (n.clone(), 1..5_u32).prop_map(|(a, v)| Step::SetDefault(a, v)),
        (n.clone(), 1..5_u32).prop_map(|(a, v)| Step::DeleteVersion(a, v)),
        (0..3_u8, n.clone(), n.clone()).prop_map(|(to, a, b)| Step::Attach(to, a, b)),
        (0..3_u8, n.clone(), n.clone()).prop_map(|(to, a, b)| Step::Attach(to, a, b)),
        (0..3_u8, n.clone(), n).prop_map(|(to, a, b)| Step::Detach(to, a, b)),
        Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

const GROUPS_PER_USER: usize = 2;
const KEYS_PER_USER: usize = 2;
const CUSTOM: usize = 2;
const VERSIONS: usize = 3;

fn limits() -> Limits {
    Limits {
        groups_per_user: GROUPS_PER_USER,
        keys_per_user: KEYS_PER_USER,
        custom_policies_per_user: CUSTOM,
        custom_policies_per_group: CUSTOM,
        custom_policies_per_role: CUSTOM,
        versions: VERSIONS,
        ..Limits::default()
    }
}

const NONE: &str = "";

/// What is attached to something, and the codes of what is attached twice, once too often, and not at all.
type Has<'m> = (&'m mut BTreeSet<usize>, [&'static str; 3]);

impl Model {
    /// The code that a step is refused with, empty for none; the step done if it is not.
    fn step(&mut self, step: &Step) -> &'static str {
        match *step {
            Step::CreateUser(u) if self.users.contains_key(&u) => "EntityAlreadyExists.User",
            Step::CreateUser(u) => {
                self.users.insert(u, ModelUser::default());
                NONE
            }
            Step::DeleteUser(u) => match self.users.get(&u) {
                None => "EntityNotExist.User",
                Some(user) if !user.groups.is_empty() => "DeleteConflict.User.Group",
                Some(user) if !user.keys.is_empty() => "DeleteConflict.User.AccessKey",
                Some(user) if !user.policies.is_empty() => "DeleteConflict.User.Policy",
                Some(_) => {
                    self.users.remove(&u);
                    NONE
                }
            },
            Step::Rename(a, b) => match self.users.get(&a).cloned() {
                None => "EntityNotExist.User",
                Some(_) if a != b && self.users.contains_key(&b) => "EntityAlreadyExists.User",
                Some(user) => {
                    self.users.remove(&a);
                    self.users.insert(b, user);
                    NONE
                }
            },
            Step::CreateKey(u) => match self.users.get(&u) {
                None => "EntityNotExist.User",
                Some(user) if user.keys.len() >= KEYS_PER_USER => "LimitExceeded.User.AccessKey",
                // Its id is noted by whoever made it.
                Some(_) => NONE,
            },
            Step::SwitchKey(u, at, on) => match self.users.get_mut(&u) {
                None => "EntityNotExist.User",
                Some(user) => match user.keys.get_mut(at) {
                    None => "EntityNotExist.User.AccessKey",
                    Some(key) => {
                        key.1 = on;
                        NONE
                    }
                },
            },
            Step::DeleteKey(u, at) => match self.users.get_mut(&u) {
                None => "EntityNotExist.User",
                Some(user) if at >= user.keys.len() => "EntityNotExist.User.AccessKey",
                Some(user) => {
                    self.gone.push(user.keys.remove(at).0);
                    NONE
                }
            },
            Step::CreateGroup(g) if self.groups.contains_key(&g) => "EntityAlreadyExists.Group",
            Step::CreateGroup(g) => {
                self.groups.insert(g, BTreeSet::new());
                NONE
            }
            Step::DeleteGroup(g) => match self.groups.get(&g) {
                None => "EntityNotExist.Group",
                Some(_) if self.users.values().any(|user| user.groups.contains(&g)) => {
                    "DeleteConflict.Group.User"
                }
                Some(policies) if !policies.is_empty() => "DeleteConflict.Group.Policy",
                Some(_) => {
                    self.groups.remove(&g);
                    NONE
                }
            },
            Step::Join(u, g) => match (self.users.get_mut(&u), self.groups.contains_key(&g)) {
                (None, _) => "EntityNotExist.User",
                (_, false) => "EntityNotExist.Group",
                (Some(user), _) if user.groups.contains(&g) => "EntityAlreadyExists.User.Group",
                (Some(user), _) if user.groups.len() >= GROUPS_PER_USER => {
                    "LimitExceeded.User.Group"
                }
                (Some(user), _) => {
                    user.groups.insert(g);
                    NONE
                }
            },
            Step::Leave(u, g) => match (self.users.get_mut(&u), self.groups.contains_key(&g)) {
                (None, _) => "EntityNotExist.User",
                (_, false) => "EntityNotExist.Group",
                (Some(user), _) => match user.groups.remove(&g) {
                    false => "EntityNotExist.User.Group",
                    true => NONE,
                },
            },
            Step::CreateRole(r) if self.roles.contains_key(&r) => "EntityAlreadyExists.Role",
            Step::CreateRole(r) => {
                self.roles.insert(r, BTreeSet::new());
                NONE
            }
            Step::DeleteRole(r) => match self.roles.get(&r) {
                None => "EntityNotExist.Role",
                Some(policies) if !policies.is_empty() => "DeleteConflict.Role.Policy",
                Some(_) => {
                    self.roles.remove(&r);
                    NONE
                }
            },
            Step::CreatePolicy(p) if self.policies.contains_key(&p) => "EntityAlreadyExists.Policy",
            Step::CreatePolicy(p) => {
                self.policies.insert(p, (BTreeSet::from([1]), 1, 1));
                NONE
            }
            Step::DeletePolicy(p, all) => match self.policies.get(&p) {
                None => "EntityNotExist.Policy",
                Some(_) if self.users.values().any(|user| user.policies.contains(&p)) => {
                    "DeleteConflict.Policy.User"
                }
                Some(_) if self.groups.values().any(|has| has.contains(&p)) => {
                    "DeleteConflict.Policy.Group"
                }
                Some(_) if self.roles.values().any(|has| has.contains(&p)) => {
                    "DeleteConflict.Policy.Role"
                }
                Some((versions, _, _)) if versions.len() > 1 && !all => {
                    "DeleteConflict.Policy.Version"
                }
                Some(_) => {
                    self.policies.remove(&p);
                    NONE
                }
            },
            Step::AddVersion(p, default) => match self.policies.get_mut(&p) {
                None => "EntityNotExist.Policy",
                Some((versions, _, _)) if versions.len() >= VERSIONS => {
                    "LimitExceeded.Policy.Version"
                }
                Some((versions, is_default, last)) => {
                    *last += 1;
                    versions.insert(*last);
                    if default {
                        *is_default = *last;
                    }
                    NONE
                }
            },
            Step::SetDefault(p, version) => match self.policies.get_mut(&p) {
                None => "EntityNotExist.Policy",
                Some((versions, _, _)) if !versions.contains(&version) => {
                    "EntityNotExist.Policy.Version"
                }
                Some((_, default, _)) => {
                    *default = version;
                    NONE
                }
            },
            Step::DeleteVersion(p, version) => match self.policies.get_mut(&p) {
                None => "EntityNotExist.Policy",
                Some((versions, _, _)) if !versions.contains(&version) => {
                    "EntityNotExist.Policy.Version"
                }
                Some((_, default, _)) if *default == version => {
                    "DeleteConflict.Policy.Version.Default"
                }
                Some((versions, _, _)) => {
                    versions.remove(&version);
                    NONE
                }
            },
            Step::Attach(to, which, p) => {
                let known = self.policies.contains_key(&p);
                match self.attached(to, which) {
                    Err(absent) => absent,
                    Ok(_) if !known => "EntityNotExist.Policy",
                    Ok((has, word)) if has.contains(&p) => word[0],
                    Ok((has, word)) if has.len() >= CUSTOM => word[1],
                    Ok((has, _)) => {
                        has.insert(p);
                        NONE
                    }
                }
            }
            Step::Detach(to, which, p) => {
                let known = self.policies.contains_key(&p);
                match self.attached(to, which) {
                    Err(absent) => absent,
                    Ok(_) if !known => "EntityNotExist.Policy",
                    Ok((has, word)) => match has.remove(&p) {
                        false => word[2],
                        true => NONE,
                    },
                }
            }
            Step::Restart => NONE,
        }
    }

    fn attached(&mut self, to: u8, which: usize) -> Result<Has<'_>, &'static str> {
        let words = [
            [
                "EntityAlreadyExists.User.Policy",
                "LimitExceeded.User.Policy",
                "EntityNotExist.User.Policy",
            ],
            [
                "EntityAlreadyExists.Group.Policy",
                "LimitExceeded.Group.Policy",
                "EntityNotExist.Group.Policy",
            ],
            [
                "EntityAlreadyExists.Role.Policy",
                "LimitExceeded.Role.Policy",
                "EntityNotExist.Role.Policy",
            ],
        ];
        let word = words[usize::from(to)];
        match to {
            0 => self.users.get_mut(&which).map(|user| (&mut user.policies, word)),
            1 => self.groups.get_mut(&which).map(|policies| (policies, word)),
            _ => self.roles.get_mut(&which).map(|policies| (policies, word)),
        }
        .ok_or(
            ["EntityNotExist.User", "EntityNotExist.Group", "EntityNotExist.Role"][usize::from(to)],
        )
    }
}

/// The action of a step. Now and then names are in another case, which makes no difference.
async fn act(world: &mut World, model: &Model, step: &Step) -> Result<Object, Fault> {
    let u = |n: usize| format!("User-{n}");
    let g = |n: usize| format!("group-{n}");
    let r = |n: usize| format!("role-{n}");
    let p = |n: usize| format!("policy-{n}");
    let key = |n: &usize, at: usize| {
        let user = model.users.get(n);
        user.and_then(|user| user.keys.get(at)).map_or("LTAInone".to_owned(), |key| key.0.clone())
    };
    let entity = |to: u8, n: usize| match to {
        0 => ("User", "UserName", u(n)),
        1 => ("Group", "GroupName", g(n)),
        _ => ("Role", "RoleName", r(n)),
    };
    let call = async |action: &str, pairs: &[(&str, &str)]| world.call(action, pairs).await;
    match *step {
        Step::CreateUser(n) => call("CreateUser", &[("UserName", &u(n))]).await,
        Step::DeleteUser(n) => call("DeleteUser", &[("UserName", &u(n).to_uppercase())]).await,
        Step::Rename(a, b) => {
            call("UpdateUser", &[("UserName", &u(a)), ("NewUserName", &u(b))]).await
        }
        Step::CreateKey(n) => call("CreateAccessKey", &[("UserName", &u(n))]).await,
        Step::SwitchKey(n, at, on) => {
            let status = if on { "Active" } else { "Inactive" };
            let id = key(&n, at);
            let named = [("UserName", &*u(n)), ("UserAccessKeyId", &id), ("Status", status)];
            call("UpdateAccessKey", &named).await
        }
        Step::DeleteKey(n, at) => {
            let id = key(&n, at);
            call("DeleteAccessKey", &[("UserName", &u(n)), ("UserAccessKeyId", &id)]).await
        }
        Step::CreateGroup(n) => call("CreateGroup", &[("GroupName", &g(n))]).await,
        Step::DeleteGroup(n) => call("DeleteGroup", &[("GroupName", &g(n).to_uppercase())]).await,
        Step::Join(a, b) => {
            call("AddUserToGroup", &[("UserName", &u(a)), ("GroupName", &g(b))]).await
        }
        Step::Leave(a, b) => {
            call("RemoveUserFromGroup", &[("UserName", &u(a)), ("GroupName", &g(b))]).await
        }
        Step::CreateRole(n) => {
            let named = [("RoleName", &*r(n)), ("AssumeRolePolicyDocument", TRUST)];
            call("CreateRole", &named).await
        }
        Step::DeleteRole(n) => call("DeleteRole", &[("RoleName", &r(n))]).await,
        Step::CreatePolicy(n) => {
            call("CreatePolicy", &[("PolicyName", &p(n)), ("PolicyDocument", DOCUMENT)]).await
        }
        Step::DeletePolicy(n, all) => {
            let named =
                [("PolicyName", &*p(n)), ("CascadingDelete", if all { "true" } else { "false" })];
            call("DeletePolicy", &named).await
        }
        Step::AddVersion(n, default) => {
            let default = if default { "true" } else { "false" };
            let named =
                [("PolicyName", &*p(n)), ("PolicyDocument", DOCUMENT), ("SetAsDefault", default)];
            call("CreatePolicyVersion", &named).await
        }
        Step::SetDefault(n, version) => {
            let version = format!("v{version}");
            call("SetDefaultPolicyVersion", &[("PolicyName", &p(n)), ("VersionId", &version)]).await
        }
        Step::DeleteVersion(n, version) => {
            let version = format!("v{version}");
            call("DeletePolicyVersion", &[("PolicyName", &p(n)), ("VersionId", &version)]).await
        }
        Step::Attach(to, n, policy) => {
            let (word, name, value) = entity(to, n);
            let named = [("PolicyType", "Custom"), ("PolicyName", &*p(policy)), (name, &value)];
            call(&format!("AttachPolicyTo{word}"), &named).await
        }
        Step::Detach(to, n, policy) => {
            let (word, name, value) = entity(to, n);
            let named = [("PolicyType", "Custom"), ("PolicyName", &*p(policy)), (name, &value)];
            call(&format!("DetachPolicyFrom{word}"), &named).await
        }
        Step::Restart => {
            world.restart().await;
            Ok(Object::new())
        }
    }
}

/// Every key verifies as the model says, with what is attached to its user and the user's groups.
fn compare(world: &World, model: &Model) {
    for user in model.users.values() {
        let of_groups = user.groups.iter().flat_map(|group| model.groups[group].iter());
        let wanted: BTreeSet<String> = user
            .policies
            .iter()
            .chain(of_groups)
            .map(|policy| format!("policy-{policy}"))
            .collect();
        for (id, on) in &user.keys {
            match world.ram.find(id, None, NOW_MS / 1000) {
                Found::Disabled => assert!(!on, "{id}"),
                Found::Credential(found) => {
                    assert!(on, "{id}");
                    let policies = found.caller.policies.iter();
                    let names: BTreeSet<String> =
                        policies.map(|policy| policy.name.to_string()).collect();
                    assert_eq!((names.len(), &names), (found.caller.policies.len(), &wanted));
                    assert_eq!(found.caller.access_key_id.as_deref(), Some(&**id));
                }
                other => panic!("{id}: {other:?}"),
            }
        }
    }
    for id in &model.gone {
        assert!(matches!(world.ram.find(id, None, 0), Found::Unknown), "{id}");
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_actions_do_what_the_model_does_and_a_restart_changes_nothing(steps in steps()) {
        block_on(async {
            let mut world = World::new(limits()).await;
            let mut model = Model::default();
            // Most steps say nothing where nothing is.
            let users = (0..2).flat_map(|n| [Step::CreateUser(n), Step::CreateKey(n)]);
            let others = (0..3).flat_map(|n| [Step::CreateGroup(n), Step::CreatePolicy(n)]);
            let begin: Vec<Step> = users.chain(others).chain([Step::CreateRole(0)]).collect();
            for step in begin.iter().chain(&steps) {
                let before = model.clone();
                let wanted = model.step(step);
                let told = act(&mut world, &before, step).await;
                match told {
                    Err(fault) => assert_eq!(fault.code, wanted, "{step:?}"),
                    Ok(answer) => {
                        assert_eq!(wanted, NONE, "{step:?}");
                        if let Step::CreateKey(user) = step {
                            let id = text(&answer, ["AccessKey", "AccessKeyId"]);
                            model.users.get_mut(user).unwrap().keys.push((id, true));
                        }
                    }
                }
                compare(&world, &model);
            }
            let before = world.told().await;
            world.restart().await;
            assert_eq!(world.told().await, before);
            compare(&world, &model);
            assert_eq!(check(&world.store).await.unwrap(), Vec::<String>::new());
        });
    }
}

#[test]
fn a_secret_is_told_once_and_stands_nowhere_in_clear() {
    block_on(async {
        let mut world = World::new(Limits::default()).await;
        world.call("CreateUser", &[("UserName", "a")]).await.unwrap();
        let made = world.call("CreateAccessKey", &[("UserName", "a")]).await.unwrap();
        let (id, secret) = (
            text(&made, ["AccessKey", "AccessKeyId"]),
            text(&made, ["AccessKey", "AccessKeySecret"]),
        );
        let scan =
            ossia_store::Scan { start: bytes::Bytes::new(), end: None, limit: 1_024, fold: None };
        let page = world.store.scan(crate::records::PARTITION, scan).await.unwrap();
        for item in page.items {
            let stored = format!("{item:?}");
            assert!(!stored.contains(&secret), "{stored}");
        }
        world.restart().await;
        let Found::Credential(found) = world.ram.find(&id, None, 0) else { panic!("no key") };
        assert_eq!(found.secret().expose(), secret.as_bytes());
        for shown in [format!("{:?}", world.ram), format!("{found:?}")] {
            assert!(!shown.contains(&secret), "{shown}");
        }
        // Another master key opens nothing: the key is refused, and the rest goes on.
        world.master = Arc::new(MasterKeys::ephemeral().unwrap());
        world.restart().await;
        assert!(matches!(world.ram.find(&id, None, 0), Found::Unknown));
        let named = [("UserName", "a"), ("UserAccessKeyId", id.as_str())];
        world.call("DeleteAccessKey", &named).await.unwrap();
    });
}

#[test]
fn the_last_use_of_a_key_outlives_a_restart_and_a_deleted_key_leaves_nothing() {
    block_on(async {
        let mut world = World::new(Limits::default()).await;
        world.call("CreateUser", &[("UserName", "a")]).await.unwrap();
        let made = world.call("CreateAccessKey", &[("UserName", "a")]).await.unwrap();
        let id = text(&made, ["AccessKey", "AccessKeyId"]);
        let named = [("UserName", "a"), ("UserAccessKeyId", id.as_str())];
        let last = async |world: &World| {
            let told = world.call("GetAccessKeyLastUsed", &named).await.unwrap();
            text(&told, ["AccessKeyLastUsed", "LastUsedDate"])
        };
        assert_eq!(last(&world).await, "");
        let Found::Credential(found) = world.ram.find(&id, None, 0) else { panic!("no key") };
        world.ram.held(&found, NOW_MS);
        assert_eq!(last(&world).await, "2026-01-15T08:30:45Z");
        assert_eq!(world.ram.note_last_uses().await.unwrap(), 1);
        assert_eq!(world.ram.note_last_uses().await.unwrap(), 0);
        world.restart().await;
        assert_eq!(last(&world).await, "2026-01-15T08:30:45Z");
        world.call("DeleteAccessKey", &named).await.unwrap();
        world.call("DeleteUser", &[("UserName", "a")]).await.unwrap();
        world.ram.forget_nonces(UNTIL_S as u64 + 1).await.unwrap();
        let scan =
            ossia_store::Scan { start: bytes::Bytes::new(), end: None, limit: 9, fold: None };
        let page = world.store.scan(crate::records::PARTITION, scan).await.unwrap();
        assert_eq!(page.items.len(), 1, "the number of the last change: {page:?}");
    });
}

#[test]
fn what_changes_something_or_gives_credentials_is_taken_once_whatever_restarts() {
    block_on(async {
        let mut world = World::new(Limits { keys_per_user: 9, ..Limits::default() }).await;
        world.call("CreateUser", &[("UserName", "a")]).await.unwrap();
        let trust = [("RoleName", "r"), ("AssumeRolePolicyDocument", TRUST)];
        world.call("CreateRole", &trust).await.unwrap();
        let role = [("RoleArn", "acs:ram::1234567890123456:role/r"), ("RoleSessionName", "one")];
        let named = [("UserName", "a")];
        let made = world.call("CreateAccessKey", &named).await.unwrap();
        let id = text(&made, ["AccessKey", "AccessKeyId"]);
        let asked =
            [(RAM_VERSION, "CreateAccessKey", &named[..]), (STS_VERSION, "AssumeRole", &role[..])];
        for (version, action, pairs) in asked {
            let ask = async |world: &World, nonce| {
                let Found::Credential(found) = world.ram.find(&id, None, NOW_MS / 1000) else {
                    panic!("no credential");
                };
                world.call_once((version, action), pairs, found.caller, nonce).await
            };
            let nonce = fresh();
            ask(&world, nonce.clone()).await.unwrap();
            for _ in 0..2 {
                let again = ask(&world, nonce.clone()).await;
                assert_eq!(again.unwrap_err().code, "SignatureNonceUsed");
                world.restart().await;
            }
            // A second refusal has cost nothing: the next one is taken.
            ask(&world, fresh()).await.unwrap();
            assert_eq!(world.ram.forget_nonces(UNTIL_S as u64).await.unwrap(), 0, "not yet");
            assert!(world.ram.forget_nonces(UNTIL_S as u64 + 1).await.unwrap() >= 2);
            ask(&world, nonce).await.unwrap();
        }
        // What only tells something needs no room.
        world.ram.forget_nonces(u64::MAX).await.unwrap();
        world.call("ListUsers", &[]).await.unwrap();
        assert_eq!(world.ram.forget_nonces(u64::MAX).await.unwrap(), 0);
    });
}

#[test]
fn after_a_rotation_of_the_master_key_secrets_are_sealed_anew_and_open_without_the_old_one() {
    block_on(async {
        let folder = std::env::temp_dir().join(format!("ossia-ram-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("keys");
        let mut world = World::new(Limits::default()).await;
        world.master = Arc::new(MasterKeys::open_or_create(&file).unwrap());
        world.restart().await;
        world.call("CreateUser", &[("UserName", "a")]).await.unwrap();
        let made = world.call("CreateAccessKey", &[("UserName", "a")]).await.unwrap();
        let id = text(&made, ["AccessKey", "AccessKeyId"]);
        assert_eq!(world.ram.reseal().await.unwrap(), 0);
        let before = world.master.current().unwrap();
        // A process keeps a key that its file has lost.
        MasterKeys::open_or_create(&folder.join("fresh")).unwrap();
        std::fs::rename(folder.join("fresh"), &file).unwrap();
        world.master.reload().unwrap();
        assert_ne!(world.master.current(), Some(before));
        assert_eq!(world.ram.reseal().await.unwrap(), 1);
        assert_eq!(world.ram.reseal().await.unwrap(), 0);
        let snapshot = world.call("ListAccessKeys", &[("UserName", "a")]).await.unwrap();
        assert!(snapshot.render("", "", Format::Json).contains(&id));
        world.restart().await;
        assert_eq!(world.ram.reseal().await.unwrap(), 0, "it is stored");
        // The old key is in no file any more.
        world.master = Arc::new(MasterKeys::of_file(&file).unwrap());
        assert!(!world.master.has(before));
        world.restart().await;
        assert!(matches!(world.ram.find(&id, None, 0), Found::Credential(_)));
        std::fs::remove_dir_all(&folder).unwrap();
    });
}

#[test]
fn two_that_change_one_store_do_not_overwrite_each_other() {
    block_on(async {
        let world = World::new(Limits::default()).await;
        let other = World {
            store: Arc::clone(&world.store),
            master: Arc::clone(&world.master),
            ram: open(&world.store, &world.master, &world.limits).await,
            limits: world.limits.clone(),
        };
        world.call("CreateUser", &[("UserName", "a")]).await.unwrap();
        other.call("CreateUser", &[("UserName", "b")]).await.unwrap();
        let twice = world.call("CreateUser", &[("UserName", "b")]).await.unwrap_err();
        assert_eq!(twice.code, "EntityAlreadyExists.User");
        other.call("DeleteUser", &[("UserName", "a")]).await.unwrap();
    });
}

/// Decides by what is attached to the caller that it is asked about.
struct ByPolicies;

impl Judge for ByPolicies {
    fn allows(&self, caller: &Caller, action: &str, resource: &str) -> bool {
        let conditions = ossia_protocol::policy::Conditions::default();
        ossia_access::decide_identity(caller, action, resource, &conditions).allowed
    }

    fn trusts(&self, _: &Caller, _: &Document) -> bool {
        true
    }
}

#[test]
fn a_right_that_was_taken_away_is_gone_for_requests_that_waited_meanwhile() {
    block_on(async {
        let world = World::new(Limits::default()).await;
        let may = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ram:*","sts:*"],"Resource":"*"}]}"#;
        world.call("CreateUser", &[("UserName", "lee")]).await.unwrap();
        let made = world.call("CreateAccessKey", &[("UserName", "lee")]).await.unwrap();
        let id = text(&made, ["AccessKey", "AccessKeyId"]);
        let pairs = [("PolicyName", "may"), ("PolicyDocument", may)];
        world.call("CreatePolicy", &pairs).await.unwrap();
        let attached = [("PolicyType", "Custom"), ("PolicyName", "may"), ("UserName", "lee")];
        world.call("AttachPolicyToUser", &attached).await.unwrap();
        // As a request has it whose signature was verified a moment ago.
        let Found::Credential(credential) = world.ram.find(&id, None, NOW_MS / 1000) else {
            panic!("no credential");
        };
        let caller = credential.caller;
        let ask = async |version: &str, action: &str, pairs: &[(&str, &str)]| {
            let request = RamRequest {
                action: action.to_owned(),
                version: version.to_owned(),
                params: Params::of(pairs.iter().copied()),
                caller: Arc::clone(&caller),
                judge: Box::new(ByPolicies),
                nonce: fresh(),
                now_ms: NOW_MS,
            };
            world.ram.call(request).await.map(|_| ()).map_err(|fault| fault.code.to_string())
        };
        let role = [("RoleArn", "acs:ram::1234567890123456:role/r"), ("RoleSessionName", "ss")];
        let refused = Err("NoPermission".to_owned());
        let off = [("UserName", "lee"), ("UserAccessKeyId", id.as_str()), ("Status", "Inactive")];
        let on = [off[0], off[1], ("Status", "Active")];
        ask(RAM_VERSION, "CreateUser", &[("UserName", "one")]).await.unwrap();
        for (action, pairs) in [("DetachPolicyFromUser", attached), ("UpdateAccessKey", off)] {
            world.call(action, &pairs).await.unwrap();
            let made = ask(RAM_VERSION, "CreateUser", &[("UserName", "two")]).await;
            assert_eq!(made, refused, "{action}");
            assert_eq!(ask(RAM_VERSION, "ListUsers", &[]).await, refused, "{action}");
            assert_eq!(ask(STS_VERSION, "AssumeRole", &role).await, refused, "{action}");
            if action == "DetachPolicyFromUser" {
                world.call("AttachPolicyToUser", &attached).await.unwrap();
            }
        }
        world.call("UpdateAccessKey", &on).await.unwrap();
        ask(RAM_VERSION, "CreateUser", &[("UserName", "two")]).await.unwrap();
        // Somebody of the same name is somebody else.
        world.call("DeleteAccessKey", &off[..2]).await.unwrap();
        world.call("DetachPolicyFromUser", &attached).await.unwrap();
        world.call("DeleteUser", &[("UserName", "lee")]).await.unwrap();
        world.call("CreateUser", &[("UserName", "lee")]).await.unwrap();
        world.call("AttachPolicyToUser", &attached).await.unwrap();
        assert_eq!(ask(RAM_VERSION, "CreateUser", &[("UserName", "three")]).await, refused);
    });
}
