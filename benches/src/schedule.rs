//! When an open loop sends: at fixed times that do not care how fast the server answers.
//!
//! A closed loop sends the next request when the last one was answered, so a server that stalls is asked less while it stalls,
//! and the stall counts once. Here every request has a time at which it was to be sent, and its latency counts from there.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Requests at a fixed rate, dealt to the connections in turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// When request 0 is due.
    pub(crate) start: Instant,
    /// Requests a second over all connections.
    pub(crate) per_second: f64,
    /// How many connections share them.
    pub(crate) connections: usize,
}

impl Schedule {
    /// When the request with this number, counted over all connections, is due.
    pub(crate) fn due(&self, request: u64) -> Instant {
        self.start + Duration::from_secs_f64(request as f64 / self.per_second)
    }

    /// When a connection's own request number `turn` is due.
    pub(crate) fn due_on(&self, connection: usize, turn: u64) -> Instant {
        self.due(turn * self.connections as u64 + connection as u64)
    }

    /// How many requests of a connection are due before `end`, from its `turn` on.
    pub(crate) fn left_on(&self, connection: usize, turn: u64, end: Instant) -> u64 {
        let seconds = end.saturating_duration_since(self.start).as_secs_f64();
        // The first request number that is due at `end` or later.
        let all = (seconds * self.per_second).ceil() as u64;
        let own = all.saturating_sub(connection as u64).div_ceil(self.connections as u64);
        own.saturating_sub(turn)
    }

    /// Wakes each connection when its request is due, until `end`. Blocks: tokio's timers tick in milliseconds, too coarse for
    /// latencies of a fraction of one, so this stands on a thread of its own.
    pub(crate) fn wake(&self, alarms: &[Arc<Notify>], end: Instant) {
        let mut request = 0;
        loop {
            let due = self.due(request);
            if due >= end || alarms.is_empty() {
                return;
            }
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                thread::sleep(early);
            }
            alarms[(request % alarms.len() as u64) as usize].notify_one();
            request += 1;
        }
    }
}

/// Waits until `due`. A permit kept from an earlier alarm ends a wait early, hence the loop.
pub(crate) async fn wait_until(due: Instant, alarm: &Notify) {
    while Instant::now() < due {
        alarm.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(per_second: f64, connections: usize) -> Schedule {
        Schedule { start: Instant::now(), per_second, connections }
    }

    #[test]
    fn requests_are_due_at_the_rate_whatever_their_number() {
        let schedule = schedule(4_000.0, 64);
        assert_eq!(schedule.due(0), schedule.start);
        assert_eq!(schedule.due(1) - schedule.start, Duration::from_micros(250));
        // No drift: an hour in, the time is still a product, not a sum.
        assert_eq!(schedule.due(14_400_000) - schedule.start, Duration::from_secs(3_600));
    }

    #[test]
    fn connections_take_turns_and_leave_no_request_out() {
        let schedule = schedule(1_000.0, 3);
        let mut dealt: Vec<Duration> = (0..3)
            .flat_map(|connection| (0..4).map(move |turn| (connection, turn)))
            .map(|(connection, turn)| schedule.due_on(connection, turn) - schedule.start)
            .collect();
        dealt.sort_unstable();
        let all: Vec<Duration> = (0..12).map(|n| schedule.due(n) - schedule.start).collect();
        assert_eq!(dealt, all);
    }

    #[test]
    fn what_is_left_is_what_is_due_before_the_end() {
        let schedule = schedule(1_000.0, 3);
        // Requests 0 to 9 are due before 10 ms: connection 0 has 0, 3, 6, 9; the others three each.
        let end = schedule.start + Duration::from_millis(10);
        let left: Vec<u64> = (0..3).map(|one| schedule.left_on(one, 0, end)).collect();
        assert_eq!(left, [4, 3, 3]);
        assert_eq!(schedule.left_on(0, 3, end), 1);
        assert_eq!(schedule.left_on(0, 4, end), 0);
        assert_eq!(schedule.left_on(2, 9, end), 0);
    }

    #[test]
    fn a_latecomer_is_measured_from_its_time_and_does_not_wait() {
        let schedule = schedule(1_000.0, 1);
        let (alarm, late) = (Notify::new(), schedule.start);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // Never woken: only a time in the past lets this return.
        runtime.block_on(wait_until(late, &alarm));
        assert!(Instant::now() >= late);
    }

    #[test]
    fn every_connection_is_woken_for_each_of_its_requests() {
        let schedule = schedule(2_000.0, 2);
        let end = schedule.start + Duration::from_millis(5);
        let alarms = [Arc::new(Notify::new()), Arc::new(Notify::new())];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let waker = thread::spawn({
            let alarms = alarms.clone();
            move || schedule.wake(&alarms, end)
        });
        runtime.block_on(async {
            for turn in 0..5 {
                for (connection, alarm) in alarms.iter().enumerate() {
                    wait_until(schedule.due_on(connection, turn), alarm).await;
                }
            }
        });
        waker.join().unwrap();
    }
}
