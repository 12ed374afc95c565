//! `user`, `key`, `group`, `role`, `policy`: identities, by RAM's and STS's actions.

use std::fs;
use std::path::Path;

use clap::{Args, Subcommand};
use ossia_client::{AssumeRoleRequest, RpcService};
use serde_json::{Value, json};

use crate::Session;
use crate::failure::Failure;
use crate::output::{date, shown};

/// Items asked for at once: the most that every list allows.
const PAGE: &str = "100";

/// `ossia user`.
#[derive(Debug, Clone, Subcommand)]
pub enum UserCommand {
    /// Make a user; it has no key and no right
    Add(AddUserArgs),
    /// List users
    Ls(NoArgs),
    /// Show a user with its keys, groups and policies
    Show(UserName),
    /// Remove a user that has neither keys nor groups nor policies
    Rm(UserName),
}

/// `ossia key`.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Make an AccessKey; its secret is shown now and never again
    Add(UserName),
    /// List a user's AccessKeys and when they were last used
    Ls(UserName),
    /// Let an AccessKey sign again
    Enable(KeyName),
    /// Keep an AccessKey from signing
    Disable(KeyName),
    /// Remove an AccessKey
    Rm(KeyName),
}

/// `ossia group`.
#[derive(Debug, Clone, Subcommand)]
pub enum GroupCommand {
    /// Make a group
    Add(GroupName),
    /// List groups
    Ls(NoArgs),
    /// Show a group with its members and policies
    Show(GroupName),
    /// Remove a group that has neither members nor policies
    Rm(GroupName),
    /// Put a user into a group
    Join(Membership),
    /// Take a user out of a group
    Leave(Membership),
}

/// `ossia role`.
#[derive(Debug, Clone, Subcommand)]
pub enum RoleCommand {
    /// Make a role
    Add(AddRoleArgs),
    /// List roles
    Ls(NoArgs),
    /// Show a role with its policies
    Show(RoleName),
    /// Remove a role that has no policies; its sessions end
    Rm(RoleName),
    /// Assume a role and print temporary credentials
    Assume(AssumeArgs),
}

/// `ossia policy`.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Make a policy, or with --replace a new version of one
    Add(AddPolicyArgs),
    /// List policies
    Ls(NoArgs),
    /// Show a policy's document in force
    Show(PolicyName),
    /// Remove a policy that is attached to nothing, with all its versions
    Rm(PolicyName),
    /// Attach a policy
    Attach(AttachArgs),
    /// Detach a policy
    Detach(AttachArgs),
    /// Say whether somebody may do something, and by which statement; for the account's own key alone. Ends with 1 for denied
    Explain(ExplainArgs),
}

/// No arguments.
#[derive(Debug, Clone, Args)]
pub struct NoArgs {}

/// Names a user.
#[derive(Debug, Clone, Args)]
pub struct UserName {
    /// The user's name
    #[arg(value_name = "USER")]
    pub name: String,
}

/// Names a group.
#[derive(Debug, Clone, Args)]
pub struct GroupName {
    /// The group's name
    #[arg(value_name = "GROUP")]
    pub name: String,
}

/// Names a role.
#[derive(Debug, Clone, Args)]
pub struct RoleName {
    /// The role's name
    #[arg(value_name = "ROLE")]
    pub name: String,
}

/// Names a policy.
#[derive(Debug, Clone, Args)]
pub struct PolicyName {
    /// The policy's name; those that begin with Aliyun are the system's, unless --custom is given
    #[arg(value_name = "POLICY")]
    pub name: String,
    /// The account's own policy, whatever its name
    #[arg(long)]
    pub custom: bool,
}

impl PolicyName {
    fn kind(&self) -> &'static str {
        match !self.custom && self.name.starts_with("Aliyun") {
            true => "System",
            false => "Custom",
        }
    }
}

/// Names a key.
#[derive(Debug, Clone, Args)]
pub struct KeyName {
    /// The user's name
    #[arg(value_name = "USER")]
    pub user: String,
    /// The AccessKey's id
    #[arg(value_name = "KEY_ID")]
    pub id: String,
}

/// `ossia user add`.
#[derive(Debug, Clone, Args)]
pub struct AddUserArgs {
    /// The user's name: letters, digits and .@_-
    #[arg(value_name = "USER")]
    pub name: String,
    /// A name for people
    #[arg(long)]
    pub display_name: Option<String>,
    /// A remark
    #[arg(long)]
    pub comments: Option<String>,
}

/// A user and a group.
#[derive(Debug, Clone, Args)]
pub struct Membership {
    /// The group's name
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// The user's name
    #[arg(value_name = "USER")]
    pub user: String,
}

/// `ossia role add`.
#[derive(Debug, Clone, Args)]
pub struct AddRoleArgs {
    /// The role's name: letters, digits and .-_
    #[arg(value_name = "ROLE")]
    pub name: String,
    /// A file with the policy that says who may assume it, - for standard input; by default everybody of the account who has the
    /// right to sts:AssumeRole
    #[arg(long, value_name = "FILE")]
    pub trust: Option<String>,
    /// A remark
    #[arg(long)]
    pub description: Option<String>,
    /// The longest session, in seconds, 3600 to 43200
    #[arg(long, value_name = "SECONDS")]
    pub max_session: Option<u64>,
}

/// `ossia role assume`.
#[derive(Debug, Clone, Args)]
pub struct AssumeArgs {
    /// The role's name, or its ARN
    #[arg(value_name = "ROLE")]
    pub name: String,
    /// What the session is called
    #[arg(long, default_value = "ossia-cli")]
    pub session: String,
    /// How long it lasts, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// A file with a policy that the session is narrowed to, - for standard input
    #[arg(long, value_name = "FILE")]
    pub policy: Option<String>,
}

/// `ossia policy add`.
#[derive(Debug, Clone, Args)]
pub struct AddPolicyArgs {
    /// The policy's name: letters, digits and -
    #[arg(value_name = "POLICY")]
    pub name: String,
    /// A file with the document, - for standard input
    #[arg(value_name = "FILE")]
    pub document: String,
    /// A remark
    #[arg(long)]
    pub description: Option<String>,
    /// Give the policy that exists a new version, which is in force at once; the oldest one goes where there are too many
    #[arg(long)]
    pub replace: bool,
}

/// `ossia policy attach` and `detach`.
#[derive(Debug, Clone, Args)]
pub struct AttachArgs {
    /// Which policy.
    #[command(flatten)]
    pub policy: PolicyName,
    /// To what.
    #[command(flatten)]
    pub to: Entity,
}

/// What a policy is attached to.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Entity {
    /// A user
    #[arg(long)]
    pub user: Option<String>,
    /// A group
    #[arg(long)]
    pub group: Option<String>,
    /// A role
    #[arg(long)]
    pub role: Option<String>,
}

impl Entity {
    /// The word in actions, the parameter, and its value.
    fn words(&self) -> Result<(&'static str, &'static str, &str), Failure> {
        match (&self.user, &self.group, &self.role) {
            (Some(name), _, _) => Ok(("User", "UserName", name)),
            (_, Some(name), _) => Ok(("Group", "GroupName", name)),
            (_, _, Some(name)) => Ok(("Role", "RoleName", name)),
            _ => Err(Failure::usage("one of --user, --group and --role is needed")),
        }
    }
}

/// `ossia policy explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// Who: user/NAME, role/NAME, anonymous or root
    #[arg(long, value_name = "PRINCIPAL")]
    pub who: String,
    /// What: an action as oss:PutObject
    #[arg(long, value_name = "ACTION")]
    pub action: String,
    /// To what: acs:oss:*:*:BUCKET/KEY, or BUCKET/KEY, or BUCKET
    #[arg(long, value_name = "RESOURCE")]
    pub resource: String,
    /// From which address
    #[arg(long, value_name = "IP")]
    pub source_ip: Option<String>,
    /// Over TLS
    #[arg(long)]
    pub secure: bool,
    /// The prefix of a list
    #[arg(long)]
    pub prefix: Option<String>,
    /// The delimiter of a list
    #[arg(long)]
    pub delimiter: Option<String>,
}

/// A document from a file.
fn document(file: &str) -> Result<String, Failure> {
    let told = |error| Failure::file(Path::new(file), &error);
    match file {
        "-" => std::io::read_to_string(std::io::stdin()).map_err(told),
        file => fs::read_to_string(file).map_err(told),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Session {
    async fn ram(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Value, Failure> {
        Ok(self.client.rpc(RpcService::Ram, action, parameters).await?)
    }

    /// Does something that has no answer, and says so.
    async fn done(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
        told: &str,
    ) -> Result<(), Failure> {
        self.ram(action, parameters).await?;
        let named = parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
        let named: serde_json::Map<_, _> = named.collect();
        self.output.result(told, &json!({ "done": action, "of": named }))
    }

    /// All pages of a list, one line an item.
    async fn all(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
        (list, item): (&str, &str),
        line: impl Fn(&Value) -> String,
    ) -> Result<(), Failure> {
        let mut marker = String::new();
        loop {
            let mut asked = parameters.to_vec();
            asked.push(("MaxItems", PAGE));
            if !marker.is_empty() {
                asked.push(("Marker", &marker));
            }
            let page = self.ram(action, &asked).await?;
            for value in page[list][item].as_array().into_iter().flatten() {
                self.output.result(&shown(&line(value)), value)?;
            }
            let next = text(&page["Marker"]).to_owned();
            // A marker that does not move on would be asked for again for ever.
            if page["IsTruncated"] != true || next <= marker {
                return Ok(());
            }
            marker = next;
        }
    }

    /// The items of a list without pages.
    async fn items(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
        (list, item): (&str, &str),
    ) -> Result<Vec<Value>, Failure> {
        let mut told = self.ram(action, parameters).await?;
        Ok(match told[list][item].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    }

    /// Shows one thing: a line a member, or everything as JSON.
    fn show(&self, value: &Value) -> Result<(), Failure> {
        let mut lines = String::new();
        for (name, value) in value.as_object().into_iter().flatten() {
            let told = match value {
                Value::String(text) => shown(text),
                Value::Array(values) => {
                    values.iter().map(|one| shown(text(one))).collect::<Vec<_>>().join(", ")
                }
                other => other.to_string(),
            };
            lines.push_str(&format!("{name:<14}  {told}\n"));
        }
        self.output.result(lines.trim_end(), value)
    }
}

fn names(items: &[Value], name: &str) -> Vec<Value> {
    items.iter().map(|item| item[name].clone()).collect()
}

pub(crate) async fn user(session: Session, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(AddUserArgs { name, display_name, comments }) => {
            let mut asked = vec![("UserName", name.as_str())];
            asked.extend(display_name.as_deref().map(|value| ("DisplayName", value)));
            asked.extend(comments.as_deref().map(|value| ("Comments", value)));
            let told = session.ram("CreateUser", &asked).await?;
            session.output.result(&format!("made user {name}"), &told["User"])
        }
        UserCommand::Ls(_) => {
            let line = |user: &Value| {
                let (made, id) = (text(&user["CreateDate"]), text(&user["UserId"]));
                format!("{made}  {id}  {}", text(&user["UserName"]))
            };
            session.all("ListUsers", &[], ("Users", "User"), line).await
        }
        UserCommand::Show(UserName { name }) => {
            let of = [("UserName", name.as_str())];
            let mut user = session.ram("GetUser", &of).await?["User"].take();
            let keys = session.items("ListAccessKeys", &of, ("AccessKeys", "AccessKey")).await?;
            let groups = session.items("ListGroupsForUser", &of, ("Groups", "Group")).await?;
            let policies =
                session.items("ListPoliciesForUser", &of, ("Policies", "Policy")).await?;
            user["AccessKeys"] = names(&keys, "AccessKeyId").into();
            user["Groups"] = names(&groups, "GroupName").into();
            user["Policies"] = names(&policies, "PolicyName").into();
            session.show(&user)
        }
        UserCommand::Rm(UserName { name }) => {
            let told = format!("removed user {name}");
            session.done("DeleteUser", &[("UserName", &name)], &told).await
        }
    }
}

pub(crate) async fn key(session: Session, command: KeyCommand) -> Result<(), Failure> {
    let change = async |key: KeyName, status: &str, told: &str| {
        let named =
            [("UserName", key.user.as_str()), ("UserAccessKeyId", &key.id), ("Status", status)];
        session.done("UpdateAccessKey", &named, &format!("{told} {}", key.id)).await
    };
    match command {
        KeyCommand::Add(UserName { name }) => {
            let told = session.ram("CreateAccessKey", &[("UserName", &name)]).await?;
            let key = &told["AccessKey"];
            let (id, secret) = (text(&key["AccessKeyId"]), text(&key["AccessKeySecret"]));
            let lines = format!(
                "access key id      {id}\naccess key secret  {secret}\n                   (shown this once; keep it)"
            );
            session.output.result(&lines, key)
        }
        KeyCommand::Ls(UserName { name }) => {
            let of = [("UserName", name.as_str())];
            let keys = session.items("ListAccessKeys", &of, ("AccessKeys", "AccessKey")).await?;
            for mut key in keys {
                let id = text(&key["AccessKeyId"]).to_owned();
                let used = [of[0], ("UserAccessKeyId", id.as_str())];
                let mut used = session.ram("GetAccessKeyLastUsed", &used).await?;
                key["LastUsedDate"] = used["AccessKeyLastUsed"]["LastUsedDate"].take();
                let last = match text(&key["LastUsedDate"]) {
                    "" => "never used".to_owned(),
                    date => format!("last used {date}"),
                };
                let line = format!(
                    "{}  {:8}  {}  {last}",
                    text(&key["CreateDate"]),
                    text(&key["Status"]),
                    shown(&id)
                );
                session.output.result(&line, &key)?;
            }
            Ok(())
        }
        KeyCommand::Enable(key) => change(key, "Active", "enabled").await,
        KeyCommand::Disable(key) => change(key, "Inactive", "disabled").await,
        KeyCommand::Rm(KeyName { user, id }) => {
            let named = [("UserName", user.as_str()), ("UserAccessKeyId", id.as_str())];
            session.done("DeleteAccessKey", &named, &format!("removed {id}")).await
        }
    }
}

pub(crate) async fn group(session: Session, command: GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::Add(GroupName { name }) => {
            let told = session.ram("CreateGroup", &[("GroupName", &name)]).await?;
            session.output.result(&format!("made group {name}"), &told["Group"])
        }
        GroupCommand::Ls(_) => {
            let line = |group: &Value| {
                let (made, id) = (text(&group["CreateDate"]), text(&group["GroupId"]));
                format!("{made}  {id}  {}", text(&group["GroupName"]))
            };
            session.all("ListGroups", &[], ("Groups", "Group"), line).await
        }
        GroupCommand::Show(GroupName { name }) => {
            let of = [("GroupName", name.as_str())];
            let mut group = session.ram("GetGroup", &of).await?["Group"].take();
            let policies =
                session.items("ListPoliciesForGroup", &of, ("Policies", "Policy")).await?;
            let members = [of[0], ("MaxItems", "1000")];
            let members = session.items("ListUsersForGroup", &members, ("Users", "User")).await?;
            group["Users"] = names(&members, "UserName").into();
            group["Policies"] = names(&policies, "PolicyName").into();
            session.show(&group)
        }
        GroupCommand::Rm(GroupName { name }) => {
            let told = format!("removed group {name}");
            session.done("DeleteGroup", &[("GroupName", &name)], &told).await
        }
        GroupCommand::Join(Membership { group, user }) => {
            let named = [("UserName", user.as_str()), ("GroupName", group.as_str())];
            session.done("AddUserToGroup", &named, &format!("{user} is in {group}")).await
        }
        GroupCommand::Leave(Membership { group, user }) => {
            let named = [("UserName", user.as_str()), ("GroupName", group.as_str())];
            let told = format!("{user} is no longer in {group}");
            session.done("RemoveUserFromGroup", &named, &told).await
        }
    }
}

/// Everybody of the account who has the right to.
fn trust_of_account(account: &str) -> String {
    json!({ "Version": "1", "Statement": [{
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": { "RAM": [format!("acs:ram::{account}:root")] },
    }]})
    .to_string()
}

async fn account(session: &Session) -> Result<String, Failure> {
    let who = session.client.rpc(RpcService::Sts, "GetCallerIdentity", &[]).await?;
    Ok(text(&who["AccountId"]).to_owned())
}

pub(crate) async fn role(session: Session, command: RoleCommand) -> Result<(), Failure> {
    match command {
        RoleCommand::Add(AddRoleArgs { name, trust, description, max_session }) => {
            let trust = match trust {
                Some(file) => document(&file)?,
                None => trust_of_account(&account(&session).await?),
            };
            let longest = max_session.map(|seconds| seconds.to_string());
            let mut asked = vec![("RoleName", name.as_str()), ("AssumeRolePolicyDocument", &trust)];
            asked.extend(description.as_deref().map(|value| ("Description", value)));
            asked.extend(longest.as_deref().map(|value| ("MaxSessionDuration", value)));
            let told = session.ram("CreateRole", &asked).await?;
            let arn = text(&told["Role"]["Arn"]).to_owned();
            session.output.result(&format!("made role {arn}"), &told["Role"])
        }
        RoleCommand::Ls(_) => {
            let line =
                |role: &Value| format!("{}  {}", text(&role["CreateDate"]), text(&role["Arn"]));
            session.all("ListRoles", &[], ("Roles", "Role"), line).await
        }
        RoleCommand::Show(RoleName { name }) => {
            let of = [("RoleName", name.as_str())];
            let mut role = session.ram("GetRole", &of).await?["Role"].take();
            let policies =
                session.items("ListPoliciesForRole", &of, ("Policies", "Policy")).await?;
            role["Policies"] = names(&policies, "PolicyName").into();
            session.show(&role)
        }
        RoleCommand::Rm(RoleName { name }) => {
            let told = format!("removed role {name}");
            session.done("DeleteRole", &[("RoleName", &name)], &told).await
        }
        RoleCommand::Assume(args) => assume(session, args).await,
    }
}

async fn assume(session: Session, args: AssumeArgs) -> Result<(), Failure> {
    let role_arn = match args.name.starts_with("acs:") {
        true => args.name,
        false => format!("acs:ram::{}:role/{}", account(&session).await?, args.name),
    };
    let request = AssumeRoleRequest {
        role_arn,
        session_name: args.session,
        duration_seconds: args.duration,
        policy: args.policy.as_deref().map(document).transpose()?,
        external_id: None,
    };
    let output = session.client.assume_role(request).await?;
    let (id, secret, token) = output.credentials.expose();
    let until = date(output.expiration);
    // To be taken over by a shell; what is shown consists of letters, digits and +/=.
    let lines = format!(
        "# {} until {until}\nexport OSSIA_ACCESS_KEY_ID='{id}'\nexport OSSIA_ACCESS_KEY_SECRET='{secret}'\n\
         export OSSIA_SECURITY_TOKEN='{}'",
        shown(&output.arn),
        token.unwrap_or_default()
    );
    let value = json!({
        "AccessKeyId": id, "AccessKeySecret": secret, "SecurityToken": token, "Expiration": until, "Arn": output.arn,
    });
    session.output.result(&lines, &value)
}

pub(crate) async fn policy(session: Session, command: PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::Add(AddPolicyArgs { name, document: file, description, replace }) => {
            let document = document(&file)?;
            let mut asked = vec![("PolicyName", name.as_str()), ("PolicyDocument", &document)];
            if replace {
                asked.push(("SetAsDefault", "true"));
                asked.push(("RotateStrategy", "DeleteOldestNonDefaultVersionWhenLimitExceeded"));
                let told = session.ram("CreatePolicyVersion", &asked).await?;
                let version = text(&told["PolicyVersion"]["VersionId"]).to_owned();
                let line = format!("policy {name} is {version} now");
                return session.output.result(&line, &told["PolicyVersion"]);
            }
            asked.extend(description.as_deref().map(|value| ("Description", value)));
            let told = session.ram("CreatePolicy", &asked).await?;
            session.output.result(&format!("made policy {name}"), &told["Policy"])
        }
        PolicyCommand::Ls(_) => {
            let line = |policy: &Value| {
                let (kind, count) = (text(&policy["PolicyType"]), &policy["AttachmentCount"]);
                let (name, version) =
                    (text(&policy["PolicyName"]), text(&policy["DefaultVersion"]));
                format!("{kind:6}  {version:4}  attached {count:>4}  {name}")
            };
            session.all("ListPolicies", &[], ("Policies", "Policy"), line).await
        }
        PolicyCommand::Show(policy) => {
            let named = [("PolicyName", policy.name.as_str()), ("PolicyType", policy.kind())];
            let told = session.ram("GetPolicy", &named).await?;
            let document = text(&told["DefaultPolicyVersion"]["PolicyDocument"]).to_owned();
            session.output.result(&document, &told)
        }
        PolicyCommand::Rm(PolicyName { name, .. }) => {
            let named = [("PolicyName", name.as_str()), ("CascadingDelete", "true")];
            session.done("DeletePolicy", &named, &format!("removed policy {name}")).await
        }
        PolicyCommand::Attach(args) => attach(session, &args, "Attach", "To").await,
        PolicyCommand::Detach(args) => attach(session, &args, "Detach", "From").await,
        PolicyCommand::Explain(args) => explain(session, &args).await,
    }
}

async fn explain(session: Session, args: &ExplainArgs) -> Result<(), Failure> {
    let mut asked = vec![
        ("Principal", args.who.as_str()),
        ("PolicyAction", &args.action),
        ("Resource", &args.resource),
    ];
    asked.extend(args.source_ip.as_deref().map(|value| ("SourceIp", value)));
    asked.extend(args.secure.then_some(("SecureTransport", "true")));
    asked.extend(args.prefix.as_deref().map(|value| ("Prefix", value)));
    asked.extend(args.delimiter.as_deref().map(|value| ("Delimiter", value)));
    let told = session.ram("ExplainAccess", &asked).await?;
    // What is not told to be allowed is not.
    let allowed = told["Allowed"] == true;
    let word = if allowed { "allowed" } else { "denied" };
    session.output.result(&format!("{word}: {}", shown(text(&told["Reason"]))), &told)?;
    match allowed {
        true => Ok(()),
        false => Err(Failure::Told(1)),
    }
}

async fn attach(session: Session, args: &AttachArgs, verb: &str, to: &str) -> Result<(), Failure> {
    let (word, parameter, entity) = args.to.words()?;
    let policy = &args.policy;
    let named =
        [("PolicyName", policy.name.as_str()), ("PolicyType", policy.kind()), (parameter, entity)];
    let (done, to_word) = (verb.to_lowercase(), to.to_lowercase());
    let told = format!("{done}ed {} {to_word} {} {entity}", policy.name, word.to_lowercase());
    session.done(&format!("{verb}Policy{to}{word}"), &named, &told).await
}
