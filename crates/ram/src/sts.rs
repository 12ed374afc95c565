//! Temporary credentials: AssumeRole and GetCallerIdentity (`auth.md` §9.4).

use ossia_access::Principal;
use ossia_protocol::policy::{Policy as Document, PolicyKind};

use crate::{
    answer::{Fault, Object},
    api::{Asker, Judge, date},
    live::{Live, Snapshot},
    params::Params,
    roles,
    state::lower,
};

/// How long a session lasts by default, in seconds.
const SECONDS_DEFAULT: u64 = 3_600;
/// The longest session policy, in characters.
const POLICY_CHARS_MAX: usize = 2_048;

fn wrong(parameter: &'static str) -> Fault {
    let message = format!("The parameter {parameter} is wrongly formed.");
    Fault::new(400, format!("InvalidParameter.{parameter}"), message)
}

/// Account and name of a role's ARN.
fn parse_arn(arn: &str) -> Option<(&str, &str)> {
    let (account, name) = arn.strip_prefix("acs:ram::")?.split_once(":role/")?;
    let digits = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !name.is_empty() && !name.contains([':', '/', '*'])).then_some((account, name))
}

pub(crate) fn assume_role(
    (live, snapshot): (&Live, &Snapshot),
    asker: &Asker<'_>,
    p: &Params,
    judge: &dyn Judge,
    (now_ms, seconds_min): (u64, u64),
) -> Result<Object, Fault> {
    let (account, name) = parse_arn(p.need("RoleArn")?).ok_or_else(|| wrong("RoleArn"))?;
    let session = p.need("RoleSessionName")?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".@-_".contains(&byte);
    if !(2..=64).contains(&session.len()) || !session.bytes().all(good) {
        return Err(wrong("RoleSessionName"));
    }
    if let Some(id) = p.get("ExternalId") {
        let good = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
        if !(2..=1_224).contains(&id.len()) || !id.chars().all(good) {
            return Err(wrong("ExternalId"));
        }
    }
    let policy = p.get("Policy").unwrap_or_default();
    if policy.chars().count() > POLICY_CHARS_MAX {
        let message = format!("The size of Policy must be smaller than {POLICY_CHARS_MAX} bytes.");
        return Err(Fault::new(400, "InvalidParameter.PolicySize", message));
    }
    if !policy.is_empty() && Document::parse(policy, PolicyKind::Session).is_err() {
        let message = "The parameter Policy has not passed grammar check.";
        return Err(Fault::new(400, "InvalidParameter.PolicyGrammar", message));
    }
    if asker.caller.is_account() {
        let message = "Roles may not be assumed by root accounts.";
        return Err(Fault::new(403, "NoPermission", message));
    }
    let refused = || {
        let message = "You are not authorized to do this action. You should be authorized by RAM.";
        Fault::new(403, "NoPermission", message)
    };
    let resource = format!("acs:ram::{account}:role/{name}");
    if !judge.allows(asker.caller, "sts:AssumeRole", &resource) {
        return Err(refused());
    }
    let role = snapshot.state.roles.get(&lower(name)).filter(|_| account == asker.account);
    let Some(role) = role else {
        let message = "The specified Role not exists.";
        return Err(Fault::new(404, "EntityNotExist.Role", message));
    };
    let trust = snapshot.state.trusts.get(&role.id);
    if !trust.is_some_and(|trust| judge.trusts(asker.caller, trust)) {
        return Err(refused());
    }
    let seconds = match p.get("DurationSeconds") {
        None => SECONDS_DEFAULT.min(role.session_seconds_max),
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| (seconds_min..=role.session_seconds_max).contains(seconds))
            .ok_or_else(|| {
                let hours = role.session_seconds_max / 3_600;
                let message = format!("The Min/Max value of DurationSeconds is 15min/{hours}hr.");
                Fault::new(400, "InvalidParameter.DurationSeconds", message)
            })?,
    };
    let expires_s = (now_ms / 1000).saturating_add(seconds);
    let issued = live.issue(role, session, expires_s, policy)?;
    let user = Object::new()
        .with("Arn", format!("{}/{session}", roles::arn(account, &role.name)))
        .with("AssumedRoleId", format!("{}:{session}", role.id));
    let credentials = Object::new()
        .with("AccessKeyId", issued.key_id)
        .with("AccessKeySecret", issued.secret)
        .with("SecurityToken", issued.token)
        .with("Expiration", date(expires_s.saturating_mul(1000)));
    Ok(Object::new().with("AssumedRoleUser", user).with("Credentials", credentials))
}

pub(crate) fn caller_identity(asker: &Asker<'_>) -> Object {
    let account = asker.account;
    let told = Object::new().with("AccountId", account);
    match &asker.caller.principal {
        Principal::User { id, name } => told
            .with("UserId", &**id)
            .with("PrincipalId", &**id)
            .with("IdentityType", "RAMUser")
            .with("Arn", format!("acs:ram::{account}:user/{name}")),
        Principal::Session { role_id, role, session } => told
            .with("RoleId", &**role_id)
            .with("PrincipalId", format!("{role_id}:{session}"))
            .with("IdentityType", "AssumedRoleUser")
            .with("Arn", format!("acs:ram::{account}:assumed-role/{role}/{session}")),
        Principal::Account | Principal::Anonymous => told
            .with("UserId", account)
            .with("PrincipalId", account)
            .with("IdentityType", "Account")
            .with("Arn", format!("acs:ram::{account}:root")),
    }
}
