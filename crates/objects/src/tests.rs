//! The object layer on the reference store: plain, and hostile with several seeds; with one partition a bucket and with three.
//! One of the tests, `model`, also runs on the local engine.

mod append;
mod buckets;
mod config;
mod copy;
mod crash;
mod encryption;
mod lifecycle;
mod list;
mod model;
mod multipart;
mod pack;
mod put;
mod reaper;
mod retention;
mod support;
mod versions;
