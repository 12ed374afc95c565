//! Asks whether a caller may: gathers what the one decision of `ossia-access` rests on, and notes what it came to.
//!
//! Nothing is gathered that cannot matter: the account's own key in a bucket without a policy is not asked about at all, and an
//! object is looked up only when its ACL is to decide or a policy that may speak names its tags.

mod explain;
mod told;

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use ossia_access::{
    Caller, Decision, Given, Refused, Right, Site, actions, decide_by_acl, decide_by_policies,
    refusal,
};
use ossia_objects::{Bucket, BucketRules, ObjectInfo, ReadObjectError, VersionId};
use ossia_protocol::{
    attributes::{ObjectAcl, Tags},
    error::OssError,
    names::{BucketName, ObjectKey},
    operation::Operation,
    policy::{Ask, Conditions, Needs, Resource},
};

pub(crate) use self::explain::explain_asked;
use crate::{
    auth::HeaderView,
    handlers::{self, error as errors},
    service::{App, Call},
};

/// What was decided on a request, for whoever reads about it later: the first denial, else the first decision.
#[derive(Debug, Default)]
pub(crate) struct Decisions(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    decided: Option<Decided>,
    form: Option<Arc<Caller>>,
    rests_on: Option<Basis>,
}

/// What decisions rest on of an object as it is stored; `None` where there is none.
type Basis = Option<(ObjectAcl, Vec<(String, String)>)>;

fn basis(stored: Option<&ObjectInfo>) -> Basis {
    stored.map(|info| (info.acl, info.tags.clone()))
}

/// One decision.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) action: &'static str,
    pub(crate) resource: String,
    pub(crate) decision: Decision,
}

impl Decisions {
    fn note(&self, action: &'static str, resource: &str, decision: Decision) {
        let noted = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).decided;
        let counts = noted.as_ref().is_none_or(|known| known.decision.allowed && !decision.allowed);
        if counts {
            *noted = Some(Decided { action, resource: resource.to_owned(), decision });
        }
    }

    /// Whose form it is, which only its fields tell.
    pub(crate) fn by_form(&self, caller: &Arc<Caller>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.form = Some(Arc::clone(caller));
    }

    fn rest_on(&self, stored: Option<&ObjectInfo>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.rests_on = Some(basis(stored));
    }

    /// Forgets what decisions rest on; says whether any rested on an object as it is stored.
    fn take_basis(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).rests_on.take().is_some()
    }

    /// Whether what was decided holds for an object that is stored so.
    fn holds_for(&self, stored: &ObjectInfo) -> bool {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.rests_on.as_ref().is_none_or(|rests_on| *rests_on == basis(Some(stored)))
    }

    /// What was decided, `None` where nothing had to be asked; and whose form it was.
    fn take(&self) -> (Option<Decided>, Option<Arc<Caller>>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (noted.decided.take(), noted.form.take())
    }
}

/// What is asked for: the account, a bucket, or an object in one.
pub(crate) struct Place<'p> {
    /// The bucket's name; `None` for the account.
    pub(crate) name: Option<&'p str>,
    /// The bucket, if it is there.
    pub(crate) bucket: Option<&'p Bucket>,
    pub(crate) rules: &'p BucketRules,
    /// The key as it is named, which need not be a valid one.
    pub(crate) key: Option<Cow<'p, str>>,
    pub(crate) version: Option<VersionId>,
    /// The object, where it has been looked up: `Some(None)` if there is none.
    pub(crate) stored: Option<Option<&'p ObjectInfo>>,
}

/// What a form names in its fields in the place of headers.
#[derive(Debug, Clone, Default)]
pub(crate) struct FormSets {
    pub(crate) object_acl: Option<String>,
    pub(crate) tags: Option<Vec<(String, String)>>,
}

/// `acs:<service>:<region>:<account>:<relative>`, as policies name what is asked for.
fn resource(app: &App, bucket: Option<&str>, key: Option<&str>) -> String {
    let (region, account) = (&app.config.region, &app.account);
    match (bucket, key) {
        (None, _) => format!("acs:oss:*:{account}:*"),
        (Some(bucket), None) => format!("acs:oss:{region}:{account}:{bucket}"),
        (Some(bucket), Some(key)) => format!("acs:oss:{region}:{account}:{bucket}/{key}"),
    }
}

/// The object that a place names; `None` if there is none.
async fn look_up(app: &App, place: &Place<'_>) -> Result<Option<ObjectInfo>, OssError> {
    let (Some(bucket), Some(key)) = (place.bucket, &place.key) else { return Ok(None) };
    let Ok(key) = ObjectKey::new(key) else { return Ok(None) };
    match app.objects.head_version(&bucket.name, &key, place.version).await {
        Ok(info) => Ok(Some(info)),
        Err(ReadObjectError::Store(failure)) => Err(errors::failure(&failure)),
        Err(_) => Ok(None),
    }
}

impl Call<'_> {
    /// Whether the caller may do the operation, and set what its headers set.
    pub(crate) async fn check_access(&self) -> Result<(), OssError> {
        match self.operation {
            // Each key is decided by itself, with the request's body at hand.
            Operation::DeleteMultipleObjects => Ok(()),
            // Which need not be there, so that nobody has looked at what holds for them.
            Operation::PutBucket | Operation::PutBucketAcl => {
                Box::pin(self.check_named_bucket()).await
            }
            _ if self.is_free(&self.rules) || self.is_decided_by_body() => Ok(()),
            _ => Box::pin(self.demand_own(None)).await,
        }
    }

    /// As [`Call::check_access`], for operations whose bodies say what policies of this bucket or caller ask for: the tags of an
    /// object, or how long it is still retained. Nothing for all others, which have been decided.
    pub(crate) async fn check_body(&self, body: FromBody<'_>) -> Result<(), OssError> {
        if self.is_free(&self.rules) || !self.is_decided_by_body() {
            return Ok(());
        }
        Box::pin(self.demand_own(Some(body))).await
    }

    fn is_decided_by_body(&self) -> bool {
        match self.operation {
            Operation::PutObjectTagging => self.needs(&self.rules).request_tags,
            Operation::PutObjectRetention => self.needs(&self.rules).retention_days,
            _ => false,
        }
    }

    /// Whether nothing can keep this caller from anything where these rules hold.
    pub(crate) fn is_free(&self, rules: &BucketRules) -> bool {
        self.caller.is_account() && rules.policy.is_none()
    }

    async fn demand_own(&self, body: Option<FromBody<'_>>) -> Result<(), OssError> {
        let version = match self.operation {
            Operation::GetObject
            | Operation::HeadObject
            | Operation::GetObjectMeta
            | Operation::GetSymlink
            | Operation::DeleteObject => handlers::versions::version(self)?,
            // Looked up for their tags only; a wrong version is their handlers' to tell.
            _ => handlers::versions::version(self).unwrap_or_default(),
        };
        let place = Place { version, ..self.place() };
        self.demand(self.operation, actions(self.operation, self.given()), &place, body).await
    }

    /// What the request names.
    pub(crate) fn place(&self) -> Place<'_> {
        let key = self.target.key.as_deref().map(String::from_utf8_lossy);
        Place {
            name: self.target.bucket_str(),
            bucket: self.bucket.as_ref(),
            rules: &self.rules,
            key,
            version: None,
            stored: None,
        }
    }

    fn given(&self) -> Given {
        let header = |name| self.header(name).is_some();
        Given {
            version: self.query.get_bytes("versionId").is_some_and(|id| !id.is_empty()),
            tags: match self.form {
                Some(form) => form.tags.is_some(),
                None => header("x-oss-tagging"),
            },
            object_acl: match self.form {
                Some(form) => form.object_acl.is_some(),
                None => header("x-oss-object-acl"),
            },
            bucket_acl: self.header_text("x-oss-acl").is_some_and(|acl| acl != "private"),
            creates: false,
            encryption: false,
            bypass: self
                .header_text("x-oss-bypass-governance-retention")
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
        }
    }

    /// PutBucket and PutBucketAcl, of a bucket that may be there.
    async fn check_named_bucket(&self) -> Result<(), OssError> {
        // A name that is none is its handler's to tell, and what holds for nobody's bucket holds.
        let name = self.bucket_name().ok();
        let (bucket, rules) = match &name {
            Some(name) => (
                self.app.objects.bucket(name).await.ok(),
                self.app.objects.rules(name).await.map_err(|failure| errors::failure(&failure))?,
            ),
            None => (None, Arc::default()),
        };
        if self.is_free(&rules) {
            return Ok(());
        }
        let encryption = self.header("x-oss-server-side-encryption").is_some();
        let given = Given { creates: bucket.is_none(), encryption, ..self.given() };
        let place = Place { bucket: bucket.as_ref(), rules: &rules, ..self.place() };
        self.demand(self.operation, actions(self.operation, given), &place, None).await
    }

    /// Whether the caller may do more on the object that the request names than its operation says: what only became known on the
    /// way.
    pub(crate) async fn permit_also(
        &self,
        action: &'static str,
        object_acl: Option<&str>,
    ) -> Result<(), OssError> {
        if self.is_free(&self.rules) {
            return Ok(());
        }
        let body = object_acl.map(FromBody::ObjectAcl);
        self.demand(self.operation, std::iter::once((action, Right::Own)), &self.place(), body)
            .await
    }

    /// Whether the caller may do something to this object of the same bucket, with this version and as it is stored.
    pub(crate) async fn permit_object(
        &self,
        operation: Operation,
        key: &str,
        version: Option<VersionId>,
        stored: Option<Option<&ObjectInfo>>,
    ) -> Result<(), OssError> {
        if self.is_free(&self.rules) {
            return Ok(());
        }
        let given = Given { version: version.is_some(), ..self.given() };
        let key = Some(Cow::Borrowed(key));
        let place = Place { key, version, stored, ..self.place() };
        self.demand(operation, actions(operation, given), &place, None).await
    }

    /// Decides again where the object that is about to be told of is not as it was when that was decided: it may have been replaced
    /// by one that is not for this caller.
    pub(crate) async fn reaffirm(
        &self,
        version: Option<VersionId>,
        stored: &ObjectInfo,
    ) -> Result<(), OssError> {
        if self.decided.holds_for(stored) {
            return Ok(());
        }
        self.permit_object(self.operation, stored.key.as_str(), version, Some(Some(stored))).await
    }

    /// As [`Call::demand`]; says whether the decision rests on the object as it is stored, so that it is void for another one.
    pub(crate) async fn demand_of_stored(
        &self,
        operation: Operation,
        needed: impl Iterator<Item = (&'static str, Right)>,
        place: &Place<'_>,
    ) -> Result<bool, OssError> {
        self.decided.take_basis();
        self.demand(operation, needed, place, None).await?;
        Ok(self.decided.take_basis())
    }

    /// Whether the caller may write objects of such names into another bucket, as it is about to tell the server to.
    pub(crate) async fn permit_target(
        &self,
        bucket: &BucketName,
        sample: &str,
    ) -> Result<(), OssError> {
        let found = self.app.objects.bucket(bucket).await.ok();
        let rules = self.app.objects.rules(bucket).await;
        let rules = rules.map_err(|failure| errors::failure(&failure))?;
        if self.is_free(&rules) {
            return Ok(());
        }
        let place = Place {
            name: Some(bucket.as_str()),
            bucket: found.as_ref(),
            rules: &rules,
            key: Some(Cow::Borrowed(sample)),
            version: None,
            stored: Some(None),
        };
        let needed = std::iter::once((ossia_access::PUT_OBJECT, Right::Own));
        self.demand(self.operation, needed, &place, None).await
    }

    /// Decides on each of these actions at a place; the first denial is the answer.
    pub(crate) async fn demand(
        &self,
        operation: Operation,
        needed: impl Iterator<Item = (&'static str, Right)>,
        place: &Place<'_>,
        body: Option<FromBody<'_>>,
    ) -> Result<(), OssError> {
        let app = self.app;
        let needs = self.needs(place.rules);
        let mut conditions = self.conditions(operation, needs, place.rules, body);
        let mut found: Option<Option<ObjectInfo>> = None;
        if needs.existing_tags && place.key.is_some() {
            if place.stored.is_none() {
                found = Some(look_up(app, place).await?);
            }
            let stored = place.stored.unwrap_or(found.as_ref().and_then(Option::as_ref));
            self.decided.rest_on(stored);
            let tags = stored.map(|info| info.tags.clone()).unwrap_or_default();
            conditions.existing_tags = Cow::Owned(tags);
        }
        let name = resource(app, place.name, place.key.as_deref());
        let site = Site {
            account: &app.account,
            policy: place.rules.policy.as_deref(),
            blocked: place.rules.blocked,
            bucket_acl: place.bucket.map(|bucket| bucket.acl).unwrap_or_default(),
            object_acl: None,
        };
        for (action, right) in needed {
            let ask = Ask { action, resource: Resource::new(&name), conditions: &conditions };
            let decision = match decide_by_policies(&self.caller, right, &ask, &site) {
                Some(decision) => decision,
                None => {
                    if place.stored.is_none() && found.is_none() {
                        found = Some(look_up(app, place).await?);
                    }
                    let stored = place.stored.unwrap_or(found.as_ref().and_then(Option::as_ref));
                    self.decided.rest_on(stored);
                    let object_acl = stored.map(|info| info.acl);
                    decide_by_acl(right, &Site { object_acl, ..site })
                }
            };
            let denied = (!decision.allowed).then(|| {
                let refused = Refused { operation, action, right, account: &app.account };
                let error = refusal(&decision, &self.caller, refused);
                match place.name {
                    Some(name) => error.with_field("BucketName", name),
                    None => error,
                }
            });
            self.decided.note(action, &name, decision);
            if let Some(error) = denied {
                return Err(error);
            }
        }
        Ok(())
    }

    /// What the policies that may speak look at.
    fn needs(&self, rules: &BucketRules) -> Needs {
        let caller = &self.caller;
        let attached = caller.policies.iter().map(|attached| &*attached.policy);
        attached
            .chain(caller.session_policy.as_deref())
            .chain(rules.policy.as_deref())
            .fold(Needs::default(), |needs, policy| needs.or(policy.needs()))
    }

    fn conditions<'c>(
        &'c self,
        operation: Operation,
        needs: Needs,
        rules: &BucketRules,
        body: Option<FromBody<'c>>,
    ) -> Conditions<'c> {
        // Without outer blanks, as what sets an ACL reads them.
        let text = |name| Some(String::from_utf8_lossy(self.header(name)?.trim_ascii()));
        let lists = matches!(
            operation,
            Operation::ListObjects | Operation::ListObjectsV2 | Operation::ListObjectVersions
        );
        let parameter = |name| {
            let value = self.query.get_bytes(name).unwrap_or_default();
            lists.then(|| String::from_utf8_lossy(value))
        };
        let mut conditions = Conditions {
            source_ip: Some(self.app.source(self.request)),
            secure: self.request.secure,
            user_agent: text("user-agent"),
            now: i64::try_from(self.app.clock.now_ms() / 1000).unwrap_or(i64::MAX),
            access_id: self.caller.access_key_id.as_deref().map(Cow::Borrowed),
            prefix: parameter("prefix"),
            delimiter: parameter("delimiter"),
            acl: text("x-oss-acl"),
            object_acl: match self.form {
                Some(form) => form.object_acl.as_deref().map(Cow::Borrowed),
                None => text("x-oss-object-acl"),
            },
            ..Conditions::default()
        };
        if needs.bucket_tags {
            let tags = rules.tags.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone()));
            conditions.bucket_tags = Cow::Owned(tags.collect());
        }
        if needs.request_tags {
            conditions.request_tags = match self.form {
                Some(form) => Cow::Borrowed(form.tags.as_deref().unwrap_or_default()),
                None => {
                    // What cannot be read is refused for that, once it is known that it may be asked for.
                    let tags = Tags::from_headers(&HeaderView(self.headers())).ok().flatten();
                    Cow::Owned(handlers::pairs(tags))
                }
            };
        }
        match body {
            Some(FromBody::ObjectAcl(acl)) => conditions.object_acl = Some(Cow::Borrowed(acl)),
            Some(FromBody::Tags(tags)) => conditions.request_tags = Cow::Borrowed(tags),
            Some(FromBody::RetainUntil(until)) => {
                conditions.retention_days =
                    Some(until.saturating_sub(conditions.now).div_euclid(86_400));
            }
            None => {}
        }
        conditions
    }
}

/// What a decision rests on that no header says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FromBody<'b> {
    /// The ACL that was named when an upload began.
    ObjectAcl(&'b str),
    /// Tags to be set.
    Tags(&'b [(String, String)]),
    /// Until when an object is to be retained, in Unix seconds.
    RetainUntil(i64),
}
