//! What requests are verified by: credentials by key id and token.
//!
//! A snapshot holds every key with its caller, made when identities change; looking one up costs a hash. Sessions stand in their
//! tokens, and those that were used lately are remembered, so that a token is opened once and not for every request.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ossia_access::{AttachedPolicy, Caller, PolicyOrigin, Principal};
use ossia_keys::{MasterKeys, Purpose};
use ossia_protocol::{
    auth::{Secret, TokenFault},
    policy::{Policy as Document, PolicyKind},
};
use prost::Message as _;

use crate::{
    records::{Attached, Group, Role, Token, User},
    signing::SigningKeys,
    state::{LiveKey, State},
};

/// Sessions that are remembered.
const SESSIONS_MAX: usize = 1_024;
/// What every token begins with, as the service's do.
const TOKEN_PREFIX: &str = "CAIS";
/// No token is longer: a policy of 2,048 characters, each up to four bytes, and names, in base64.
const TOKEN_CHARS_MAX: usize = 16 << 10;

/// What stands behind a key id, or a key id and a token.
#[derive(Debug)]
pub enum Found {
    /// No such key id, or a temporary one without its token.
    Unknown,
    /// The key is switched off.
    Disabled,
    /// The token does not pass.
    BadToken(TokenFault),
    /// Somebody, if the signature holds.
    Credential(Credential),
}

/// A secret and who holds it.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Who it is.
    pub caller: Arc<Caller>,
    part: Part,
}

#[derive(Debug, Clone)]
enum Part {
    Key(Arc<LiveKey>, Arc<Secret>),
    Session(Arc<Session>),
}

impl Credential {
    /// What signatures are verified with.
    pub fn secret(&self) -> &Secret {
        match &self.part {
            Part::Key(_, secret) => secret,
            Part::Session(session) => &session.secret,
        }
    }

    /// V4 signing keys of this secret.
    pub fn signing_keys(&self) -> &SigningKeys {
        match &self.part {
            Part::Key(key, _) => &key.signing,
            Part::Session(session) => &session.signing,
        }
    }
}

/// What a token says.
#[derive(Debug)]
struct Session {
    token: Box<str>,
    key_id: Arc<str>,
    secret: Secret,
    role_id: String,
    name: Arc<str>,
    expires_s: u64,
    policy: Option<Arc<Document>>,
    signing: SigningKeys,
    /// The caller as of a number of change: role and policies may have changed since.
    caller: Mutex<Option<(u64, Arc<Caller>)>>,
}

/// All keys at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) state: Arc<State>,
    /// By key id: whether it is on, and what it is.
    keys: HashMap<String, (bool, Credential)>,
    /// Roles by their ids.
    roles: HashMap<String, Arc<Role>>,
    /// Groups by their ids.
    groups: HashMap<String, Arc<Group>>,
}

impl Snapshot {
    pub(crate) fn of(state: State) -> Snapshot {
        let roles = state.roles.values().map(|role| (role.id.clone(), Arc::clone(role))).collect();
        let groups = state.groups.values().map(|group| (group.id.clone(), Arc::clone(group)));
        let groups = groups.collect();
        let mut fresh = Snapshot { keys: HashMap::new(), roles, groups, state: Arc::new(state) };
        let mut keys = HashMap::with_capacity(fresh.state.keys.len());
        for user in fresh.state.users.values().filter(|user| !user.keys.is_empty()) {
            let caller = fresh.user_caller(user, None);
            for key in &user.keys {
                let Some(live) = fresh.state.keys.get(&key.id) else { continue };
                let Some(secret) = &live.secret else { continue };
                let caller =
                    Caller { access_key_id: Some(key.id.as_str().into()), ..caller.clone() };
                let part = Part::Key(Arc::clone(live), Arc::new(secret.clone()));
                let credential = Credential { caller: Arc::new(caller), part };
                keys.insert(key.id.clone(), (key.active, credential));
            }
        }
        fresh.keys = keys;
        fresh
    }

    /// The same caller as it is in force in this snapshot: a request may have waited since its signature was verified. `None` where
    /// it is nobody any more, as when its key is off or its role gone.
    pub(crate) fn renewed(&self, caller: &Arc<Caller>) -> Option<Arc<Caller>> {
        match &caller.principal {
            Principal::Account => Some(Arc::clone(caller)),
            Principal::User { id, .. } => {
                let (active, credential) = self.keys.get(caller.access_key_id.as_deref()?)?;
                let same = matches!(
                    &credential.caller.principal,
                    Principal::User { id: now, .. } if now == id
                );
                (*active && same).then(|| Arc::clone(&credential.caller))
            }
            Principal::Session { role_id, session, .. } => {
                let role = self.roles.get(&**role_id)?;
                let (session, key_id) = (Arc::clone(session), caller.access_key_id.clone());
                let policy = caller.session_policy.clone();
                Some(Arc::new(self.role_caller(role, session, key_id, policy)))
            }
            Principal::Anonymous => None,
        }
    }

    fn user_caller(&self, user: &User, access_key_id: Option<Arc<str>>) -> Caller {
        let groups = user.groups.iter().filter_map(|joined| self.groups.get(&joined.group));
        let of_groups = groups.flat_map(|group| &group.policies);
        Caller {
            principal: Principal::User {
                id: user.id.as_str().into(),
                name: user.name.as_str().into(),
            },
            access_key_id,
            policies: policies(&self.state, user.policies.iter().chain(of_groups)),
            session_policy: None,
        }
    }

    fn role_caller(
        &self,
        role: &Role,
        session: Arc<str>,
        access_key_id: Option<Arc<str>>,
        session_policy: Option<Arc<Document>>,
    ) -> Caller {
        Caller {
            principal: Principal::Session {
                role_id: role.id.as_str().into(),
                role: role.name.as_str().into(),
                session,
            },
            access_key_id,
            policies: policies(&self.state, role.policies.iter()),
            session_policy,
        }
    }
}

/// What is attached, each policy once.
fn policies<'s>(
    state: &State,
    attached: impl Iterator<Item = &'s Attached>,
) -> Vec<AttachedPolicy> {
    let mut policies: Vec<AttachedPolicy> = Vec::new();
    for one in attached {
        let Some(document) = state.document(one) else { continue };
        let origin = if one.system { PolicyOrigin::System } else { PolicyOrigin::Custom };
        let name = state.policy(one.system, &one.name).map_or(&*one.name, |policy| &policy.name);
        if !policies.iter().any(|known| known.origin == origin && *known.name == *name) {
            let policy = Arc::clone(document);
            policies.push(AttachedPolicy { name: name.into(), origin, policy });
        }
    }
    policies
}

/// The snapshot in force, and sessions.
#[derive(Debug)]
pub(crate) struct Live {
    master: Arc<MasterKeys>,
    snapshot: RwLock<Arc<Snapshot>>,
    sessions: Mutex<HashMap<Box<str>, Arc<Session>>>,
}

/// What is said to somebody who has assumed a role.
pub(crate) struct Issued {
    pub(crate) key_id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
}

impl Live {
    pub(crate) fn new(master: Arc<MasterKeys>, state: State) -> Live {
        let snapshot = RwLock::new(Arc::new(Snapshot::of(state)));
        Live { master, snapshot, sessions: Mutex::default() }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn install(&self, state: State) {
        let fresh = Arc::new(Snapshot::of(state));
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// What stands behind a key id and a token, at `now_s` in Unix seconds.
    pub(crate) fn find(&self, key_id: &str, token: Option<&str>, now_s: u64) -> Found {
        let snapshot = self.snapshot();
        let key = snapshot.keys.get(key_id);
        let Some(token) = token else {
            return match key {
                None => Found::Unknown,
                Some((false, _)) => Found::Disabled,
                Some((true, credential)) => Found::Credential(credential.clone()),
            };
        };
        let Some(session) = self.session(token) else {
            return Found::BadToken(match key {
                Some(_) => TokenFault::OnLongTermKey,
                None => TokenFault::Invalid,
            });
        };
        if *session.key_id != *key_id {
            return Found::BadToken(TokenFault::Mismatch);
        }
        if now_s >= session.expires_s {
            return Found::BadToken(TokenFault::Expired);
        }
        match session.caller(&snapshot) {
            Some(caller) => Found::Credential(Credential { caller, part: Part::Session(session) }),
            None => Found::BadToken(TokenFault::Invalid),
        }
    }

    /// What goes with a user or a role, by the end of its ARN.
    pub(crate) fn caller_named(&self, name: &str) -> Option<Arc<Caller>> {
        let snapshot = self.snapshot();
        if let Some(name) = name.strip_prefix("user/") {
            return Some(Arc::new(snapshot.user_caller(snapshot.state.user(name).ok()?, None)));
        }
        let role = snapshot.state.role(name.strip_prefix("role/")?).ok()?;
        Some(Arc::new(snapshot.role_caller(role, "explained".into(), None, None)))
    }

    /// A signature held at `now_ms`: notes the use of the key, or remembers the session. Only now, so that whoever cannot sign fills
    /// nothing.
    pub(crate) fn held(&self, credential: &Credential, now_ms: u64) {
        match &credential.part {
            Part::Key(key, _) => {
                key.used_ms.fetch_max(now_ms, Ordering::Relaxed);
            }
            Part::Session(session) => {
                let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
                if sessions.contains_key(&session.token) {
                    return;
                }
                if sessions.len() >= SESSIONS_MAX {
                    sessions.retain(|_, known| known.expires_s > now_ms / 1000);
                }
                if sessions.len() >= SESSIONS_MAX {
                    // Those in use are back after one request each.
                    sessions.clear();
                }
                sessions.insert(session.token.clone(), Arc::clone(session));
            }
        }
    }

    fn session(&self, token: &str) -> Option<Arc<Session>> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(token) {
            return Some(Arc::clone(session));
        }
        drop(sessions);
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let sealed = STANDARD.decode(token.strip_prefix(TOKEN_PREFIX)?).ok()?;
        let plain = self.master.open(Purpose::Token, b"", &sealed).ok()?;
        let told = Token::decode(&*plain).ok()?;
        let policy = match told.policy.as_str() {
            "" => None,
            text => Some(Arc::new(Document::parse(text, PolicyKind::Session).ok()?)),
        };
        Some(Arc::new(Session {
            token: token.into(),
            key_id: told.key_id.as_str().into(),
            secret: Secret::new(&told.secret),
            role_id: told.role_id.clone(),
            name: told.session.as_str().into(),
            expires_s: told.expires_s,
            policy,
            signing: SigningKeys::small(),
            caller: Mutex::default(),
        }))
    }

    /// Makes temporary credentials for a session of a role.
    pub(crate) fn issue(
        &self,
        role: &Role,
        session: &str,
        expires_s: u64,
        policy: &str,
    ) -> Result<Issued, crate::Fault> {
        let (key_id, secret) = crate::names::new_temporary_key()?;
        let token = Token {
            key_id: key_id.clone(),
            secret: secret.clone(),
            role_id: role.id.clone(),
            session: session.to_owned(),
            expires_s,
            policy: policy.to_owned(),
        };
        let sealed = self.master.seal(Purpose::Token, b"", &token.encode_to_vec());
        let sealed = sealed.map_err(|error| {
            tracing::error!(%error, "a token cannot be sealed");
            crate::Fault::internal()
        })?;
        Ok(Issued { key_id, secret, token: format!("{TOKEN_PREFIX}{}", STANDARD.encode(sealed)) })
    }
}

impl Session {
    /// Who it is, if its role is still there.
    fn caller(&self, snapshot: &Snapshot) -> Option<Arc<Caller>> {
        let generation = snapshot.state.generation;
        let mut kept = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, caller)) = &*kept
            && *of == generation
        {
            return Some(Arc::clone(caller));
        }
        let role = snapshot.roles.get(&self.role_id)?;
        let (name, key_id) = (Arc::clone(&self.name), Some(Arc::clone(&self.key_id)));
        let caller = Arc::new(snapshot.role_caller(role, name, key_id, self.policy.clone()));
        *kept = Some((generation, Arc::clone(&caller)));
        Some(caller)
    }
}

/// When keys were last used, where that is not stored yet: their ids and times in milliseconds.
pub(crate) fn unnoted(state: &State, max: usize) -> Vec<(String, u64, Arc<LiveKey>)> {
    let of = |value: &AtomicU64| value.load(Ordering::Relaxed);
    let unnoted = state.keys.iter().filter(|(_, key)| of(&key.used_ms) > of(&key.noted_ms));
    unnoted.take(max).map(|(id, key)| (id.clone(), of(&key.used_ms), Arc::clone(key))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER_S: u64 = 1 << 40;

    fn live() -> (Live, Role) {
        let role = Role { id: "5".to_owned(), name: "writer".to_owned(), ..Role::default() };
        let mut state = State::default();
        state.roles.insert(role.name.clone(), Arc::new(role.clone()));
        (Live::new(Arc::new(MasterKeys::ephemeral().unwrap()), state), role)
    }

    fn found(live: &Live, issued: &Issued) -> Found {
        live.find(&issued.key_id, Some(&issued.token), 0)
    }

    #[test]
    fn no_more_sessions_are_remembered_than_there_is_room_for_and_all_are_found() {
        let (live, role) = live();
        let all: Vec<Issued> =
            (0..SESSIONS_MAX + 10).map(|_| live.issue(&role, "s", NEVER_S, "").unwrap()).collect();
        for one in &all {
            let Found::Credential(credential) = found(&live, one) else { panic!("no session") };
            // Only what signed is remembered.
            let known = live.sessions.lock().unwrap().len();
            live.held(&credential, 0);
            let remembered = live.sessions.lock().unwrap().len();
            assert!(remembered <= SESSIONS_MAX && (remembered == known + 1 || remembered == 1));
        }
        assert!(all.iter().all(|one| matches!(found(&live, one), Found::Credential(_))));
    }

    #[test]
    fn a_session_policy_that_cannot_be_read_lets_nobody_in_nor_does_a_token_without_end() {
        let (live, role) = live();
        let invalid = |session: &str, policy: &str| {
            let issued = live.issue(&role, session, NEVER_S, policy).unwrap();
            matches!(found(&live, &issued), Found::BadToken(TokenFault::Invalid))
        };
        assert!(!invalid("s", ""));
        assert!(invalid("s", "{}"));
        assert!(invalid(&"s".repeat(TOKEN_CHARS_MAX), ""));
    }
}
