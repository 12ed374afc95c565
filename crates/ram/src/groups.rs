//! Groups, and who is in them.

use crate::{
    answer::{Fault, Node, Object},
    api::{Asker, date, paged},
    names,
    params::Params,
    records::{self, Group, Joined, User},
    state::{Change, State, lower},
    users::set,
};

const EXISTS: &str = "The group does already EXIST.";

fn short(name: &str, value: &str) -> Result<String, Fault> {
    names::text(name, value, 128)
}

fn told(group: &Group, updated: bool) -> Object {
    Object::new()
        .with("GroupId", group.id.as_str())
        .with("GroupName", group.name.as_str())
        .with("Comments", group.comments.as_str())
        .with("CreateDate", date(group.created_ms))
        .with_some("UpdateDate", updated.then(|| date(group.updated_ms)))
}

pub(crate) fn create(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let mut group =
        Group { name: names::group("GroupName", p.need("GroupName")?)?, ..Group::default() };
    set!(p, "Comments", group.comments, short);
    if change.state.groups.contains_key(&lower(&group.name)) {
        return Err(Fault::exists("Group", EXISTS));
    }
    if change.state.groups.len() >= change.limits.groups {
        let message = "The count of groups beyond the current limits.";
        return Err(Fault::limit("Group", message));
    }
    group.id = loop {
        let id = names::new_group_id()?;
        if !change.state.groups.values().any(|group| group.id == id) {
            break id;
        }
    };
    (group.created_ms, group.updated_ms) = (change.now_ms, change.now_ms);
    let answer = Object::new().with("Group", told(&group, false));
    change.put_group(None, group);
    Ok(answer)
}

pub(crate) fn get(state: &State, _: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    Ok(Object::new().with("Group", told(state.group(p.need("GroupName")?)?, true)))
}

pub(crate) fn update(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let name = p.need("GroupName")?;
    let fresh = p.get("NewGroupName").map(|new| names::group("NewGroupName", new)).transpose()?;
    let comments = p.sent("NewComments").map(|new| short("NewComments", new)).transpose()?;
    let mut group = Group::clone(change.state.group(name)?);
    let before = group.name.clone();
    if let Some(fresh) = fresh {
        if lower(&fresh) != lower(&before) && change.state.groups.contains_key(&lower(&fresh)) {
            return Err(Fault::exists("Group", EXISTS));
        }
        group.name = fresh;
    }
    group.comments = comments.unwrap_or(group.comments);
    group.updated_ms = change.now_ms;
    let answer = Object::new().with("Group", told(&group, true));
    change.put_group(Some(&before), group);
    Ok(answer)
}

pub(crate) fn delete(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let group = change.state.group(p.need("GroupName")?)?;
    if change.state.members(&group.id).next().is_some() {
        let message = "The group CAN NOT has any user member while deleting the group.";
        return Err(Fault::in_use("Group.User", message));
    }
    if !group.policies.is_empty() {
        let message = "The entity CAN NOT has any attached policy while deleting the group.";
        return Err(Fault::in_use("Group.Policy", message));
    }
    let (id, name) = (group.id.clone(), lower(&group.name));
    change.remove(records::GROUP, &id);
    change.state.groups.remove(&name);
    Ok(Object::new())
}

pub(crate) fn list(state: &State, _: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    paged(p, 100, &state.groups, "Groups", "Group", |_, group| Some(told(group, true).into()))
}

pub(crate) fn add_user(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let (user, group) = (p.need("UserName")?, p.need("GroupName")?);
    let mut user = User::clone(change.state.user(user)?);
    let group = change.state.group(group)?.id.clone();
    if user.groups.iter().any(|joined| joined.group == group) {
        return Err(Fault::exists("User.Group", "The user has already joined the group."));
    }
    if user.groups.len() >= change.limits.groups_per_user {
        let message = "The group count of the user beyond the current limits.";
        return Err(Fault::limit("User.Group", message));
    }
    user.groups.push(Joined { group, since_ms: change.now_ms });
    let name = user.name.clone();
    change.put_user(Some(&name), user);
    Ok(Object::new())
}

pub(crate) fn remove_user(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let (user, group) = (p.need("UserName")?, p.need("GroupName")?);
    let mut user = User::clone(change.state.user(user)?);
    let group = change.state.group(group)?.id.clone();
    let before = user.groups.len();
    user.groups.retain(|joined| joined.group != group);
    if user.groups.len() == before {
        return Err(Fault::absent("User.Group", "The user has not joined the group."));
    }
    let name = user.name.clone();
    change.put_user(Some(&name), user);
    Ok(Object::new())
}

pub(crate) fn list_users(state: &State, _: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let group = state.group(p.need("GroupName")?)?;
    paged(p, 1_000, &state.users, "Users", "User", |_, user| {
        let joined = user.groups.iter().find(|joined| joined.group == group.id)?;
        let user = Object::new()
            .with("UserName", user.name.as_str())
            .with("DisplayName", user.display_name.as_str())
            .with("JoinDate", date(joined.since_ms));
        Some(user.into())
    })
}

pub(crate) fn list_of_user(state: &State, _: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let user = state.user(p.need("UserName")?)?;
    let groups = state.groups.values().filter_map(|group| {
        let joined = user.groups.iter().find(|joined| joined.group == group.id)?;
        let group = Object::new()
            .with("GroupId", group.id.as_str())
            .with("GroupName", group.name.as_str())
            .with("Comments", group.comments.as_str())
            .with("JoinDate", date(joined.since_ms));
        Some(Node::from(group))
    });
    Ok(Object::new().with("Groups", Node::List("Group", groups.collect())))
}
