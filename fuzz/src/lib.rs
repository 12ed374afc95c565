//! What a fuzzer runs: everything that parses bytes from the network or the disk, in a target for each kind.
//!
//! A target takes any bytes, never panics on account of them, and checks more than that: what is decoded and encoded again is what it
//! was, the same bytes mean the same twice, a signature never holds for a changed request, a damaged journal never yields what was
//! not written. Memory and time are bounded by the fuzzer's own limits, and by those that the parsers state.
//!
//! This crate is an ordinary member of the workspace: its test replays the corpus and every input that ever found something, without
//! a fuzzer. `driver/` joins it to libFuzzer, and `cargo xtask fuzz` runs that.
//!
//! | target | what it parses |
//! |---|---|
//! | `request` | request target, host, query, operation, names, ranges, conditions, attributes, times |
//! | `xml` | documents of requests and answers, errors |
//! | `signature` | V1 and V4 in headers and queries |
//! | `form` | form fields, policies, the RPC style |
//! | `policy` | policy documents, and what they say of a request |
//! | `identities` | parameters of RAM and STS, tokens |
//! | `settings` | configuration, identity, endpoints, command lines |
//! | `records` | what the object layer stores: records and keys |
//! | `files` | what the engine stores: frames, transactions, values, headers |
//! | `journal` | a whole journal, damaged |

mod disk;
mod files;
mod form;
mod identities;
mod input;
mod journal;
mod policy;
mod records;
mod request;
mod settings;
mod signature;
mod xml;

/// Something to be fuzzed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its folder in `corpus/` and `regressions/`.
    pub name: &'static str,
    /// Runs it on one input. It panics when a property does not hold.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 10] = [
    Target { name: "request", run: request::run },
    Target { name: "xml", run: xml::run },
    Target { name: "signature", run: signature::run },
    Target { name: "form", run: form::run },
    Target { name: "policy", run: policy::run },
    Target { name: "identities", run: identities::run },
    Target { name: "settings", run: settings::run },
    Target { name: "records", run: records::run },
    Target { name: "files", run: files::run },
    Target { name: "journal", run: journal::run },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
