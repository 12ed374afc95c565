//! The parameters of RAM and STS: a line each, `Action=...&Name=value`, done one after another on one store.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ossia_access::Caller;
use ossia_keys::MasterKeys;
use ossia_protocol::{policy::Policy, query::Query};
use ossia_ram::{
    Format, Found, Judge, Limits, Nonce, Params, RAM_VERSION, Ram, RamRequest, STS_VERSION, check,
};
use ossia_store::{MemoryOptions, MemoryStore, Store};
use tokio::runtime::{Builder, Runtime};

use crate::input::text;

const NOW_MS: u64 = 1_767_225_600_000;
/// Lines of one input that are looked at.
const LINES_MAX: usize = 32;

struct Everything;

impl Judge for Everything {
    fn allows(&self, _: &Caller, _: &str, _: &str) -> bool {
        true
    }

    fn trusts(&self, _: &Caller, _: &Policy) -> bool {
        true
    }
}

/// No request repeats another one's nonce.
static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
}

pub(crate) fn run(data: &[u8]) {
    RUNTIME.with(|runtime| runtime.block_on(actions(data)));
}

async fn open(store: &Arc<dyn Store>, master: &Arc<MasterKeys>) -> Arc<Ram> {
    let limits = Limits { users: 8, policies: 8, session_seconds_min: 1, ..Limits::default() };
    let opened = Ram::open(Arc::clone(store), Arc::clone(master), "1000000000000001", limits).await;
    opened.expect("what was stored can be read")
}

async fn ask(ram: &Arc<Ram>, caller: &Arc<Caller>, version: &str, query: &Query) -> String {
    let params = Params::new(query, None);
    let action = params.get("Action").unwrap_or_default().to_owned();
    let request = RamRequest {
        action: action.clone(),
        version: version.to_owned(),
        params,
        caller: Arc::clone(caller),
        judge: Box::new(Everything),
        nonce: Nonce::new("fuzz", &COUNT.fetch_add(1, Ordering::Relaxed).to_string(), i64::MAX),
        now_ms: NOW_MS,
    };
    match ram.call(request).await {
        Ok(answer) => {
            assert!(answer.render(&action, "id", Format::Xml).starts_with("<?xml"));
            answer.render(&action, "id", Format::Json)
        }
        Err(fault) => {
            assert!((400..=404).contains(&fault.status) || fault.status == 409, "{fault}");
            fault.render("id", "host", Format::Json)
        }
    }
}

async fn everything(ram: &Arc<Ram>, caller: &Arc<Caller>) -> Vec<String> {
    let mut told = Vec::new();
    for list in ["ListUsers", "ListGroups", "ListRoles", "ListPolicies"] {
        let query = Query::parse(format!("Action={list}").as_bytes()).expect("it is one");
        told.push(ask(ram, caller, RAM_VERSION, &query).await);
    }
    told
}

async fn actions(data: &[u8]) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MemoryOptions::default()));
    let master = Arc::new(MasterKeys::ephemeral().expect("random bytes"));
    let ram = open(&store, &master).await;
    let root = Arc::new(Caller::account("root"));
    let session = Arc::new(Caller {
        principal: ossia_access::Principal::User { id: "2".into(), name: "fuzz".into() },
        ..Caller::account("user")
    });
    for line in text(data).lines().take(LINES_MAX) {
        // A forged token is none.
        let found = ram.find("STS.fuzz", Some(line), NOW_MS / 1000);
        assert!(matches!(found, Found::BadToken(_)), "{line}");
        let Ok(query) = Query::parse(line.as_bytes()) else { continue };
        ask(&ram, &root, RAM_VERSION, &query).await;
        ask(&ram, &session, STS_VERSION, &query).await;
    }
    // What is in memory is what is stored.
    let told = everything(&ram, &root).await;
    let again = open(&store, &master).await;
    assert_eq!(everything(&again, &root).await, told);
    assert!(check(&store).await.expect("a store in memory").is_empty());
}
