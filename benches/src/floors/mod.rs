//! What the machine can do at best: the floors that stand beside the server's figures in every run.
//!
//! | floor | what it does | what it leaves out |
//! |---|---|---|
//! | `lone` | one writer: write a record to a file of zeros, `fdatasync`, again | everything else |
//! | `log` | N waiting writers, one thread that writes what has gathered with one call, one `fdatasync` for all | network, HTTP, signatures, objects |
//! | `handler` | hyper, the V1 or V4 signature verified, CRC-64, the record into such a log, an answer with an append's headers | objects: no position is checked, nothing can be read back |
//! | `nginx` | a static file by `sendfile` | signatures, checksums, objects |

pub(crate) mod handler;
pub(crate) mod log;
pub(crate) mod lone;
pub(crate) mod nginx;
