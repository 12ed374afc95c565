//! The store's contract, all of it, on the local engine: with its defaults, with everything tiny, and with a journal so short that
//! its segments are emptied and used again all the time, in three shards.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed assertion with a line number")]

mod common;

use std::sync::Arc;

use common::Folder;
use ossia_engine::{EngineOptions, LocalEngine};
use ossia_store::{BoxFuture, Store, conformance::Subject};

struct Local {
    folder: Folder,
    options: fn(&Folder) -> EngineOptions,
}

impl Subject for Local {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
        let engine = LocalEngine::open((self.options)(&self.folder)).unwrap();
        Box::pin(async move { Arc::new(engine) as Arc<dyn Store> })
    }

    fn is_durable(&self) -> bool {
        true
    }
}

fn local(options: fn(&Folder) -> EngineOptions) -> Local {
    Local { folder: Folder::new(), options }
}

mod by_default {
    use super::{EngineOptions, local};

    ossia_store::conformance_tests!(local(|folder| EngineOptions {
        reserve_bytes: 0,
        ..EngineOptions::new(folder.path())
    }));
}

mod tiny {
    use super::{common::options, local};

    ossia_store::conformance_tests!(local(options));
}

mod emptied_all_the_time {
    use super::{common::short_journal, local};
    use ossia_engine::EngineOptions;

    ossia_store::conformance_tests!(local(|folder| EngineOptions {
        shards: 3,
        ..short_journal(folder)
    }));
}
