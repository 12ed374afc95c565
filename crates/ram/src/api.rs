//! The actions of RAM: their names, what right on what each needs, and what does them.

use std::{collections::BTreeMap, sync::Arc};

use ossia_access::{Caller, Principal};
use ossia_protocol::{policy::Policy as Document, time};

use crate::{
    answer::{Fault, Node, Object},
    groups, names,
    params::Params,
    policies::{self, Entity},
    records::User,
    roles,
    state::{Change, State, lower},
    users,
};

/// The version of RAM's API.
pub const RAM_VERSION: &str = "2015-05-01";
/// The version of STS's API.
pub const STS_VERSION: &str = "2015-04-01";

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) account: &'a str,
    pub(crate) caller: &'a Caller,
}

impl Asker<'_> {
    /// The user that asks, if it is one.
    pub(crate) fn user<'s>(&self, state: &'s State) -> Option<&'s Arc<User>> {
        let Principal::User { id, .. } = &self.caller.principal else { return None };
        state.users.values().find(|user| *user.id == **id)
    }
}

/// What the caller of this crate decides by everything that it knows of a request.
pub trait Judge: Send + Sync {
    /// Whether the caller, as it is in force now, may do `action` (`ram:CreateUser`) on `resource`
    /// (`acs:ram::<account>:user/<name>`).
    fn allows(&self, caller: &Caller, action: &str, resource: &str) -> bool;

    /// Whether a role's trust policy names the caller.
    fn trusts(&self, caller: &Caller, trust: &Document) -> bool;
}

/// A parameter that names something, and the word for it in a resource.
#[derive(Debug, Clone, Copy)]
enum On {
    /// The user named.
    User,
    /// The user named, or the one that asks.
    UserOrSelf,
    /// What a user will be called, if that is to change: trust and permissions go by names.
    NewUser,
    Group,
    /// What a group will be called, if that is to change.
    NewGroup,
    Role,
    /// The policy named, of the type named.
    Policy,
    /// The policy named, which is the account's.
    Custom,
    Users,
    Groups,
    Roles,
    Policies,
}

type Read = fn(&State, &Asker<'_>, &Params) -> Result<Object, Fault>;
type Write = fn(&mut Change<'_>, &Asker<'_>, &Params) -> Result<Object, Fault>;

#[derive(Clone, Copy)]
pub(crate) enum Run {
    Read(Read),
    Write(Write),
}

/// An action.
#[derive(Clone, Copy)]
pub(crate) struct Action {
    pub(crate) name: &'static str,
    on: &'static [On],
    pub(crate) run: Run,
}

macro_rules! actions {
    ($($name:ident [$($on:ident),+] $kind:ident $run:expr;)*) => {
        const ACTIONS: &[Action] = &[$(Action {
            name: stringify!($name),
            on: &[$(On::$on),+],
            run: Run::$kind($run),
        }),*];
    };
}

actions! {
    CreateUser [Users] Write |c, _, p| users::create(c, p);
    GetUser [User] Read users::get;
    UpdateUser [User, NewUser] Write |c, _, p| users::update(c, p);
    DeleteUser [User] Write |c, _, p| users::delete(c, p);
    ListUsers [Users] Read users::list;
    CreateAccessKey [UserOrSelf] Write users::create_key;
    ListAccessKeys [UserOrSelf] Read users::list_keys;
    UpdateAccessKey [UserOrSelf] Write users::update_key;
    DeleteAccessKey [UserOrSelf] Write users::delete_key;
    GetAccessKeyLastUsed [UserOrSelf] Read users::last_used;
    CreatePolicy [Policies] Write |c, _, p| policies::create(c, p);
    GetPolicy [Policy] Read policies::get;
    UpdatePolicyDescription [Custom] Write |c, _, p| policies::describe(c, p);
    DeletePolicy [Custom] Write |c, _, p| policies::delete(c, p);
    ListPolicies [Policies] Read policies::list;
    CreatePolicyVersion [Custom] Write |c, _, p| policies::create_version(c, p);
    GetPolicyVersion [Policy] Read policies::get_version;
    ListPolicyVersions [Policy] Read policies::list_versions;
    SetDefaultPolicyVersion [Custom] Write |c, _, p| policies::set_default(c, p);
    DeletePolicyVersion [Custom] Write |c, _, p| policies::delete_version(c, p);
    AttachPolicyToUser [Policy, User] Write |c, _, p| policies::attach(c, p, Entity::User);
    DetachPolicyFromUser [Policy, User] Write |c, _, p| policies::detach(c, p, Entity::User);
    AttachPolicyToGroup [Policy, Group] Write |c, _, p| policies::attach(c, p, Entity::Group);
    DetachPolicyFromGroup [Policy, Group] Write |c, _, p| policies::detach(c, p, Entity::Group);
    AttachPolicyToRole [Policy, Role] Write |c, _, p| policies::attach(c, p, Entity::Role);
    DetachPolicyFromRole [Policy, Role] Write |c, _, p| policies::detach(c, p, Entity::Role);
    ListPoliciesForUser [User] Read |s, _, p| policies::list_of(s, p, Entity::User);
    ListPoliciesForGroup [Group] Read |s, _, p| policies::list_of(s, p, Entity::Group);
    ListPoliciesForRole [Role] Read |s, _, p| policies::list_of(s, p, Entity::Role);
    ListEntitiesForPolicy [Policy] Read policies::entities;
    CreateGroup [Groups] Write |c, _, p| groups::create(c, p);
    GetGroup [Group] Read groups::get;
    UpdateGroup [Group, NewGroup] Write |c, _, p| groups::update(c, p);
    DeleteGroup [Group] Write |c, _, p| groups::delete(c, p);
    ListGroups [Groups] Read groups::list;
    AddUserToGroup [User, Group] Write |c, _, p| groups::add_user(c, p);
    RemoveUserFromGroup [User, Group] Write |c, _, p| groups::remove_user(c, p);
    ListUsersForGroup [Group] Read groups::list_users;
    ListGroupsForUser [User] Read groups::list_of_user;
    CreateRole [Roles] Write |c, _, p| roles::create(c, p);
    GetRole [Role] Read roles::get;
    UpdateRole [Role] Write |c, _, p| roles::update(c, p);
    DeleteRole [Role] Write |c, _, p| roles::delete(c, p);
    ListRoles [Roles] Read roles::list;
}

impl Action {
    /// The action of this name.
    pub(crate) fn of(name: &str) -> Option<Action> {
        ACTIONS.iter().find(|action| action.name == name).copied()
    }

    /// Every name, for documents and tests.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        ACTIONS.iter().map(|action| action.name)
    }

    /// Whether the caller may.
    pub(crate) fn permit(
        &self,
        state: &State,
        asker: &Asker<'_>,
        params: &Params,
        judge: &dyn Judge,
    ) -> Result<(), Fault> {
        if asker.caller.is_account() {
            return Ok(());
        }
        let action = format!("ram:{}", self.name);
        let own = asker.account;
        for on in self.on {
            let named = |word: &str, parameter: &str| {
                format!("acs:ram::{own}:{word}/{}", params.get(parameter).unwrap_or("*"))
            };
            let resource = match on {
                On::User => named("user", "UserName"),
                On::UserOrSelf => match (params.get("UserName"), asker.user(state)) {
                    (None, Some(user)) => format!("acs:ram::{own}:user/{}", user.name),
                    _ => named("user", "UserName"),
                },
                On::NewUser | On::NewGroup => {
                    let (word, parameter) = match on {
                        On::NewUser => ("user", "NewUserName"),
                        _ => ("group", "NewGroupName"),
                    };
                    if params.get(parameter).is_none() {
                        continue;
                    }
                    named(word, parameter)
                }
                On::Group => named("group", "GroupName"),
                On::Role => named("role", "RoleName"),
                On::Custom => named("policy", "PolicyName"),
                On::Policy => match params.get("PolicyType") {
                    Some("System") => {
                        let name = params.get("PolicyName").unwrap_or("*");
                        format!("acs:ram::system:policy/{name}")
                    }
                    _ => named("policy", "PolicyName"),
                },
                On::Users => format!("acs:ram::{own}:user/*"),
                On::Groups => format!("acs:ram::{own}:group/*"),
                On::Roles => format!("acs:ram::{own}:role/*"),
                On::Policies => format!("acs:ram::{own}:policy/*"),
            };
            if !judge.allows(asker.caller, &action, &resource) {
                return Err(Fault::no_permission());
            }
        }
        Ok(())
    }
}

impl Change<'_> {
    /// An id that no user and no role has.
    pub(crate) fn unused_id(&self) -> Result<String, Fault> {
        loop {
            let id = names::new_id()?;
            let users = self.state.users.values().any(|user| user.id == id);
            if !users && !self.state.roles.values().any(|role| role.id == id) {
                return Ok(id);
            }
        }
    }
}

/// `2015-01-23T12:33:18Z`.
pub(crate) fn date(ms: u64) -> String {
    time::iso_seconds(i64::try_from(ms / 1000).unwrap_or(i64::MAX))
}

/// One page of `all`, in the order of the names. `tell` leaves out what is not meant.
pub(crate) fn paged<T>(
    params: &Params,
    max: usize,
    all: &BTreeMap<String, T>,
    list: &'static str,
    item: &'static str,
    tell: impl Fn(&str, &T) -> Option<Node>,
) -> Result<Object, Fault> {
    let (marker, count) = params.page(max)?;
    let marker = marker.map(lower).unwrap_or_default();
    let mut items = Vec::new();
    let mut last = None;
    let mut more = false;
    for (name, value) in all.range(marker.clone()..).filter(|(name, _)| **name > marker) {
        let Some(node) = tell(name, value) else { continue };
        if items.len() == count {
            more = true;
            break;
        }
        items.push(node);
        last = Some(name);
    }
    Ok(Object::new()
        .with(list, Node::List(item, items))
        .with("IsTruncated", more)
        .with_some("Marker", last.filter(|_| more).map(String::as_str)))
}
