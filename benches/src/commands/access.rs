//! `access`: what it costs to know who sends a request and whether that may be, with many users and long policies.
//!
//! In this process and on one thread, by its CPU time: over sockets so few microseconds would drown in everything else. What runs is
//! what the server runs: the claim is read, the key looked up, the signature verified, the decision made.

use std::{hint::black_box, sync::Arc, time::Duration};

use ossia_access::{Caller, Right, Site, decide};
use ossia_keys::MasterKeys;
use ossia_protocol::{
    addressing::Target,
    attributes::BucketAcl,
    auth::{self, HeaderList, Lookup, RequestParts, Secret, Signed, Signer, VerifyOptions},
    policy::{Ask, Conditions, Resource},
    query::Query,
};
use ossia_ram::{
    Found, Judge, Limits, Node, Nonce, Object, Params, RAM_VERSION, Ram, RamRequest, SigningKeys,
    guid,
};
use ossia_store::{MemoryOptions, MemoryStore};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    error::BenchError,
    measure::{Aims, Bench, block_on},
    report::{Cell, Table},
    stats::median,
    wire::Signature,
};

const ACCOUNT: &str = "1000000000000001";
const REGION: &str = "cn-hangzhou";
const BUCKET: &str = "bench";
const KEY: &str = "logs/app-0042.log";
const USERS: u64 = 1_000;
const STATEMENTS: usize = 50;
/// When all of it happens, in Unix seconds: signatures do not age here.
const NOW: i64 = 1_768_465_845;
const ROOT: &str = "ossia-bench";
const ROOT_SECRET: &str = "ossia-bench-secret";

/// The root key sets everything up.
struct Anything;

impl Judge for Anything {
    fn allows(&self, _: &Caller, _: &str, _: &str) -> bool {
        true
    }

    fn trusts(&self, _: &Caller, _: &ossia_protocol::policy::Policy) -> bool {
        true
    }
}

/// The requests of one who signs.
struct Sender {
    v1: HeaderList,
    v4: HeaderList,
}

/// Root and users in turn, then the tables.
pub(crate) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let users = bench.options.pick(USERS, 20);
    let ram = block_on(Filled::new(users))?;
    let root = Sender::new(ROOT, ROOT_SECRET);
    let signatures = [Signature::V1, Signature::V4];
    let mut table = Table::new(
        format!(
            "Verifying an append's signature and deciding on it: {users} users, each with a policy of {STATEMENTS} statements \
             of which the last allows it"
        ),
        &["signature", "who", "us/request", "of which deciding us"],
    );
    let mut aims = Aims::default();
    for signature in signatures {
        let mut by_root = vec![];
        let mut by_users = vec![];
        for _ in 0..bench.options.rounds() {
            let each = bench.options.window();
            by_root.push(measure(each, signature, std::slice::from_ref(&root), &ram)?);
            by_users.push(measure(each, signature, &ram.senders, &ram)?);
        }
        let mut row = |who: &str, taken: &[Cost]| {
            let all = median(taken.iter().map(|cost| cost.all_us));
            table.row([
                Cell::text(signature.name()),
                Cell::text(who),
                Cell::number(all, 2),
                Cell::number(median(taken.iter().map(|cost| cost.deciding_us)), 2),
            ]);
            all
        };
        row("root", &by_root);
        let all = row("a user", &by_users);
        aims.at_most(format!("signature {} and decision, us", signature.name()), 15.0, all);
    }
    table
        .note("CPU time of one thread; users take turns, so that no cache holds only one of them.");
    bench.report.table(&table);
    aims.report(&mut bench.report);
    Ok(())
}

/// What a request cost.
struct Cost {
    all_us: f64,
    deciding_us: f64,
}

/// Users with keys and policies, and the root's V4 keys.
struct Filled {
    ram: Arc<Ram>,
    senders: Vec<Sender>,
    root: Arc<Caller>,
    root_secret: Secret,
    root_keys: SigningKeys,
    options: VerifyOptions,
}

/// Requests for so long, all by these in turn.
fn measure(
    window: Duration,
    signature: Signature,
    senders: &[Sender],
    filled: &Filled,
) -> Result<Cost, BenchError> {
    let requests = |decides: bool| -> Result<f64, BenchError> {
        // What is new costs more: keys are derived in the first turn.
        for sender in senders {
            filled.request(sender, signature, decides)?;
        }
        let (begun, mut count) = (cpu(), 0_u32);
        while cpu() - begun < window / 2 {
            for sender in senders.iter().cycle().take(256.max(senders.len())) {
                filled.request(sender, signature, decides)?;
                count += 1;
            }
        }
        Ok((cpu() - begun).as_secs_f64() * 1e6 / f64::from(count))
    };
    let (all_us, verifying_us) = (requests(true)?, requests(false)?);
    Ok(Cost { all_us, deciding_us: (all_us - verifying_us).max(0.0) })
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl Filled {
    async fn new(users: u64) -> Result<Filled, BenchError> {
        let master = MasterKeys::ephemeral().map_err(broken)?;
        let store = Arc::new(MemoryStore::new(MemoryOptions::default()));
        let ram = Ram::open(store, Arc::new(master), ACCOUNT, Limits::default());
        let mut filled = Filled {
            ram: ram.await.map_err(broken)?,
            senders: Vec::new(),
            root: Arc::new(Caller::account(ROOT)),
            root_secret: Secret::new(ROOT_SECRET),
            root_keys: SigningKeys::default(),
            options: VerifyOptions { region: REGION.to_owned(), ..VerifyOptions::default() },
        };
        for number in 0..users {
            let (user, policy) = (format!("user-{number}"), format!("policy-{number}"));
            let document = document(number);
            filled.call("CreateUser", &[("UserName", &user)]).await?;
            let named = [("PolicyName", policy.as_str()), ("PolicyDocument", &document)];
            filled.call("CreatePolicy", &named).await?;
            let attached =
                [("PolicyType", "Custom"), ("PolicyName", &policy), ("UserName", user.as_str())];
            filled.call("AttachPolicyToUser", &attached).await?;
            let made = filled.call("CreateAccessKey", &[("UserName", &user)]).await?;
            let Some(Node::Object(key)) = made.get("AccessKey") else {
                return Err(broken("CreateAccessKey told no key"));
            };
            let member = |wanted| {
                key.iter().find_map(|(name, value)| match value {
                    Node::Text(text) if *name == wanted => Some(text.as_str()),
                    _ => None,
                })
            };
            let (Some(id), Some(secret)) = (member("AccessKeyId"), member("AccessKeySecret"))
            else {
                return Err(broken("CreateAccessKey told no secret"));
            };
            filled.senders.push(Sender::new(id, secret));
        }
        Ok(filled)
    }

    async fn call(&self, action: &str, params: &[(&str, &str)]) -> Result<Object, BenchError> {
        let request = RamRequest {
            action: action.to_owned(),
            version: RAM_VERSION.to_owned(),
            params: Params::of(params.iter().copied()),
            caller: Arc::clone(&self.root),
            judge: Box::new(Anything),
            nonce: Nonce::new("root", &guid(), i64::MAX),
            now_ms: NOW.unsigned_abs() * 1_000,
        };
        self.ram.call(request).await.map_err(|fault| broken(format!("{action}: {fault:?}")))
    }

    /// Verifies one request of a sender, and decides on it if that is asked for.
    fn request(
        &self,
        sender: &Sender,
        signature: Signature,
        decides: bool,
    ) -> Result<(), BenchError> {
        let headers = match signature {
            Signature::V4 => &sender.v4,
            _ => &sender.v1,
        };
        let (target, query) = ask();
        let parts = RequestParts { method: "POST", target: &target, query: &query, headers };
        let Signed::Claimed(claim) = auth::detect(&parts).map_err(broken)? else {
            return Err(broken("the request is not signed"));
        };
        let credential;
        let (caller, secret, keys) = if claim.access_key_id() == ROOT {
            (&self.root, &self.root_secret, &self.root_keys)
        } else {
            let Found::Credential(found) =
                self.ram.find(claim.access_key_id(), claim.token(), NOW.unsigned_abs())
            else {
                return Err(broken("the key is not known"));
            };
            credential = found;
            (&credential.caller, credential.secret(), credential.signing_keys())
        };
        let key = claim.scope().map(|scope| keys.of(secret, &scope));
        let lookup = Lookup::Found { secret, signing_key: key.as_deref() };
        auth::verify(&claim, &parts, lookup, NOW, &self.options).map_err(broken)?;
        if let (Some(scope), Some(key)) = (claim.scope(), key) {
            keys.keep(&scope, key);
        }
        if !decides {
            return Ok(());
        }
        let name = format!("acs:oss:{REGION}:{ACCOUNT}:{BUCKET}/{KEY}");
        let conditions = Conditions {
            user_agent: Some("aliyun-sdk-nodejs/6.23.0".into()),
            access_id: caller.access_key_id.as_deref().map(Into::into),
            now: NOW,
            ..Conditions::default()
        };
        let ask = Ask {
            action: "oss:PutObject",
            resource: Resource::new(&name),
            conditions: &conditions,
        };
        let site = Site {
            account: ACCOUNT,
            policy: None,
            blocked: false,
            bucket_acl: BucketAcl::Private,
            object_acl: None,
        };
        match black_box(decide(caller, Right::Write, &ask, &site)).allowed {
            true => Ok(()),
            false => Err(broken("a request was refused that is allowed")),
        }
    }
}

impl Sender {
    fn new(key_id: &str, secret: &str) -> Sender {
        let secret = Secret::new(secret);
        let (target, query) = ask();
        let signed = |signature| {
            let mut headers = HeaderList::new();
            for (name, value) in [
                ("host", "bench.oss-cn-hangzhou.aliyuncs.com"),
                ("content-type", "application/octet-stream"),
                ("content-length", "1024"),
                ("user-agent", "aliyun-sdk-nodejs/6.23.0"),
                ("x-oss-meta-source", "camera-17"),
            ] {
                headers.push(name, value);
            }
            let parts =
                RequestParts { method: "POST", target: &target, query: &query, headers: &headers };
            let signer = Signer::new(key_id, &secret, REGION);
            let lines = match signature {
                Signature::V4 => auth::sign_v4_header(&parts, &signer, &[], NOW),
                _ => auth::sign_v1_header(&parts, &signer, NOW),
            };
            for (name, value) in &lines {
                headers.push(name, value);
            }
            headers
        };
        Sender { v1: signed(Signature::V1), v4: signed(Signature::V4) }
    }
}

/// The append that everybody sends.
fn ask() -> (Target, Query) {
    let query = Query::parse(b"append&position=1048576").unwrap_or_default();
    (Target::new(Some(BUCKET), Some(KEY)), query)
}

/// A policy of many statements, the last of which is the one that counts.
fn document(number: u64) -> String {
    let statement = |resource: &str| {
        format!(
            r#"{{"Effect":"Allow","Action":["oss:GetObject","oss:PutObject"],"Resource":"{resource}"}}"#
        )
    };
    let others = (1..STATEMENTS).map(|n| statement(&format!("acs:oss:*:*:b{number}/d{n}/*")));
    let statements: Vec<String> =
        others.chain([statement(&format!("acs:oss:*:*:{BUCKET}/logs/*"))]).collect();
    format!(r#"{{"Version":"1","Statement":[{}]}}"#, statements.join(","))
}

fn broken(what: impl std::fmt::Display) -> BenchError {
    BenchError::answer(what.to_string())
}
