//! What holds for a whole bucket at a moment: the server's clock, versions, retention, quota, and the rules of its lifecycle.

use crate::{Refusal, Version};

/// Seconds of a day of retention and restores. Lifecycle rules have days of a length of their own: [`Rules::day_s`].
pub(crate) const DAY_S: u64 = 86_400;
/// How long a policy that is not locked counts.
const UNLOCKED_MS: u64 = 24 * 3_600 * 1_000;
/// The id of the only version that a bucket makes which keeps none.
pub const NULL: &str = "null";

/// What a bucket does with what is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Versioning {
    /// It never kept anything.
    #[default]
    Never,
    /// Each write is a version of its own.
    Enabled,
    /// Each write replaces the version that is `null`; the others stay.
    Suspended,
}

/// A policy over all objects of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// For so many days after its last change an object stays as it is.
    pub days: u32,
    /// When it was begun, in milliseconds.
    pub created_ms: u64,
    /// Whether it is for ever.
    pub locked: bool,
}

/// What a bucket is set to, and the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The server's clock, in milliseconds. A history, which does not know it, leaves it at 0.
    pub now_ms: u64,
    /// What becomes of what is replaced.
    pub versioning: Versioning,
    /// The policy, over or not.
    pub policy: Option<Policy>,
    /// Objects have retentions of their own; if so, with this default: whether it is of compliance, and for how many days.
    pub retains: Option<Option<(bool, u32)>>,
    /// How long a restore takes, in milliseconds.
    pub restore_ms: u64,
    /// The most bytes of all versions and parts: what would come to more is refused.
    pub quota: Option<u64>,
    /// The lifecycle.
    pub rules: Rules,
}

/// Lifecycle rules for all keys of a bucket, each after so many days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// The length of a day, in seconds; 0 is that of a real one.
    pub day_s: u64,
    /// The current version is deleted.
    pub expire: Option<u64>,
    /// A version that another one stands on is removed.
    pub trim: Option<u64>,
    /// A delete marker that stands alone is removed.
    pub lone_markers: bool,
    /// The current version comes into an archive class.
    pub archive: Option<u64>,
    /// An upload is given up.
    pub abort: Option<u64>,
}

impl Rules {
    /// Whether something is due: at the begin of the first day at which the age is reached.
    pub(crate) fn is_due(&self, after: Option<u64>, since_s: u64, now_s: u64) -> bool {
        let day_s = if self.day_s == 0 { DAY_S } else { self.day_s };
        after.is_some_and(|days| (since_s + days * day_s).div_ceil(day_s) * day_s <= now_s)
    }
}

/// A change of what a bucket is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Keeps versions, or keeps no more of them. There is no way back to [`Versioning::Never`].
    Versioning(Versioning),
    /// Begins a policy of so many days.
    BeginPolicy(u32),
    /// Takes a policy back.
    AbortPolicy,
    /// Makes a policy last for ever.
    LockPolicy,
    /// Makes a policy longer.
    ExtendPolicy(u32),
    /// Lets objects have retentions of their own, with this default.
    Retain(Option<(bool, u32)>),
    /// Replaces the rules.
    Rules(Rules),
    /// Sets or takes away the quota.
    Quota(Option<u64>),
}

impl Bucket {
    /// The time in whole seconds.
    pub fn now_s(&self) -> u64 {
        self.now_ms / 1_000
    }

    /// The policy that counts now.
    pub fn active_policy(&self) -> Option<Policy> {
        let lapses = |policy: &Policy| policy.created_ms.saturating_add(UNLOCKED_MS);
        self.policy.filter(|policy| policy.locked || self.now_ms < lapses(policy))
    }

    /// Whether a version must stay as it is. A delete marker need not.
    pub fn protects(&self, version: &Version) -> bool {
        let by_policy = self.active_policy().is_some_and(|policy| {
            self.now_s() < version.modified_s + u64::from(policy.days) * DAY_S
        });
        let own = version.retention.is_some_and(|own| self.now_s() < own.until_s);
        !version.is_marker() && (by_policy || own || version.held)
    }

    /// Changes what it is set to.
    ///
    /// # Errors
    /// The [`Refusal`]; nothing is changed then.
    pub fn set(&mut self, setting: Setting) -> Result<(), Refusal> {
        let policy = self.active_policy();
        match setting {
            Setting::Versioning(Versioning::Suspended)
                if policy.is_some() || self.retains.is_some() =>
            {
                return Err(Refusal::Excluded);
            }
            Setting::Versioning(versioning) => self.versioning = versioning,
            Setting::BeginPolicy(_) if policy.is_some() => return Err(Refusal::AlreadyExists),
            Setting::BeginPolicy(_)
                if self.retains.is_some() || self.versioning == Versioning::Suspended =>
            {
                return Err(Refusal::Excluded);
            }
            Setting::BeginPolicy(days) => {
                self.policy = Some(Policy { days, created_ms: self.now_ms, locked: false });
            }
            Setting::AbortPolicy => match policy.ok_or(Refusal::NoSuchPolicy)? {
                Policy { locked: true, .. } => return Err(Refusal::Locked),
                Policy { .. } => self.policy = None,
            },
            Setting::LockPolicy => {
                let policy = policy.ok_or(Refusal::NoSuchPolicy)?;
                self.policy = Some(Policy { locked: true, ..policy });
            }
            Setting::ExtendPolicy(days) => match policy.ok_or(Refusal::NoSuchPolicy)? {
                Policy { locked: false, .. } => return Err(Refusal::NotLocked),
                old if days < old.days => return Err(Refusal::Shorter),
                old => self.policy = Some(Policy { days, ..old }),
            },
            Setting::Retain(_) if policy.is_some() || self.versioning != Versioning::Enabled => {
                return Err(Refusal::Excluded);
            }
            Setting::Retain(default) => {
                self.retains = Some(default);
                self.policy = None;
            }
            Setting::Rules(rules) => self.rules = rules,
            Setting::Quota(quota) => self.quota = quota,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_lapses_unless_it_is_locked_and_a_locked_one_only_grows() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.set(Setting::LockPolicy), Err(Refusal::NoSuchPolicy));
        bucket.set(Setting::BeginPolicy(3)).unwrap();
        assert_eq!(bucket.set(Setting::ExtendPolicy(4)), Err(Refusal::NotLocked));
        bucket.now_ms = UNLOCKED_MS;
        assert_eq!(bucket.active_policy(), None);
        bucket.set(Setting::BeginPolicy(3)).unwrap();
        bucket.set(Setting::LockPolicy).unwrap();
        bucket.now_ms = 9 * UNLOCKED_MS;
        assert_eq!(bucket.set(Setting::AbortPolicy), Err(Refusal::Locked));
        assert_eq!(bucket.set(Setting::ExtendPolicy(2)), Err(Refusal::Shorter));
        bucket.set(Setting::ExtendPolicy(3)).unwrap();
        let suspended = Setting::Versioning(Versioning::Suspended);
        assert_eq!(bucket.set(suspended), Err(Refusal::Excluded));
    }

    #[test]
    fn days_act_at_the_first_midnight_at_which_the_age_is_reached() {
        let rules = Rules { day_s: 10, ..Rules::default() };
        for (since, due) in [(0, 20), (1, 30), (9, 30), (10, 30)] {
            assert!(rules.is_due(Some(2), since, due) && !rules.is_due(Some(2), since, due - 1));
        }
        assert!(!rules.is_due(None, 0, u64::MAX));
    }
}
