//! What is done about identities now and then: when keys were last used is written, nonces that are over are forgotten, and after a
//! rotation of the master key secrets are sealed anew.

use std::{sync::Arc, time::Duration};

use ossia_objects::Clock;
use ossia_ram::Ram;
use tokio::task::JoinHandle;

/// Does it until it is closed, and writes the last uses once more then.
#[derive(Debug)]
pub(crate) struct LastUses {
    ram: Arc<Ram>,
    task: JoinHandle<()>,
}

/// Dropped without being closed it writes nothing more.
impl Drop for LastUses {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The least pause, whatever is set.
const PAUSE_MIN: Duration = Duration::from_millis(100);

impl LastUses {
    pub(crate) fn begin(ram: Arc<Ram>, clock: Arc<dyn Clock>, every: Duration) -> LastUses {
        let of = Arc::clone(&ram);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(every.max(PAUSE_MIN)).await;
                if let Err(error) = of.note_last_uses().await {
                    tracing::debug!(%error, "the last uses of keys could not be written");
                }
                if let Err(error) = of.forget_nonces(clock.now_ms() / 1000).await {
                    tracing::debug!(%error, "nonces that are over could not be forgotten");
                }
                match of.reseal().await {
                    Ok(0) => {}
                    Ok(keys) => tracing::info!(keys, "secrets are sealed under the new master key"),
                    Err(error) => tracing::debug!(%error, "secrets could not be sealed anew"),
                }
            }
        });
        LastUses { ram, task }
    }

    pub(crate) async fn close(&self) {
        self.task.abort();
        if let Err(error) = self.ram.note_last_uses().await {
            tracing::debug!(%error, "the last uses of keys could not be written");
        }
    }
}
