//! Single-request bandwidth limits (`x-oss-traffic-limit`).

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// Holds a stream of chunks to a number of bytes a second: a chunk may pass when all bytes before it have had their time.
///
/// There is no credit for time spent idle, so a stalled client cannot save up for a burst.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    next: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// A pace of `bits_per_second`, as the header gives it.
    pub(crate) fn new(bits_per_second: u64) -> Pace {
        Pace { bytes_per_second: (bits_per_second / 8).max(1), next: Instant::now(), sleep: None }
    }

    /// Ready when the next chunk may pass.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.is_none() && self.next <= Instant::now() {
            return Poll::Ready(());
        }
        let next = self.next;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.sleep = None;
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Notes that `bytes` have passed.
    pub(crate) fn passed(&mut self, bytes: usize) {
        let nanos = (bytes as u128 * 1_000_000_000) / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let next = self.next.max(Instant::now());
        self.next = next.checked_add(cost).unwrap_or(next);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn chunks_take_the_time_that_the_limit_gives_them() {
        let start = Instant::now();
        let mut pace = Pace::new(8_000); // 1,000 bytes a second
        for _ in 0..4 {
            poll_fn(|cx| pace.poll_turn(cx)).await;
            pace.passed(500);
        }
        poll_fn(|cx| pace.poll_turn(cx)).await;
        let taken = start.elapsed();
        assert!(
            taken >= Duration::from_secs(2) && taken < Duration::from_millis(2_100),
            "{taken:?}"
        );
    }
}
