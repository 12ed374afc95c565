//! V4 signing keys that were derived already.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use ossia_protocol::auth::{Scope, Secret, SigningKey};

/// How many keys are kept: a client uses one a day and region.
const KEPT_MAX: usize = 256;

/// Signing keys of the root secret by scope. The secret never changes while the server runs, so nothing goes stale.
#[derive(Debug, Default)]
pub(super) struct SigningKeys {
    kept: RwLock<HashMap<String, Arc<SigningKey>>>,
}

impl SigningKeys {
    /// The key of a scope: a kept one, or one derived now.
    pub(super) fn of(&self, secret: &Secret, scope: &Scope<'_>) -> Arc<SigningKey> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = kept.get(scope.text) {
            return Arc::clone(key);
        }
        drop(kept);
        Arc::new(SigningKey::derive(secret, scope.day, scope.region, scope.product))
    }

    /// Keeps a key whose signature held.
    pub(super) fn keep(&self, scope: &Scope<'_>, key: Arc<SigningKey>) {
        let known = |kept: &HashMap<_, _>| kept.contains_key(scope.text);
        if known(&self.kept.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
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
        let keys = SigningKeys::default();
        let secret = Secret::new("secret");
        for day in 0..2 * KEPT_MAX {
            let text = format!("{day}/r/oss/aliyun_v4_request");
            let day = day.to_string();
            let scope = Scope { text: &text, day: &day, region: "r", product: "oss" };
            let key = keys.of(&secret, &scope);
            keys.keep(&scope, Arc::clone(&key));
            assert!(Arc::ptr_eq(&key, &keys.of(&secret, &scope)));
            assert!(keys.kept.read().unwrap().len() <= KEPT_MAX);
        }
    }
}
