//! What clients did and saw, and whether one server that loses nothing can have answered so.
//!
//! ```text
//! Workload -- operations --> Target -- HTTP --> the server
//!     '------ History <------ outcomes ----'
//!                '--> Checker, by the specification in `ossia-model`
//! ```
//!
//! A round of a run is: [`Workload::run`] until the supervisor cuts the power or kills the server, [`History::cut`] once the process
//! is dead, a start, [`read_back`], and [`Checker::absorb`] over [`History::take`].
//!
//! What is claimed: for each object there is one order of all operations on it, in agreement with when they began and ended, in
//! which the specification gives every answer that was given. Operations without an answer may have happened, at any moment up to
//! the cut, or not. A copy, of a part too, reads its source at one moment and writes its destination at another, both while it
//! runs; a listing looks at each object, and each upload, at a moment of its own. A completion ends the upload and replaces the
//! object at one. Nothing in between is forgiven: a cut is no excuse for losing an answer.
//!
//! An operation is added in `ossia-model` (its effect), in `send` (how it travels) and in `workload` (when it is chosen); one that
//! concerns several objects also in `parts`.

mod body;
mod check;
mod contents;
mod event;
mod parts;
mod read_back;
mod search;
mod send;
mod story;
mod uploads;
mod workload;

pub use body::{attribute, stamped};
pub use check::{Checker, Figures, Tolerance, Violation};
pub use event::{Batch, Event, History, Outcome, Pending, Why};
pub use read_back::{ReadBackError, read_back};
pub use send::Target;
pub use workload::{Settings, Workload};

#[cfg(test)]
mod tests;
