//! Policies, their versions, and what they are attached to.

use std::sync::Arc;

use ossia_protocol::policy::{Policy as Document, PolicyKind};

use crate::{
    answer::{Fault, Node, Object},
    api::{Asker, date, paged},
    names,
    params::Params,
    records::{self, Attached, Group, Policy, PolicyVersion, Role, User},
    state::{Change, State, lower},
};

/// The longest document, in characters.
pub(crate) const DOCUMENT_CHARS_MAX: usize = 6_144;

fn document(parameter: &'static str, text: &str) -> Result<Arc<Document>, Fault> {
    if text.chars().count() > DOCUMENT_CHARS_MAX {
        return Err(Fault::too_long(parameter));
    }
    let parsed = Document::parse(text, PolicyKind::Identity);
    parsed.map(Arc::new).map_err(|error| Fault::malformed_policy(error.to_string()))
}

fn kind(system: bool) -> &'static str {
    if system { "System" } else { "Custom" }
}

fn version_id(number: u32) -> String {
    format!("v{number}")
}

fn told(system: bool, policy: &Policy) -> Object {
    Object::new()
        .with("PolicyName", policy.name.as_str())
        .with("PolicyType", kind(system))
        .with("Description", policy.description.as_str())
        .with("DefaultVersion", version_id(policy.default_version))
}

fn told_version(policy: &Policy, version: &PolicyVersion) -> Object {
    Object::new()
        .with("VersionId", version_id(version.number))
        .with("IsDefaultVersion", version.number == policy.default_version)
        .with("PolicyDocument", version.document.as_str())
        .with("CreateDate", date(version.created_ms))
}

fn no_version() -> Fault {
    Fault::absent("Policy.Version", "The policy version does not exist.")
}

pub(crate) fn create(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let name = names::policy("PolicyName", p.need("PolicyName")?)?;
    let text = p.need("PolicyDocument")?;
    let document = document("PolicyDocument", text)?;
    let description = names::text("Description", p.sent("Description").unwrap_or_default(), 1_024)?;
    if change.state.policies.contains_key(&lower(&name)) {
        return Err(Fault::exists("Policy", "The policy does already EXIST."));
    }
    if change.state.policies.len() >= change.limits.policies {
        return Err(Fault::limit("Policy", "The count of policy beyond the current limits."));
    }
    let created_ms = change.now_ms;
    let version = PolicyVersion { number: 1, document: text.to_owned(), created_ms };
    let policy = Policy {
        name,
        description,
        created_ms,
        updated_ms: created_ms,
        versions: vec![version],
        default_version: 1,
        last_version: 1,
    };
    let told = told(false, &policy).with("CreateDate", date(created_ms));
    change.put_policy(policy, document);
    Ok(Object::new().with("Policy", told))
}

fn whole(system: bool, policy: &Policy, attached: u64) -> Object {
    told(system, policy)
        .with("CreateDate", date(policy.created_ms))
        .with("UpdateDate", date(policy.updated_ms))
        .with("AttachmentCount", attached)
}

pub(crate) fn get(state: &State, _: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let (name, system) = (p.need("PolicyName")?, p.system()?);
    let policy = state.must_policy(system, name)?;
    let attached = state.attachments().get(&(system, lower(name).as_str())).copied();
    let default = policy.version(policy.default_version).ok_or_else(no_version)?;
    let whole = whole(system, policy, attached.unwrap_or(0))
        .with("PolicyDocument", default.document.as_str());
    Ok(Object::new()
        .with("Policy", whole)
        .with("DefaultPolicyVersion", told_version(policy, default)))
}

/// The account's policy of this name. The system's are not there to be changed.
fn custom(change: &Change<'_>, p: &Params) -> Result<Policy, Fault> {
    Ok(change.state.must_policy(false, p.need("PolicyName")?)?.clone())
}

pub(crate) fn describe(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    p.need("PolicyName")?;
    let new = p.sent("NewDescription").ok_or_else(|| Fault::missing("NewDescription"))?;
    let new = names::text("NewDescription", new, 1_024)?;
    let mut policy = custom(change, p)?;
    policy.description = new;
    policy.updated_ms = change.now_ms;
    let told = told(false, &policy)
        .with("CreateDate", date(policy.created_ms))
        .with("UpdateDate", date(policy.updated_ms));
    change.put_policy_as_read(policy);
    Ok(Object::new().with("Policy", told))
}

pub(crate) fn delete(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    p.need("PolicyName")?;
    let cascading = p.flag("CascadingDelete")?;
    let policy = custom(change, p)?;
    let name = lower(&policy.name);
    let is = |attached: &&Attached| !attached.system && attached.name == name;
    let state = &change.state;
    let held = if state.users.values().any(|user| user.policies.iter().any(|a| is(&a))) {
        Some((
            "Policy.User",
            "The policy CAN NOT been attached to any user while deleting the policy.",
        ))
    } else if state.groups.values().any(|group| group.policies.iter().any(|a| is(&a))) {
        Some((
            "Policy.Group",
            "The policy CAN NOT been attached to any group while deleting the policy.",
        ))
    } else if state.roles.values().any(|role| role.policies.iter().any(|a| is(&a))) {
        Some((
            "Policy.Role",
            "The policy CAN NOT been attached to any role while deleting the policy.",
        ))
    } else if policy.versions.len() > 1 && !cascading {
        Some(("Policy.Version", "The policy CAN NOT has any version except the default version."))
    } else {
        None
    };
    if let Some((what, message)) = held {
        return Err(Fault::in_use(what, message));
    }
    change.remove(records::POLICY, &name);
    change.state.policies.remove(&name);
    change.state.documents.remove(&name);
    Ok(Object::new())
}

pub(crate) fn list(state: &State, _: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let (system, custom) = match p.get("PolicyType") {
        None => (true, true),
        Some("System") => (true, false),
        Some("Custom") => (false, true),
        Some(_) => return Err(Fault::incorrect("PolicyType")),
    };
    // Both in one order; one may be called as the other is.
    let systems = state
        .system
        .policies
        .iter()
        .filter(|_| system)
        .map(|(name, (policy, _))| (format!("{name} system"), (true, policy)));
    let customs = state
        .policies
        .iter()
        .filter(|_| custom)
        .map(|(name, policy)| (name.clone(), (false, &**policy)));
    let all = systems.chain(customs).collect();
    let attached = state.attachments();
    paged(p, 1_000, &all, "Policies", "Policy", |_, (system, policy)| {
        let count = attached.get(&(*system, lower(&policy.name).as_str())).copied();
        let whole = whole(*system, policy, count.unwrap_or(0));
        Some(whole.with("Tags", Node::List("Tag", Vec::new())).into())
    })
}

pub(crate) fn create_version(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    p.need("PolicyName")?;
    let text = p.need("PolicyDocument")?;
    let document = document("PolicyDocument", text)?;
    let as_default = p.flag("SetAsDefault")?;
    let rotate = match p.get("RotateStrategy") {
        None | Some("None") => false,
        Some("DeleteOldestNonDefaultVersionWhenLimitExceeded") => true,
        Some(_) => return Err(Fault::incorrect("RotateStrategy")),
    };
    let mut policy = custom(change, p)?;
    if policy.versions.len() >= change.limits.versions {
        let default = policy.default_version;
        let oldest = policy.versions.iter().position(|version| version.number != default);
        match oldest.filter(|_| rotate) {
            Some(oldest) => {
                policy.versions.remove(oldest);
            }
            None => {
                let message = "The version count of the policy beyond the current limits.";
                return Err(Fault::limit("Policy.Version", message));
            }
        }
    }
    policy.last_version += 1;
    let version = PolicyVersion {
        number: policy.last_version,
        document: text.to_owned(),
        created_ms: change.now_ms,
    };
    policy.versions.push(version.clone());
    policy.updated_ms = change.now_ms;
    if as_default {
        policy.default_version = version.number;
    }
    let answer = Object::new().with("PolicyVersion", told_version(&policy, &version));
    match as_default {
        true => change.put_policy(policy, document),
        false => change.put_policy_as_read(policy),
    }
    Ok(answer)
}

pub(crate) fn get_version(state: &State, _: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let (name, system) = (p.need("PolicyName")?, p.system()?);
    let number = names::version("VersionId", p.need("VersionId")?)?;
    let policy = state.must_policy(system, name)?;
    let version = policy.version(number).ok_or_else(no_version)?;
    Ok(Object::new().with("PolicyVersion", told_version(policy, version)))
}

pub(crate) fn list_versions(state: &State, _: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let (name, system) = (p.need("PolicyName")?, p.system()?);
    let policy = state.must_policy(system, name)?;
    let versions = policy.versions.iter().map(|version| told_version(policy, version).into());
    Ok(Object::new().with("PolicyVersions", Node::List("PolicyVersion", versions.collect())))
}

pub(crate) fn set_default(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    p.need("PolicyName")?;
    let number = names::version("VersionId", p.need("VersionId")?)?;
    let mut policy = custom(change, p)?;
    let version = policy.version(number).ok_or_else(no_version)?;
    let document = document("PolicyDocument", &version.document)?;
    policy.default_version = number;
    policy.updated_ms = change.now_ms;
    change.put_policy(policy, document);
    Ok(Object::new())
}

pub(crate) fn delete_version(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    p.need("PolicyName")?;
    let number = names::version("VersionId", p.need("VersionId")?)?;
    let mut policy = custom(change, p)?;
    policy.version(number).ok_or_else(no_version)?;
    if policy.default_version == number {
        let message = "The default policy version CAN NOT been deleted directly.";
        return Err(Fault::in_use("Policy.Version.Default", message));
    }
    policy.versions.retain(|version| version.number != number);
    policy.updated_ms = change.now_ms;
    change.put_policy_as_read(policy);
    Ok(Object::new())
}

/// What policies are attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entity {
    User,
    Group,
    Role,
}

impl Entity {
    fn parameter(self) -> &'static str {
        match self {
            Entity::User => "UserName",
            Entity::Group => "GroupName",
            Entity::Role => "RoleName",
        }
    }

    /// `User.Policy` and so on, and the word in messages.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Entity::User => ("User.Policy", "user"),
            Entity::Group => ("Group.Policy", "group"),
            Entity::Role => ("Role.Policy", "role"),
        }
    }

    fn attached(self, state: &State, p: &Params) -> Result<Vec<Attached>, Fault> {
        let name = p.need(self.parameter())?;
        Ok(match self {
            Entity::User => state.user(name)?.policies.clone(),
            Entity::Group => state.group(name)?.policies.clone(),
            Entity::Role => state.role(name)?.policies.clone(),
        })
    }

    fn put(
        self,
        change: &mut Change<'_>,
        p: &Params,
        policies: Vec<Attached>,
    ) -> Result<(), Fault> {
        let name = p.need(self.parameter())?;
        match self {
            Entity::User => {
                let user = User { policies, ..User::clone(change.state.user(name)?) };
                change.put_user(Some(name), user);
            }
            Entity::Group => {
                let group = Group { policies, ..Group::clone(change.state.group(name)?) };
                change.put_group(Some(name), group);
            }
            Entity::Role => {
                let role = Role { policies, ..Role::clone(change.state.role(name)?) };
                change.put_role_as_trusted(role);
            }
        }
        Ok(())
    }
}

pub(crate) fn attach(change: &mut Change<'_>, p: &Params, entity: Entity) -> Result<Object, Fault> {
    let (system, name) = (p.system()?, lower(p.need("PolicyName")?));
    let mut policies = entity.attached(&change.state, p)?;
    change.state.must_policy(system, &name)?;
    let (what, word) = entity.words();
    if policies.iter().any(|one| one.system == system && one.name == name) {
        let message = format!("The {word} has already been attached this policy.");
        return Err(Fault::new(409, format!("EntityAlreadyExists.{what}"), message));
    }
    let limits = change.limits;
    let max = match (entity, system) {
        (Entity::User, true) => limits.system_policies_per_user,
        (Entity::User, false) => limits.custom_policies_per_user,
        (Entity::Group, true) => limits.system_policies_per_group,
        (Entity::Group, false) => limits.custom_policies_per_group,
        (Entity::Role, true) => limits.system_policies_per_role,
        (Entity::Role, false) => limits.custom_policies_per_role,
    };
    if policies.iter().filter(|one| one.system == system).count() >= max {
        let message = format!("The policy count of the {word} beyond the current limits.");
        return Err(Fault::new(409, format!("LimitExceeded.{what}"), message));
    }
    policies.push(Attached { system, name, since_ms: change.now_ms });
    entity.put(change, p, policies)?;
    Ok(Object::new())
}

pub(crate) fn detach(change: &mut Change<'_>, p: &Params, entity: Entity) -> Result<Object, Fault> {
    let (system, name) = (p.system()?, lower(p.need("PolicyName")?));
    let mut policies = entity.attached(&change.state, p)?;
    change.state.must_policy(system, &name)?;
    let before = policies.len();
    policies.retain(|one| one.system != system || one.name != name);
    if policies.len() == before {
        let message = match entity {
            Entity::User => "The indicate policy of the user does not exist.",
            Entity::Group => "The indicate policy attached to the group does not exist.",
            Entity::Role => "The indicate policy attached to the role does not exist.",
        };
        return Err(Fault::absent(entity.words().0, message));
    }
    entity.put(change, p, policies)?;
    Ok(Object::new())
}

pub(crate) fn list_of(state: &State, p: &Params, entity: Entity) -> Result<Object, Fault> {
    let policies = entity.attached(state, p)?;
    let policies = policies.iter().filter_map(|attached| {
        let policy = state.policy(attached.system, &attached.name)?;
        Some(told(attached.system, policy).with("AttachDate", date(attached.since_ms)).into())
    });
    Ok(Object::new().with("Policies", Node::List("Policy", policies.collect())))
}

pub(crate) fn entities(state: &State, asker: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let (system, name) = (p.system()?, lower(p.need("PolicyName")?));
    state.must_policy(system, &name)?;
    let since = |policies: &[Attached]| {
        let attached = policies.iter().find(|one| one.system == system && one.name == name)?;
        Some(date(attached.since_ms))
    };
    let users = state.users.values().filter_map(|user| {
        let since = since(&user.policies)?;
        let user = Object::new()
            .with("UserId", user.id.as_str())
            .with("UserName", user.name.as_str())
            .with("DisplayName", user.display_name.as_str())
            .with("AttachDate", since);
        Some(user.into())
    });
    let groups = state.groups.values().filter_map(|group| {
        let since = since(&group.policies)?;
        let group = Object::new()
            .with("GroupName", group.name.as_str())
            .with("Comments", group.comments.as_str())
            .with("AttachDate", since);
        Some(group.into())
    });
    let roles = state.roles.values().filter_map(|role| {
        let since = since(&role.policies)?;
        let role = Object::new()
            .with("RoleId", role.id.as_str())
            .with("RoleName", role.name.as_str())
            .with("Arn", crate::roles::arn(asker.account, &role.name))
            .with("Description", role.description.as_str())
            .with("AttachDate", since);
        Some(role.into())
    });
    Ok(Object::new()
        .with("Users", Node::List("User", users.collect()))
        .with("Groups", Node::List("Group", groups.collect()))
        .with("Roles", Node::List("Role", roles.collect())))
}
