//! The words of the OSS protocol: names and limits, operations and their dispatch, codecs for headers, queries and XML,
//! error codes, signatures, CRC-64.
//!
//! Pure functions only: nothing here opens a socket, reads a clock, touches a disk or knows about async. Server, client and
//! command line share it, so a rule of the protocol is written once.

pub mod addressing;
pub mod attributes;
pub mod auth;
pub mod callback;
pub mod conditions;
pub mod crc64;
pub mod error;
pub mod etag;
pub mod form_data;
pub mod names;
pub mod network;
pub mod operation;
pub mod policy;
pub mod query;
pub mod range;
pub mod time;
pub mod uri;
pub mod xml;
