//! The benches.

pub(crate) mod access;
pub(crate) mod append;
pub(crate) mod list;
pub(crate) mod multipart;
pub(crate) mod one_object;
pub(crate) mod overload;
pub(crate) mod read;
pub(crate) mod soak;
pub(crate) mod soak_long;
