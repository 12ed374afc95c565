//! V4 signing keys that were derived already.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use ossia_protocol::auth::{Scope, Secret, SigningKey};

/// How many keys are kept of a secret that many clients share: each uses one a day and region.
const KEPT_MAX: usize = 256;
/// How many are kept of one secret among thousands.
const KEPT_SMALL: usize = 8;

/// Signing keys of one secret by scope. The secret never changes while this lives, so nothing goes stale.
#[derive(Debug)]
pub struct SigningKeys {
    kept: RwLock<HashMap<String, Arc<SigningKey>>>,
    max: usize,
}

impl Default for SigningKeys {
    fn default() -> SigningKeys {
        SigningKeys { kept: RwLock::default(), max: KEPT_MAX }
    }
}

impl SigningKeys {
    /// Room for the scopes of one client.
    pub(crate) fn small() -> SigningKeys {
        SigningKeys { max: KEPT_SMALL, ..SigningKeys::default() }
    }

    /// The key of a scope: a kept one, or one derived now.
    pub fn of(&self, secret: &Secret, scope: &Scope<'_>) -> Arc<SigningKey> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = kept.get(scope.text) {
            return Arc::clone(key);
        }
        drop(kept);
        Arc::new(SigningKey::derive(secret, scope.day, scope.region, scope.product))
    }

    /// Keeps a key whose signature held.
    pub fn keep(&self, scope: &Scope<'_>, key: Arc<SigningKey>) {
        let known = |kept: &HashMap<_, _>| kept.contains_key(scope.text);
        if known(&self.kept.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.max {
            // Yesterday's keys go with the rest; today's are back after one request each.
            kept.clear();
        }
        kept.insert(scope.text.to_owned(), key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_key_is_given_out_again_and_the_number_kept_is_bounded() {
        for keys in [SigningKeys::default(), SigningKeys::small()] {
            let secret = Secret::new("secret");
            for day in 0..2 * keys.max {
                let text = format!("{day}/r/oss/aliyun_v4_request");
                let day = day.to_string();
                let scope = Scope { text: &text, day: &day, region: "r", product: "oss" };
                let key = keys.of(&secret, &scope);
                keys.keep(&scope, Arc::clone(&key));
                assert!(Arc::ptr_eq(&key, &keys.of(&secret, &scope)));
                let other = Scope { text: "another", region: "s", ..scope };
                assert!(!Arc::ptr_eq(&key, &keys.of(&secret, &other)));
                assert!(keys.kept.read().unwrap().len() <= keys.max);
            }
        }
    }
}
