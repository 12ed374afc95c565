//! Work that runs beside the requests, for as long as its handle lives.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
};

use tokio::task::JoinHandle;

/// The running work; ends with this handle.
#[derive(Debug)]
pub(crate) struct Background(Mutex<Option<JoinHandle<()>>>);

impl Background {
    /// `None` is work that is switched off.
    pub(crate) fn start(work: Option<impl Future<Output = ()> + Send + 'static>) -> Self {
        Self(Mutex::new(work.map(tokio::spawn)))
    }

    /// Stops it: at any point, which it is made for (I10).
    pub(crate) async fn stop(&self) {
        let task = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            // Cancelled, which is what was asked for.
            let _ = task.await;
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(task) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}
