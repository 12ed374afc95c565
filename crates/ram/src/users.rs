//! Users and their keys.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use ossia_keys::Purpose;
use ossia_protocol::auth::Secret;
use std::sync::Arc;

use crate::{
    answer::{Fault, Node, Object},
    api::{Asker, date, paged},
    names,
    params::Params,
    records::{self, AccessKey, User},
    state::{Change, LiveKey, State, lower},
};

const EXISTS: &str = "The user does already EXIST.";

/// Sets a field if its parameter is there.
macro_rules! set {
    ($params:expr, $name:literal, $field:expr, $check:expr) => {
        if let Some(value) = $params.sent($name) {
            $field = $check($name, value)?;
        }
    };
}
pub(crate) use set;

fn short(name: &str, value: &str) -> Result<String, Fault> {
    names::text(name, value, 128)
}

fn told(user: &User, updated: bool) -> Object {
    Object::new()
        .with("UserId", user.id.as_str())
        .with("UserName", user.name.as_str())
        .with("DisplayName", user.display_name.as_str())
        .with("MobilePhone", user.mobile.as_str())
        .with("Email", user.email.as_str())
        .with("Comments", user.comments.as_str())
        .with("CreateDate", date(user.created_ms))
        .with_some("UpdateDate", updated.then(|| date(user.updated_ms)))
}

pub(crate) fn create(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let mut user = User { name: names::user("UserName", p.need("UserName")?)?, ..User::default() };
    set!(p, "DisplayName", user.display_name, short);
    set!(p, "MobilePhone", user.mobile, names::mobile);
    set!(p, "Email", user.email, names::email);
    set!(p, "Comments", user.comments, short);
    if change.state.users.contains_key(&lower(&user.name)) {
        return Err(Fault::exists("User", EXISTS));
    }
    if change.state.users.len() >= change.limits.users {
        let message = "The count of users beyond the current limits.";
        return Err(Fault::limit("User", message));
    }
    user.id = change.unused_id()?;
    (user.created_ms, user.updated_ms) = (change.now_ms, change.now_ms);
    let answer = Object::new().with("User", told(&user, false));
    change.put_user(None, user);
    Ok(answer)
}

pub(crate) fn get(state: &State, _: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let user = state.user(p.need("UserName")?)?;
    // There are no passwords, so nobody has ever logged in.
    Ok(Object::new().with("User", told(user, true).with("LastLoginDate", "")))
}

pub(crate) fn update(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let name = p.need("UserName")?;
    let fresh = p.get("NewUserName").map(|new| names::user("NewUserName", new)).transpose()?;
    let mut sent = User::default();
    set!(p, "NewDisplayName", sent.display_name, short);
    set!(p, "NewMobilePhone", sent.mobile, names::mobile);
    set!(p, "NewEmail", sent.email, names::email);
    set!(p, "NewComments", sent.comments, short);
    let mut user = User::clone(change.state.user(name)?);
    let before = user.name.clone();
    if let Some(fresh) = fresh {
        if lower(&fresh) != lower(&before) && change.state.users.contains_key(&lower(&fresh)) {
            return Err(Fault::exists("User", EXISTS));
        }
        user.name = fresh;
    }
    let keep = |name: &str, new: String, field: &mut String| {
        if p.sent(name).is_some() {
            *field = new;
        }
    };
    keep("NewDisplayName", sent.display_name, &mut user.display_name);
    keep("NewMobilePhone", sent.mobile, &mut user.mobile);
    keep("NewEmail", sent.email, &mut user.email);
    keep("NewComments", sent.comments, &mut user.comments);
    user.updated_ms = change.now_ms;
    if user.name != before {
        let ids: Vec<String> = user.keys.iter().map(|key| key.id.clone()).collect();
        ids.iter().for_each(|id| change.renew_key(id));
    }
    let answer = Object::new().with("User", told(&user, true));
    change.put_user(Some(&before), user);
    Ok(answer)
}

pub(crate) fn delete(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let user = change.state.user(p.need("UserName")?)?;
    let held = if !user.groups.is_empty() {
        Some(("User.Group", "The user CAN NOT be in any group while deleting the user."))
    } else if !user.keys.is_empty() {
        Some(("User.AccessKey", "The user CAN NOT has any access key while deleting the user."))
    } else if !user.policies.is_empty() {
        Some(("User.Policy", "The user CAN NOT has any attached policy while deleting the user."))
    } else {
        None
    };
    if let Some((what, message)) = held {
        return Err(Fault::in_use(what, message));
    }
    let (id, name) = (user.id.clone(), lower(&user.name));
    change.remove(records::USER, &id);
    change.state.users.remove(&name);
    Ok(Object::new())
}

pub(crate) fn list(state: &State, _: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    paged(p, 1_000, &state.users, "Users", "User", |_, user| Some(told(user, true).into()))
}

/// The user whose keys are meant: the one named, or the one that asks.
fn owner<'s>(state: &'s State, asker: &Asker<'_>, p: &Params) -> Result<&'s Arc<User>, Fault> {
    match p.get("UserName") {
        Some(name) => state.user(name),
        None => asker.user(state).ok_or_else(|| Fault::absent("User", "The user does not exist.")),
    }
}

fn no_key() -> Fault {
    Fault::absent("User.AccessKey", "The user access key does not exist.")
}

pub(crate) fn create_key(
    change: &mut Change<'_>,
    asker: &Asker<'_>,
    p: &Params,
) -> Result<Object, Fault> {
    let mut user = User::clone(owner(&change.state, asker, p)?);
    if user.keys.len() >= change.limits.keys_per_user {
        let message = "The access key count of the user access keys beyond the current limits.";
        return Err(Fault::limit("User.AccessKey", message));
    }
    let (id, secret) = loop {
        let (id, secret) = names::new_key()?;
        if !change.state.keys.contains_key(&id) {
            break (id, secret);
        }
    };
    let sealed = change.master.seal(Purpose::Secret, id.as_bytes(), secret.as_bytes());
    let sealed = sealed.map_err(|error| {
        tracing::error!(%error, "the secret of a new key cannot be sealed");
        Fault::internal()
    })?;
    let created_ms = change.now_ms;
    let answer = Object::new()
        .with("AccessKeyId", id.as_str())
        .with("AccessKeySecret", secret.as_str())
        .with("Status", "Active")
        .with("CreateDate", date(created_ms));
    let live = LiveKey::new(Some(Secret::new(&secret)), 0);
    change.state.keys.insert(id.clone(), Arc::new(live));
    user.keys.push(AccessKey { id, sealed: Bytes::from(sealed), active: true, created_ms });
    let name = user.name.clone();
    change.put_user(Some(&name), user);
    Ok(Object::new().with("AccessKey", answer))
}

fn status(active: bool) -> &'static str {
    if active { "Active" } else { "Inactive" }
}

pub(crate) fn list_keys(state: &State, asker: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let user = owner(state, asker, p)?;
    let keys = user.keys.iter().map(|key| {
        let key = Object::new()
            .with("AccessKeyId", key.id.as_str())
            .with("Status", status(key.active))
            .with("CreateDate", date(key.created_ms));
        Node::from(key)
    });
    Ok(Object::new().with("AccessKeys", Node::List("AccessKey", keys.collect())))
}

pub(crate) fn update_key(
    change: &mut Change<'_>,
    asker: &Asker<'_>,
    p: &Params,
) -> Result<Object, Fault> {
    let id = p.need("UserAccessKeyId")?;
    let active = match p.need("Status")? {
        "Active" => true,
        "Inactive" => false,
        _ => return Err(Fault::incorrect("Status")),
    };
    let mut user = User::clone(owner(&change.state, asker, p)?);
    let key = user.keys.iter_mut().find(|key| key.id == id).ok_or_else(no_key)?;
    key.active = active;
    change.renew_key(id);
    let name = user.name.clone();
    change.put_user(Some(&name), user);
    Ok(Object::new())
}

pub(crate) fn delete_key(
    change: &mut Change<'_>,
    asker: &Asker<'_>,
    p: &Params,
) -> Result<Object, Fault> {
    let id = p.need("UserAccessKeyId")?;
    let mut user = User::clone(owner(&change.state, asker, p)?);
    let before = user.keys.len();
    user.keys.retain(|key| key.id != id);
    if user.keys.len() == before {
        return Err(no_key());
    }
    change.forget_key(id);
    let name = user.name.clone();
    change.put_user(Some(&name), user);
    Ok(Object::new())
}

pub(crate) fn last_used(state: &State, asker: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let id = p.need("UserAccessKeyId")?;
    let user = owner(state, asker, p)?;
    if !user.keys.iter().any(|key| key.id == id) {
        return Err(no_key());
    }
    let used_ms = state.keys.get(id).map_or(0, |live| live.used_ms.load(Ordering::Relaxed));
    let used = if used_ms == 0 { String::new() } else { date(used_ms) };
    Ok(Object::new().with("AccessKeyLastUsed", Object::new().with("LastUsedDate", used)))
}
