//! The way of a request: limits, parsing, identity, existence of the bucket, permission, handler, and back as an answer.
//!
//! The order of the checks is the protocol's and stands here once: parse, addressing, signature scheme, key id, date, token,
//! signature, bucket, permission, key name, and then the handler's own (headers, framing, operation).

use std::{fmt, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use ossia_access::{Caller, Principal};
use ossia_objects::{Bucket, BucketError, BucketRules, Clock, Health, Objects, ReadObjectError};
use ossia_protocol::{
    addressing::{Addressing, RequestTarget, Target},
    auth::RequestParts,
    error::{EC_BUCKET_XML, ErrorCode, OssError},
    names::{BucketName, ObjectKey},
    network::Network,
    operation::{Operation, RequestShape, dispatch},
    query::Query,
    uri,
};
use ossia_ram::Ram;

use crate::{
    access::{Decisions, FormSets},
    access_log::{AccessLogs, Entry},
    audit::Audit,
    auth::{AuthRefusal, Authenticator, HeaderView, first},
    callback::Callbacks,
    config::Config,
    handlers::{self, error as errors},
    http::{Admission, Refusal, Reply, Request, RequestId, Requests, Service},
    metrics::Meters,
    quota::{Begun, UnderWay},
    rpc,
};

/// How often the room of a bucket is reckoned again where uploads have ended meanwhile, and may be counted twice.
const QUOTA_TRIES: usize = 8;

/// What all requests share.
pub(crate) struct App {
    pub(crate) objects: Objects,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Config,
    pub(crate) account: String,
    /// Public and internal endpoint that answers name.
    pub(crate) endpoints: (String, String),
    pub(crate) authenticator: Authenticator,
    /// Users, roles, policies.
    pub(crate) ram: Arc<Ram>,
    pub(crate) addressing: Addressing,
    /// Takes lines of access logs.
    pub(crate) logs: AccessLogs,
    /// Takes lines of the audit log.
    pub(crate) audit: Audit,
    /// Whose `X-Forwarded-For` is believed.
    pub(crate) proxies: Vec<Network>,
    /// Posts callbacks.
    pub(crate) callbacks: Callbacks,
    /// By how much uploads under way will grow buckets with a quota.
    pub(crate) under_way: Arc<UnderWay>,
    /// Room for bodies that come in.
    pub(crate) uploads: Admission,
    /// Room for bodies that go out; of its own, so that slow readers stop no writer.
    pub(crate) downloads: Admission,
    /// Room for requests.
    pub(crate) requests: Arc<Requests>,
    pub(crate) meters: Arc<Meters>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A request that has passed the checks before its operation.
pub(crate) struct Call<'r> {
    pub(crate) app: &'r App,
    pub(crate) request: &'r Request,
    pub(crate) operation: Operation,
    pub(crate) target: &'r Target,
    pub(crate) query: &'r Query,
    pub(crate) caller: Arc<Caller>,
    /// The bucket named, where the operation needs one that exists.
    pub(crate) bucket: Option<Bucket>,
    /// What requests to that bucket are decided by.
    pub(crate) rules: Arc<BucketRules>,
    /// Takes what is decided.
    pub(crate) decided: &'r Decisions,
    /// Of a form, what it names in the place of headers.
    pub(crate) form: Option<&'r FormSets>,
}

/// What became known of a request before it was answered.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) operation: Option<Operation>,
    /// Only of requests from another origin.
    bucket: Option<BucketName>,
    rules: Option<Arc<BucketRules>>,
    pub(crate) caller: Option<Arc<Caller>>,
}

/// The path of the health check, where Host is a service name or an address.
const HEALTH_PATH: &str = "/_ossia/health";
/// For how many milliseconds `x-oss-traffic-limit` has held an upload back.
const QOS_DELAY_TIME: HeaderName = HeaderName::from_static("x-oss-qos-delay-time");

impl Service for App {
    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    async fn answer(&self, request: Request) -> Reply {
        let started = (self.clock.now_ms(), Instant::now());
        let mut told = Told::default();
        let decided = Decisions::default();
        let mut code = None;
        let mut reply = match self.run(&request, &mut told, &decided).await {
            Ok(reply) => {
                self.tell(&request, &told, &decided, reply.status.as_u16(), None);
                reply
            }
            Err(error) => {
                self.tell(&request, &told, &decided, error.status(), Some(&error));
                code = Some(error.code().as_str());
                if error.code() == ErrorCode::InternalError {
                    // What was wrong has been logged where it was found, without whom it hit.
                    tracing::error!(
                        request_id = %request.id,
                        operation = told.operation.map_or("none", Operation::name),
                        host = ?request.headers.get(header::HOST),
                        path = request.target.path(),
                        "answered with an internal error"
                    );
                }
                let host = host_of(&request.headers);
                errors::render(&error, request.id, &host, request.method == Method::HEAD)
            }
        };
        if told.rules.is_none() && code.is_some() && reply.status != StatusCode::NOT_FOUND {
            // Refused before the bucket was looked at, as by a wrong signature: its log tells that all the same.
            told.rules = self.rules_of_refused(&request);
        }
        if let Some(held_ms) = request.intake.held().told() {
            reply = reply.with(QOS_DELAY_TIME, HeaderValue::from(held_ms));
        }
        self.cors(&request, &told, &mut reply).await;
        self.meters.answered(told.operation, reply.status);
        // Who asked for what: by this the SDK suites tell what they have really exercised.
        tracing::debug!(
            target: "ossia::operations",
            request_id = %request.id,
            operation = told.operation.map_or("none", Operation::name),
            status = reply.status.as_u16(),
            user_agent = ?request.headers.get(header::USER_AGENT),
            "decided"
        );
        match told.rules.as_ref().and_then(|rules| rules.logging.enabled.as_ref()) {
            None => reply,
            Some(target) => {
                let entry = self.entry(&request, &told, &reply, code, started);
                let (logs, target) = (self.logs.clone(), target.clone());
                reply.on_end(move |sent, whole| {
                    // As the service: what broke off is not logged.
                    if whole {
                        let request_ms = millis_since(started.1);
                        let entry = Entry { sent_bytes: sent, request_ms, ..entry };
                        logs.note(&target, &entry.bucket, started.0, &entry.line());
                    }
                })
            }
        }
    }

    fn panicked(&self, id: RequestId, host: &str, method: &Method) -> Reply {
        let error = OssError::new(ErrorCode::InternalError);
        self.meters.answered(None, StatusCode::INTERNAL_SERVER_ERROR);
        errors::render(&error, id, host_or_default(host), method == Method::HEAD)
    }

    fn refused(&self, id: RequestId, refusal: Refusal) -> Reply {
        let limits = &self.config.limits;
        let error = match refusal {
            Refusal::Malformed => OssError::new(ErrorCode::InvalidRequest)
                .with_message("The request is no HTTP/1.1 request."),
            Refusal::TargetTooLong => target_too_long(limits.uri_bytes),
            Refusal::HeadersTooLarge => headers_too_large(limits.header_bytes),
            Refusal::Crowded => OssError::service_unavailable(errors::RETRY_BUSY_SECONDS),
        };
        // Nobody can tell whether it was a HEAD, nor which host was meant.
        errors::render(&error, id, host_or_default(""), false)
    }
}

fn millis_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn target_too_long(max: usize) -> OssError {
    OssError::new(ErrorCode::InvalidArgument).with_message(format!(
        "The request target exceeds the maximum allowed size of {max} bytes."
    ))
}

fn headers_too_large(max: usize) -> OssError {
    OssError::new(ErrorCode::InvalidArgument).with_message(format!(
        "The request headers exceed the maximum allowed size of {max} bytes."
    ))
}

impl App {
    /// Answers; tells operation, bucket and rules as soon as they are known.
    async fn run(
        &self,
        request: &Request,
        told: &mut Told,
        decided: &Decisions,
    ) -> Result<Reply, OssError> {
        self.check_limits(request)?;
        let raw = request.target.path_and_query().map_or("/", |target| target.as_str());
        let parts = RequestTarget::split(raw);
        let authority = request.target.authority().map(|authority| authority.as_str());
        let host = host_of(&request.headers);
        let target = self.addressing.resolve(Some(authority.unwrap_or(&host)), parts.path);
        if parts.path == HEALTH_PATH && target.is_service_host() {
            return self.health(&request.method);
        }
        // After the health check, which a supervisor asks for most when there is much to do.
        let _slot = self
            .requests
            .enter(&request.guest)
            .ok_or_else(|| OssError::service_unavailable(errors::RETRY_BUSY_SECONDS))?;
        let query = Query::parse(parts.query.unwrap_or_default().as_bytes()).map_err(|error| {
            OssError::new(ErrorCode::InvalidArgument).with_message(error.to_string())
        })?;
        if let Some(answer) = rpc::serve(self, request, &target, &query).await {
            return answer;
        }
        let operation = dispatch(&RequestShape {
            method: request.method.as_str(),
            has_bucket: target.bucket.is_some(),
            has_key: target.key.is_some(),
            query: &query,
            header: &|name| first(&request.headers, name),
        })?;
        told.operation = Some(operation);
        if operation == Operation::OptionObject {
            // Browsers do not sign it.
            let rules = self.rules(self.bucket(operation, &target).await?.as_ref()).await?;
            told.rules = Some(Arc::clone(&rules));
            return handlers::cors::preflight(&request.headers, &rules);
        }
        if request.headers.contains_key(header::ORIGIN) {
            told.bucket = bucket_name(&target).ok();
        }
        // Whose form it is stands in its fields.
        let by_form = operation == Operation::PostObject;
        let caller = match by_form {
            true => self.authenticator.anonymous(),
            false => self.identify(request, operation, &target, &query).await?,
        };
        told.caller = Some(Arc::clone(&caller));
        let bucket = self.bucket(operation, &target).await?;
        let rules = self.rules(bucket.as_ref()).await?;
        told.rules = Some(Arc::clone(&rules));
        let call = Call {
            app: self,
            request,
            operation,
            target: &target,
            query: &query,
            caller,
            bucket,
            rules,
            decided,
            form: None,
        };
        if by_form {
            return handlers::handle(&call).await;
        }
        call.check_rules()?;
        if let Some(answer) = Box::pin(handlers::website::serve(&call)).await {
            return answer;
        }
        call.check_access().await?;
        handlers::handle(&call).await
    }

    fn check_limits(&self, request: &Request) -> Result<(), OssError> {
        let limits = &self.config.limits;
        let uri = request.target.path_and_query().map_or(0, |target| target.as_str().len());
        let uri_max = rpc::target_bytes_max(request, limits.uri_bytes);
        if uri > uri_max {
            return Err(target_too_long(uri_max));
        }
        let headers: usize =
            request.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if headers > limits.header_bytes {
            return Err(headers_too_large(limits.header_bytes));
        }
        check_framing(&request.headers)
    }

    fn health(&self, method: &Method) -> Result<Reply, OssError> {
        if method != Method::GET && method != Method::HEAD {
            return Err(OssError::method_not_allowed(method.as_str(), "Service"));
        }
        let (status, text) = match self.objects.health() {
            Health::Open => (StatusCode::OK, "ready"),
            // Reads and deletes go on, and only a human or a delete makes room again: no reason to be restarted.
            Health::Full(_) => (StatusCode::OK, "full"),
            Health::Poisoned(_) => (StatusCode::SERVICE_UNAVAILABLE, "poisoned"),
            Health::Closed => (StatusCode::SERVICE_UNAVAILABLE, "closed"),
        };
        // It serves all the same: what is damaged is refused by itself.
        let damaged = self.objects.scrub().damaged;
        let text = match damaged {
            0 => text.to_owned(),
            _ => format!("{text}; damaged: {damaged} findings of the scrub, see the log"),
        };
        let body = if method == Method::HEAD { String::new() } else { text };
        Ok(Reply::whole(status, body)
            .with(header::CONTENT_TYPE, HeaderValue::from_static("text/plain")))
    }

    async fn identify(
        &self,
        request: &Request,
        operation: Operation,
        target: &Target,
        query: &Query,
    ) -> Result<Arc<Caller>, OssError> {
        match self.verify(request, target, query) {
            Ok(caller) if caller.is_anonymous() => Ok(caller),
            Ok(caller) => self.check_place(request, query).map(|()| caller),
            Err(AuthRefusal::Other(error)) => Err(error),
            Err(AuthRefusal::Form) => Err(OssError::operation_not_implemented(operation.name())),
            // Existence probes rely on hearing of the missing bucket first.
            Err(AuthRefusal::UnknownKey(error)) => match self.bucket(operation, target).await {
                Err(absent) if absent.code() == ErrorCode::NoSuchBucket => Err(absent),
                _ => Err(error),
            },
        }
    }

    fn verify(
        &self,
        request: &Request,
        target: &Target,
        query: &Query,
    ) -> Result<Arc<Caller>, AuthRefusal> {
        let headers = HeaderView(&request.headers);
        let parts =
            RequestParts { method: request.method.as_str(), target, query, headers: &headers };
        let now = i64::try_from(self.clock.now_ms() / 1000).unwrap_or(i64::MAX);
        self.authenticator.identify(&parts, now)
    }

    /// The bucket named, if the operation needs one that exists.
    async fn bucket(
        &self,
        operation: Operation,
        target: &Target,
    ) -> Result<Option<Bucket>, OssError> {
        if target.bucket.is_none()
            || matches!(operation, Operation::PutBucket | Operation::PutBucketAcl)
        {
            return Ok(None);
        }
        let name = bucket_name(target).map_err(|refused| absent(operation, target, refused))?;
        match self.objects.bucket(&name).await {
            Ok(bucket) => Ok(Some(bucket)),
            Err(BucketError::NoSuchBucket) if is_reserved(&name) => {
                Err(OssError::new(ErrorCode::AccessDenied)
                    .with_message("The bucket you access does not belong to you.")
                    .with_field("BucketName", name.as_str()))
            }
            // Of these the service says so of any document where there is no bucket, and an SDK's suite asks for it.
            Err(BucketError::NoSuchBucket)
                if matches!(
                    operation,
                    Operation::PutBucketOverwriteConfig
                        | Operation::PutBucketObjectWormConfiguration
                ) =>
            {
                Err(OssError::malformed_xml("the bucket does not exist").with_ec(EC_BUCKET_XML))
            }
            Err(error) => Err(errors::bucket(error, &name)),
        }
    }
}

impl App {
    /// Only what is at hand: who is refused so early may name any bucket at no cost, and the store shall not pay for it.
    fn rules_of_refused(&self, request: &Request) -> Option<Arc<BucketRules>> {
        let name = bucket_name(&self.target_of(request)).ok()?;
        self.objects.rules_at_hand(&name)
    }

    pub(crate) fn target_of(&self, request: &Request) -> Target {
        let raw = request.target.path_and_query().map_or("/", |target| target.as_str());
        let host = host_of(&request.headers);
        let authority = request.target.authority().map(|authority| authority.as_str());
        self.addressing.resolve(Some(authority.unwrap_or(&host)), RequestTarget::split(raw).path)
    }

    /// What the access log tells of a request, as far as it is known when the answer begins.
    fn entry(
        &self,
        request: &Request,
        told: &Told,
        reply: &Reply,
        error: Option<&'static str>,
        (arrived_ms, started): (u64, Instant),
    ) -> Entry {
        let text = |name: &str| {
            first(&request.headers, name).map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let raw = request.target.path_and_query().map_or("/", |target| target.as_str());
        let host = host_of(&request.headers);
        let target = self.target_of(request);
        let stored = |name: &str| reply.headers.get(name)?.to_str().ok();
        let number = |name: &str| stored(name)?.rsplit('/').next()?.parse().ok();
        let announced = request.intake.length();
        let done = reply.status.is_success();
        let (object_size, delta) = match told.operation {
            _ if !done => (None, None),
            Some(Operation::GetObject) => (number("content-range").or(Some(reply.length())), None),
            Some(Operation::HeadObject) => (number("content-length"), None),
            Some(Operation::AppendObject) => (number("x-oss-next-append-position"), announced),
            Some(Operation::PutObject) => (announced, announced),
            Some(Operation::UploadPart) => (None, announced),
            _ => (None, None),
        };
        let headers = request.headers.iter();
        let head =
            headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
                + request.method.as_str().len()
                + raw.len()
                + "  HTTP/1.1\r\n\r\n".len();
        let caller = told.caller.as_ref().filter(|caller| !caller.is_anonymous());
        Entry {
            peer: Some(request.peer.ip()),
            arrived_ms,
            method: request.method.as_str().to_owned(),
            target: raw.to_owned(),
            version: match request.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            status: reply.status.as_u16(),
            referer: text("referer"),
            user_agent: text("user-agent"),
            host,
            request_id: request.id.as_str().to_owned(),
            requester: caller.map(|_| self.account.clone()),
            operation: told.operation.map_or("-", Operation::name),
            bucket: String::from_utf8_lossy(target.bucket.as_deref().unwrap_or_default())
                .into_owned(),
            object: target.key.as_deref().or(request.posted_key()).map(uri::encode),
            object_size,
            server_ms: millis_since(started),
            error,
            request_bytes: announced.unwrap_or(0).saturating_add(head as u64),
            owner: self.account.clone(),
            delta,
            storage_class: stored("x-oss-storage-class").map(str::to_ascii_lowercase),
            access_key_id: caller
                .and_then(|caller| caller.access_key_id.as_deref().map(str::to_owned)),
            ..Entry::default()
        }
    }

    async fn rules(&self, bucket: Option<&Bucket>) -> Result<Arc<BucketRules>, OssError> {
        match bucket {
            Some(bucket) => {
                let rules = self.objects.rules(&bucket.name).await;
                rules.map_err(|failure| errors::failure(&failure))
            }
            None => Ok(Arc::default()),
        }
    }

    /// Adds what a page of another origin needs to see, to errors as well: one that came before the bucket was looked up, too.
    async fn cors(&self, request: &Request, told: &Told, reply: &mut Reply) {
        let rules = match (&told.rules, &told.bucket) {
            (Some(rules), _) => Arc::clone(rules),
            (None, Some(name)) if reply.status != StatusCode::NOT_FOUND => {
                self.objects.rules(name).await.unwrap_or_default()
            }
            _ => return,
        };
        let preflight = told.operation == Some(Operation::OptionObject);
        let method = request.method.as_str();
        let headers = &mut reply.headers;
        handlers::cors::decorate(&request.headers, method, preflight, &rules, headers);
    }
}

/// What a proxy in front may read otherwise than this server does: two hosts, or a body under more codings than `chunked`, which
/// would be stored as it is coded.
fn check_framing(headers: &HeaderMap) -> Result<(), OssError> {
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(OssError::new(ErrorCode::InvalidArgument)
            .with_message("The Host header must not be given more than once."));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next().map(|value| value.as_bytes().trim_ascii());
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
    {
        return Err(OssError::header_not_implemented("Transfer-Encoding"));
    }
    Ok(())
}

/// The name of the service's own bucket. Nobody has it there, so nobody may make it here; one SDK's suite relies on it for a
/// bucket of somebody else. One that a data folder has already is like any other.
pub(crate) fn is_reserved(name: &BucketName) -> bool {
    name.as_str() == "oss"
}

/// What is told of a bucket whose name breaks the rules. Buckets of old may have underscores, which none can be made with
/// any more: a name that breaks no other rule belongs to a bucket that is not there.
fn absent(operation: Operation, target: &Target, refused: OssError) -> OssError {
    let name = target.bucket_str().unwrap_or_default();
    let old = name.contains('_') && BucketName::new(&name.replace('_', "a")).is_ok();
    if !old || matches!(operation, Operation::PutBucket | Operation::PutBucketAcl) {
        return refused;
    }
    OssError::new(ErrorCode::NoSuchBucket).with_field("BucketName", name)
}

/// The bucket's name, checked.
fn bucket_name(target: &Target) -> Result<BucketName, OssError> {
    let invalid = || {
        let name = target.bucket.as_deref().unwrap_or_default();
        OssError::new(ErrorCode::InvalidBucketName)
            .with_field("BucketName", String::from_utf8_lossy(name))
    };
    let name = target.bucket_str().ok_or_else(invalid)?;
    BucketName::new(name).map_err(|_| invalid())
}

impl Call<'_> {
    /// What the bucket asks of every request, before anybody's rights are looked at.
    pub(crate) fn check_rules(&self) -> Result<(), OssError> {
        let denied = |message: &'static str| {
            let name = self.bucket.as_ref().map(|bucket| bucket.name.as_str());
            OssError::new(ErrorCode::AccessDenied)
                .with_message(message)
                .with_field("BucketName", name.unwrap_or_default())
        };
        if let Some(referer) = &self.rules.referer
            && self.header("authorization").is_none()
            && self.operation != Operation::PostObject
            && !referer.allows(&String::from_utf8_lossy(self.header("referer").unwrap_or_default()))
        {
            return Err(denied("You are denied by bucket referer policy."));
        }
        if self.rules.payment.requester
            && self.caller.is_anonymous()
            && self.header_text("x-oss-request-payer") != Some("requester")
        {
            let message = "Access denied for requester pay bucket";
            return Err(denied(message).with_ec("0003-00000703"));
        }
        self.header_text("x-oss-object-acl").map_or(Ok(()), |acl| self.check_acl(acl))
    }

    /// Whether an object may be given this ACL.
    pub(crate) fn check_acl(&self, acl: &str) -> Result<(), OssError> {
        if self.rules.blocked && matches!(acl, "public-read" | "public-read-write") {
            let name = self.bucket.as_ref().map(|bucket| bucket.name.as_str());
            return Err(OssError::new(ErrorCode::AccessDenied)
                .with_message("Public access is blocked: the ACL must not be public.")
                .with_field("BucketName", name.unwrap_or_default()));
        }
        Ok(())
    }

    /// The account of the caller; `None` for nobody in particular.
    pub(crate) fn requester(&self) -> Option<&str> {
        (!self.caller.is_anonymous()).then_some(self.app.account.as_str())
    }

    /// Whether an object under this key must not be overwritten by this caller, whatever its request says.
    pub(crate) fn overwrite_forbidden(&self, key: &ObjectKey) -> bool {
        let account = &self.app.account;
        let names =
            |principal: &str, who: &str| principal.ends_with(&format!(":ram::{account}:{who}"));
        self.rules.overwrite.forbids(key.as_str(), |principal| {
            principal == "*"
                || match &self.caller.principal {
                    Principal::Anonymous => false,
                    _ if principal == account => true,
                    Principal::Account => names(principal, "root"),
                    Principal::User { id, name } => {
                        principal == &**id || names(principal, &format!("user/{name}"))
                    }
                    Principal::Session { role, session, .. } => {
                        names(principal, &format!("role/{role}"))
                            || principal
                                == format!("arn:sts::{account}:assumed-role/{role}/{session}")
                    }
                }
        })
    }

    /// The most bytes that may come under a key, by the bucket's quota, beside the announced lengths of other uploads under way.
    /// `appends` when they are added to what is there.
    pub(crate) async fn quota_room(
        &self,
        key: &ObjectKey,
        appends: bool,
        announced: Option<u64>,
    ) -> Result<u64, OssError> {
        let Some(quota) = self.rules.quota.filter(|quota| quota.strict) else {
            return Ok(u64::MAX);
        };
        let name = self.bucket_name()?;
        let replaced = match self.app.objects.head(&name, key).await {
            // Where versions are kept nothing is replaced.
            Ok(info) if !appends && info.version_id.is_none() => info.length,
            Err(ReadObjectError::Store(failure)) => return Err(errors::failure(&failure)),
            Ok(_) | Err(_) => 0,
        };
        for _ in 0..QUOTA_TRIES {
            let seen = self.app.under_way.ended();
            let stat = self.app.objects.bucket_stat(&name).await;
            let used = stat.map_err(|error| errors::bucket(error, &name))?.storage;
            // What does not grow the bucket is free, however full it is.
            let room_beside = |under_way: u64| {
                let used = used.saturating_add(under_way);
                quota.bytes.saturating_sub(used.saturating_sub(replaced)).max(replaced)
            };
            let growth = announced.unwrap_or(0).saturating_sub(replaced);
            match self.app.under_way.begin(&name, seen, growth, room_beside, announced) {
                Begun::Held(room, hold) => {
                    // It counts until its answer is known. A second one of the same request is of the same bytes.
                    let _ = self.request.kept.set(Box::new(hold));
                    return Ok(room);
                }
                Begun::Full => break,
                Begun::Unsure => {}
            }
        }
        Err(OssError::new(ErrorCode::QuotaExceeded)
            .with_field("BucketName", name.as_str())
            .with_field("StorageQuota", quota.bytes.to_string()))
    }

    /// The bucket's name. Only for operations that name one.
    pub(crate) fn bucket_name(&self) -> Result<BucketName, OssError> {
        match &self.bucket {
            Some(bucket) => Ok(bucket.name.clone()),
            None => bucket_name(self.target),
        }
    }

    /// The key, checked.
    pub(crate) fn key(&self) -> Result<ObjectKey, OssError> {
        let key = self.target.key.as_deref().unwrap_or_default();
        ObjectKey::from_bytes(key).map_err(|error| {
            OssError::from(error).with_field("ObjectName", String::from_utf8_lossy(key))
        })
    }

    /// All headers of the request.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// The value of a header, as bytes.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        first(&self.request.headers, name)
    }

    /// The value of a header as text without outer blanks; `None` if it is absent, empty or no UTF-8.
    pub(crate) fn header_text(&self, name: &str) -> Option<&str> {
        let text = std::str::from_utf8(self.header(name)?.trim_ascii()).ok()?;
        (!text.is_empty()).then_some(text)
    }
}

pub(crate) fn host_of(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    host_or_default(&String::from_utf8_lossy(host)).to_owned()
}

/// Errors name the host that the client used and must not name nothing: SDKs test that.
fn host_or_default(host: &str) -> &str {
    if host.trim().is_empty() { "localhost" } else { host }
}
