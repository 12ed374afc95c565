//! The one decision about objects and buckets (`permissions.md` §2): session policy, attached and bucket policies, owner, ACLs.

use ossia_protocol::{
    attributes::{BucketAcl, ObjectAcl},
    policy::{Ask, Policy, Verdict},
};

use crate::{
    Caller, Cause, Decision, Principal, Reason, Right, Source,
    identity::{by_attached, refused_by_session},
};

/// What a decision rests on besides who asks for what.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The account that owns everything.
    pub account: &'a str,
    /// The policy of the bucket.
    pub policy: Option<&'a Policy>,
    /// Whether public access is blocked, by the bucket or by the account: public statements and ACLs then grant nothing.
    pub blocked: bool,
    /// The ACL of the bucket.
    pub bucket_acl: BucketAcl,
    /// The ACL of the object, if the key exists. A new key has none, and the bucket's counts.
    pub object_acl: Option<ObjectAcl>,
}

/// What the account's own key may always do, so that no statement locks it out for good.
const ESCAPES: [&str; 3] = ["oss:PutBucketPolicy", "oss:GetBucketPolicy", "oss:DeleteBucketPolicy"];

/// Decides on one action on one resource. An operation that needs several is asked once for each, and so is one on several objects.
pub fn decide(caller: &Caller, right: Right, ask: &Ask<'_>, site: &Site<'_>) -> Decision {
    decide_by_policies(caller, right, ask, site).unwrap_or_else(|| decide_by_acl(right, site))
}

/// All of the decision that needs no ACL: `None` when the ACLs of object and bucket are to decide, with [`decide_by_acl`].
pub fn decide_by_policies(
    caller: &Caller,
    right: Right,
    ask: &Ask<'_>,
    site: &Site<'_>,
) -> Option<Decision> {
    let is_account = caller.principal == Principal::Account;
    if is_account && (site.policy.is_none() || ESCAPES.contains(&ask.action)) {
        return Some(Decision::allow(Reason::Owner));
    }
    if let Some(refused) = refused_by_session(caller, ask) {
        return Some(refused);
    }
    let attached = by_attached(caller, ask);
    if attached.as_ref().is_some_and(|decision| !decision.allowed) {
        return attached;
    }
    let bucket = site.policy.map_or(Verdict::Silent, |policy| {
        policy.evaluate(ask, |statement| {
            statement.names(caller.subject(), site.account)
                && !(site.blocked && statement.is_public())
        })
    });
    let cause = |at| {
        let cause = site.policy.map(|policy| Cause::new(Source::Bucket, policy, at));
        cause.map_or(Reason::NoPolicy, Reason::Statement)
    };
    match (bucket, attached) {
        (Verdict::Denied(at), _) => Some(Decision::deny(cause(at))),
        (_, Some(allowed)) => Some(allowed),
        (Verdict::Allowed(at), None) => Some(Decision::allow(cause(at))),
        (Verdict::Silent, None) if is_account => Some(Decision::allow(Reason::Owner)),
        (Verdict::Silent, None) => match right {
            Right::Manage | Right::Own => Some(Decision::deny(Reason::OwnersOnly)),
            Right::Read | Right::Write => None,
        },
    }
}

/// What ACLs say to somebody who is not the owner: an object's overrides the bucket's both ways, unless it is `default`.
pub fn decide_by_acl(right: Right, site: &Site<'_>) -> Decision {
    let of_object = match site.object_acl.unwrap_or(ObjectAcl::Default) {
        ObjectAcl::Default => None,
        ObjectAcl::Private => Some(BucketAcl::Private),
        ObjectAcl::PublicRead => Some(BucketAcl::PublicRead),
        ObjectAcl::PublicReadWrite => Some(BucketAcl::PublicReadWrite),
    };
    let (denial, grant) = match of_object {
        Some(_) => (Reason::ObjectAcl, Reason::PublicObject),
        None => (Reason::BucketAcl, Reason::PublicBucket),
    };
    let effective = match site.blocked {
        true => BucketAcl::Private,
        false => of_object.unwrap_or(site.bucket_acl),
    };
    match (right, effective) {
        (Right::Manage | Right::Own, _) => Decision::deny(Reason::OwnersOnly),
        (_, BucketAcl::PublicReadWrite) | (Right::Read, BucketAcl::PublicRead) => {
            Decision::allow(grant)
        }
        (Right::Read | Right::Write, BucketAcl::Private)
        | (Right::Write, BucketAcl::PublicRead) => Decision::deny(denial),
    }
}
