//! Latencies and medians: pure arithmetic.

/// Buckets per doubling: a value is known to within 1/128 of itself.
const STEP_BITS: u32 = 7;
const STEPS: usize = 1 << STEP_BITS;
/// One row of steps for the values below `STEPS`, one for each of the 57 doublings above.
const BUCKETS: usize = STEPS * (64 - STEP_BITS as usize + 1);

/// How often each latency occurred, in buckets that widen with the value. Its size does not depend on how much is recorded.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }
}

impl Histogram {
    /// Records one latency in nanoseconds.
    pub(crate) fn record(&mut self, nanos: u64) {
        self.counts[bucket_of(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// Adds what another one has recorded.
    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// The least latency that at least this share of all reached, by nearest rank, in nanoseconds. 0 if nothing was recorded.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = ((share * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return middle_of(bucket).min(self.max);
            }
        }
        0
    }

    /// The greatest latency, exactly.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }
}

fn bucket_of(nanos: u64) -> usize {
    let Some(shift) = nanos.checked_ilog2().and_then(|power| power.checked_sub(STEP_BITS)) else {
        return nanos as usize;
    };
    let step = (nanos >> shift) as usize & (STEPS - 1);
    (shift as usize + 1) * STEPS + step
}

fn middle_of(bucket: usize) -> u64 {
    match (bucket / STEPS).checked_sub(1) {
        None => bucket as u64,
        Some(shift) => {
            let low = ((STEPS + bucket % STEPS) as u64) << shift;
            low + (1 << shift) / 2
        }
    }
}

/// The median; `None` of nothing. Of an even number the mean of the middle two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let high = *values.get(upper)?;
    if values.len() % 2 == 1 {
        return Some(high);
    }
    Some((values[upper - 1] + high) / 2.0)
}

/// A generator of numbers that look random and are the same in every run (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^ (n >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_one_step_of_the_exact_ones() {
        let mut dice = Dice::new(7);
        let mut exact: Vec<u64> = (0..10_000).map(|_| dice.below(50_000_000)).collect();
        let mut histogram = Histogram::default();
        exact.iter().for_each(|value| histogram.record(*value));
        exact.sort_unstable();
        for (share, rank) in [(0.5, 5_000), (0.9, 9_000), (0.99, 9_900), (0.999, 9_990)] {
            let (found, wanted) = (histogram.quantile(share) as f64, exact[rank - 1] as f64);
            assert!((found / wanted - 1.0).abs() < 1.0 / 128.0, "{share}: {found} for {wanted}");
        }
        assert_eq!(histogram.max(), exact[9_999]);
        assert_eq!(histogram.quantile(1.0), middle_of(bucket_of(exact[9_999])).min(exact[9_999]));
    }

    #[test]
    fn small_values_are_exact_and_the_largest_fit() {
        for value in [0, 1, 100, 127] {
            assert_eq!(middle_of(bucket_of(value)), value);
        }
        assert_eq!(bucket_of(128), 128);
        assert!(bucket_of(u64::MAX) < BUCKETS);
        let mut previous = 0;
        for power in 0..64 {
            let bucket = bucket_of(1 << power);
            assert!(bucket >= previous, "buckets keep the order");
            previous = bucket;
        }
    }

    #[test]
    fn one_value_is_every_quantile() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0, "nothing recorded");
        histogram.record(90);
        for share in [0.0, 0.5, 0.99, 1.0] {
            assert_eq!(histogram.quantile(share), 90);
        }
    }

    #[test]
    fn merging_is_recording_both() {
        let (mut one, mut other, mut both) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        for value in 0..1_000_u64 {
            both.record(value * value);
            if value % 3 == 0 { &mut one } else { &mut other }.record(value * value);
        }
        one.merge(&other);
        for share in [0.1, 0.5, 0.99] {
            assert_eq!(one.quantile(share), both.quantile(share));
        }
        assert_eq!(one.max(), 998_001);
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median([9.0, 1.0, 5.0, 7.0]), Some(6.0));
    }
}
