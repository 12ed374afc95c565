//! The record of a run: who asked for what, when, and what came of it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ossia_model::{Answer, Operation, Reply};

/// One operation of one client.
#[derive(Debug, Clone)]
pub struct Event {
    /// Whose.
    pub client: u16,
    /// The client's how many-th.
    pub number: u32,
    /// What was asked for.
    pub operation: Operation,
    /// The moment before anything was sent. Moments are counted, not measured.
    pub begun: u64,
    /// The moment after the answer had arrived, or hope for one was given up.
    pub ended: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// Whose bytes were read; for people.
    pub made_of: String,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that tells something, a refusal as well.
    Answered(Answer),
    /// It certainly did not happen, and nothing was learnt.
    NotDone(Why),
    /// It may have happened.
    Unknown(Why),
    /// An answer that no correct server gives, whatever happened before.
    Impossible(String),
}

/// Why there is no answer that tells something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// The status, if a server answered at all.
    pub status: Option<u16>,
    /// For people.
    pub text: String,
}

/// Everything that happened in some time.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The operations, in the order of their ends.
    pub events: Vec<Event>,
    /// The moments at which a server was dead.
    pub cuts: Vec<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    moment: u64,
    acknowledged: u64,
    batch: Batch,
}

impl Inner {
    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }
}

/// The record, shared by all clients. Its clones are one.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Inner>>);

impl History {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an operation is about to be sent. If the returned value is dropped without an end, the outcome is unknown.
    pub fn begin(&self, client: u16, number: u32, operation: Operation) -> Pending {
        let begun = self.lock().tick();
        Pending { history: self.clone(), begun, of: Some((client, number, operation)) }
    }

    /// Notes that the server is dead: what had no answer by now has happened or never will. Call it when the process has been
    /// waited for, and before another is started.
    pub fn cut(&self) {
        let mut inner = self.lock();
        let moment = inner.tick();
        inner.batch.cuts.push(moment);
    }

    /// How many changes have been acknowledged, since the beginning.
    pub fn acknowledged(&self) -> u64 {
        self.lock().acknowledged
    }

    /// Takes out what has been recorded so far.
    pub fn take(&self) -> Batch {
        std::mem::take(&mut self.lock().batch)
    }
}

/// An operation that is under way.
#[derive(Debug)]
pub struct Pending {
    history: History,
    begun: u64,
    of: Option<(u16, u32, Operation)>,
}

impl Pending {
    /// Notes how it ended.
    pub fn end(mut self, outcome: Outcome, made_of: String) {
        self.record(outcome, made_of);
    }

    fn record(&mut self, outcome: Outcome, made_of: String) {
        let Some((client, number, operation)) = self.of.take() else { return };
        let mut inner = self.history.lock();
        let ended = inner.tick();
        inner.acknowledged += u64::from(outcome.changed());
        let begun = self.begun;
        inner.batch.events.push(Event {
            client,
            number,
            operation,
            begun,
            ended,
            outcome,
            made_of,
        });
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let why = Why { status: None, text: "its client was stopped".to_owned() };
        self.record(Outcome::Unknown(why), String::new());
    }
}

impl Outcome {
    /// Whether it acknowledges a change.
    pub fn changed(&self) -> bool {
        match self {
            Outcome::Answered(Answer::One(reply)) => !reply.changes_nothing(),
            Outcome::Answered(Answer::Copied { .. } | Answer::CopiedPart { .. } | Answer::Done) => {
                true
            }
            _ => false,
        }
    }

    /// Whether it is a refusal that reveals state.
    pub fn refused(&self) -> bool {
        matches!(self, Outcome::Answered(Answer::One(Reply::Refused(_))))
    }

    /// Whether the server could not be reached, or its answer broke off.
    pub fn server_is_gone(&self) -> bool {
        matches!(self, Outcome::NotDone(why) | Outcome::Unknown(why) if why.status.is_none())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
