//! The object layer on the reference store: plain, and hostile with several seeds; with one partition a bucket and with three.

mod append;
mod buckets;
mod copy;
mod crash;
mod list;
mod pack;
mod put;
mod reaper;
mod support;
