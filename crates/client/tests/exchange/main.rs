//! The client against a server of canned answers: what it sends, what it reads, what it does when an answer is lost.

#![expect(
    clippy::unwrap_used,
    reason = "a panic in a test is a failed assertion with a line number"
)]

mod forms;
mod retries;
mod stub;
