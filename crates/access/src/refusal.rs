//! How a refusal is told (`permissions.md` §9).

use ossia_protocol::{
    error::{ErrorCode, OssError},
    operation::Operation,
};

use crate::{Caller, Decision, Principal, Reason, Right, Source};

/// What was refused.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// What the request asked for.
    pub operation: Operation,
    /// The action that it may not do for it.
    pub action: &'a str,
    /// What else could have granted that.
    pub right: Right,
    /// The account that owns everything.
    pub account: &'a str,
}

/// The 403 that tells of a denial.
pub fn refusal(decision: &Decision, caller: &Caller, refused: Refused<'_>) -> OssError {
    let (message, ec) = message(&decision.reason, caller, refused);
    let error = OssError::new(ErrorCode::AccessDenied).with_message(message);
    let error = match ec {
        Some(ec) => error.with_ec(ec),
        None => error,
    };
    match detail(&decision.reason, caller, refused) {
        Some(detail) => error.with_group("AccessDeniedDetail", detail),
        None => error,
    }
}

const BY_BUCKET_POLICY: &str = "Access denied by bucket policy.";
const BY_AUTHORIZER: &str = "Access denied by authorizer's policy.";
const EC_POLICY: &str = "0003-00000201";

fn message(
    reason: &Reason,
    caller: &Caller,
    refused: Refused<'_>,
) -> (&'static str, Option<&'static str>) {
    let is_session = matches!(caller.principal, Principal::Session { .. });
    match reason {
        Reason::SessionSilent => return (BY_AUTHORIZER, None),
        Reason::Statement(cause) => {
            return match &cause.source {
                Source::Bucket => (BY_BUCKET_POLICY, None),
                Source::Session => (BY_AUTHORIZER, None),
                Source::Attached { .. } if is_session => (BY_AUTHORIZER, None),
                Source::Attached { .. } => (BY_BUCKET_POLICY, Some(EC_POLICY)),
            };
        }
        Reason::Owner
        | Reason::NoPolicy
        | Reason::PublicObject
        | Reason::PublicBucket
        | Reason::OwnersOnly
        | Reason::ObjectAcl
        | Reason::BucketAcl => {}
    }
    let multipart = matches!(
        refused.operation,
        Operation::InitiateMultipartUpload
            | Operation::UploadPart
            | Operation::UploadPartCopy
            | Operation::CompleteMultipartUpload
            | Operation::AbortMultipartUpload
            | Operation::ListParts
    );
    let lists = matches!(
        refused.operation,
        Operation::ListObjects
            | Operation::ListObjectsV2
            | Operation::ListObjectVersions
            | Operation::ListMultipartUploads
    );
    if caller.principal == Principal::Anonymous {
        return match refused.right {
            Right::Manage if lists => ("Anonymous user has no right to access this bucket.", None),
            Right::Manage => {
                ("Anonymous access is forbidden for this operation.", Some("0003-00000002"))
            }
            Right::Own | Right::Read | Right::Write => {
                ("Anonymous user has no right to access this object.", None)
            }
        };
    }
    match (refused.operation, refused.right, reason) {
        (Operation::ListBuckets, _, _) => ("You are forbidden to list buckets.", None),
        (_, Right::Manage, _) if is_session => (BY_AUTHORIZER, None),
        (_, Right::Manage, _) => ("AccessDenied", None),
        (Operation::GetObjectAcl, _, _) => {
            ("You do not have read acl permission on this object.", Some("0003-00000007"))
        }
        (Operation::PutObjectAcl, _, _) => {
            ("You do not have write acl permission on this object.", None)
        }
        (_, Right::Own, _) if is_session => (BY_AUTHORIZER, None),
        (_, Right::Read | Right::Write, Reason::BucketAcl) if !multipart => {
            let message = "You have no right to access this object because of bucket acl.";
            (message, Some("0003-00000001"))
        }
        (_, Right::Read, _) if !multipart => {
            ("You do not have read permission on this object.", None)
        }
        (_, Right::Write, _) if !multipart => {
            ("You do not have write permission on this object.", None)
        }
        _ => ("You have no right to access this object.", None),
    }
}

/// Who was refused by which kind of policy. Only what attached policies and those of sessions decide is told so.
fn detail(
    reason: &Reason,
    caller: &Caller,
    refused: Refused<'_>,
) -> Option<Vec<(&'static str, String)>> {
    let (kind, name) = match &caller.principal {
        Principal::User { id, .. } => ("SubUser", id.to_string()),
        Principal::Session { role, session, .. } => {
            ("AssumedRoleUser", format!("{role}:{session}"))
        }
        Principal::Account | Principal::Anonymous => return None,
    };
    let (policy, explicit) = match reason {
        Reason::SessionSilent => ("SessionPolicy", false),
        Reason::Statement(cause) => match &cause.source {
            Source::Session => ("SessionPolicy", true),
            Source::Attached { .. } => ("AccountLevelIdentityBasedPolicy", true),
            Source::Bucket => return None,
        },
        _ => ("AccountLevelIdentityBasedPolicy", false),
    };
    Some(vec![
        ("PolicyType", policy.to_owned()),
        ("AuthPrincipalOwnerId", refused.account.to_owned()),
        ("AuthPrincipalType", kind.to_owned()),
        ("AuthPrincipalDisplayName", name),
        ("NoPermissionType", if explicit { "ExplicitDeny" } else { "ImplicitDeny" }.to_owned()),
        ("AuthAction", refused.action.to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, PolicyOrigin};

    const AUTHORIZER: (&str, &str) = (BY_AUTHORIZER, "");
    const ATTACHED: &str = "AccountLevelIdentityBasedPolicy";

    #[test]
    fn a_refusal_tells_who_was_refused_by_which_kind_of_policy() {
        let of = |principal| Caller { principal, ..Caller::account("AK") };
        let user = of(Principal::User { id: "77".into(), name: "lee".into() });
        let (role_id, role, session) = ("5".into(), "writer".into(), "s1".into());
        let session = of(Principal::Session { role_id, role, session });
        let by = |source| Reason::Statement(Cause { source, number: 1, sid: None });
        let attached = || by(Source::Attached { name: "p".into(), origin: PolicyOrigin::Custom });
        let (get, put) = (Operation::GetObject, Operation::PutBucketCors);
        let (read, manage) = (Right::Read, Right::Manage);
        for (caller, operation, right, reason, (message, ec), detail) in [
            (
                &user,
                get,
                read,
                attached(),
                (BY_BUCKET_POLICY, EC_POLICY),
                Some((ATTACHED, "ExplicitDeny")),
            ),
            (&session, get, read, attached(), AUTHORIZER, Some((ATTACHED, "ExplicitDeny"))),
            (&user, get, read, by(Source::Bucket), (BY_BUCKET_POLICY, ""), None),
            (&session, get, read, by(Source::Bucket), (BY_BUCKET_POLICY, ""), None),
            (
                &session,
                get,
                read,
                by(Source::Session),
                AUTHORIZER,
                Some(("SessionPolicy", "ExplicitDeny")),
            ),
            (
                &session,
                get,
                read,
                Reason::SessionSilent,
                AUTHORIZER,
                Some(("SessionPolicy", "ImplicitDeny")),
            ),
            (
                &session,
                put,
                manage,
                Reason::OwnersOnly,
                AUTHORIZER,
                Some((ATTACHED, "ImplicitDeny")),
            ),
            (
                &user,
                put,
                manage,
                Reason::OwnersOnly,
                ("AccessDenied", ""),
                Some((ATTACHED, "ImplicitDeny")),
            ),
            (&Caller::account("AK"), get, read, by(Source::Bucket), (BY_BUCKET_POLICY, ""), None),
        ] {
            let refused = Refused { operation, action: "oss:Some", right, account: "1234" };
            let told = super::message(&reason, caller, refused);
            assert_eq!((told.0, told.1.unwrap_or_default()), (message, ec), "{caller:?} {reason}");
            let told = super::detail(&reason, caller, refused);
            let told: Option<Vec<String>> =
                told.map(|all| all.into_iter().map(|(_, value)| value).collect());
            let wanted = detail.map(|(policy, how)| {
                let (kind, name) = match caller.principal {
                    Principal::Session { .. } => ("AssumedRoleUser", "writer:s1"),
                    _ => ("SubUser", "77"),
                };
                [policy, "1234", kind, name, how, "oss:Some"].map(str::to_owned).to_vec()
            });
            assert_eq!(told, wanted, "{caller:?} {reason}");
        }
    }
}
