//! Reading everything after a start, as ordinary operations that the checker sees.

use std::fmt;

use ossia_model::{Answer, Operation, Step, UploadStep};

use super::event::{History, Outcome};
use super::send::Target;

/// The client that reads back.
const READER: u16 = 0xff;

/// Something cannot be read after a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBackError {
    /// What was asked for.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
}

impl fmt::Display for ReadBackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} got no answer after a start: {:?}", self.operation, self.outcome)
    }
}

impl std::error::Error for ReadBackError {}

/// Lists, heads and gets all of these keys, lists their versions where the bucket keeps any, and the parts of all uploads.
/// `round` numbers the operations, for people.
///
/// # Errors
/// [`ReadBackError`] for the first that has no answer. What an answer says is the checker's business.
pub async fn read_back(
    target: &Target,
    history: &History,
    keys: &[String],
    round: u32,
) -> Result<(), ReadBackError> {
    // From the end: what is found to be there is asked about as well.
    let mut operations = vec![Operation::List { prefix: String::new() }];
    operations.push(Operation::ListUploads { prefix: String::new() });
    for key in keys {
        for step in [Step::Head, Step::Get { range: None }] {
            operations.push(Operation::On { key: key.clone(), step });
        }
        if target.keeps_versions() {
            operations.push(Operation::On { key: key.clone(), step: Step::Versions });
        }
    }
    while let Some(operation) = operations.pop() {
        let pending = history.begin(READER, round, operation.clone());
        let (outcome, made_of) = target.send(&operation).await;
        pending.end(outcome.clone(), made_of);
        if let Outcome::Answered(Answer::Uploads(uploads)) = &outcome {
            let parts = |(key, upload): &(String, String)| {
                let (key, upload) = (key.clone(), upload.clone());
                Operation::On { key, step: Step::Upload(UploadStep::Parts { upload }) }
            };
            operations.extend(uploads.iter().map(parts));
        }
        if matches!(outcome, Outcome::NotDone(_) | Outcome::Unknown(_)) {
            return Err(ReadBackError { operation, outcome });
        }
    }
    Ok(())
}
