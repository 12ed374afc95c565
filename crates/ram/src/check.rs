//! Looking through what is stored, for `ossia check`.

use std::sync::Arc;

use ossia_keys::MasterKeys;
use ossia_store::{ReadError, Store};

use crate::state::{LoadError, State, System};

/// Reads all identities and says what is wrong with them, one text for each finding. Secrets are not opened: that takes the master
/// key, which need not be there.
///
/// # Errors
/// When the store can no longer be read.
pub async fn check(store: &Arc<dyn Store>) -> Result<Vec<String>, ReadError> {
    let system = System::new().map(Arc::new).unwrap_or_default();
    let empty = State { system, ..State::default() };
    let state = match State::load(&**store, &MasterKeys::none(), &empty).await {
        Ok(state) => state,
        Err(LoadError::Store(ReadError::Closed)) => return Err(ReadError::Closed),
        Err(error) => return Ok(vec![error.to_string()]),
    };
    let mut findings = Vec::new();
    let users = state.users.values().map(|one| ("user", &one.name, &one.policies));
    let groups = state.groups.values().map(|one| ("group", &one.name, &one.policies));
    let roles = state.roles.values().map(|one| ("role", &one.name, &one.policies));
    for (what, name, policies) in users.chain(groups).chain(roles) {
        for attached in policies.iter().filter(|one| state.document(one).is_none()) {
            let policy = &attached.name;
            findings.push(format!("the {what} {name} has a policy {policy}, and there is none"));
        }
    }
    for user in state.users.values() {
        let of = |id: &str| state.groups.values().any(|group| group.id == id);
        for joined in user.groups.iter().filter(|joined| !of(&joined.group)) {
            let (user, group) = (&user.name, &joined.group);
            findings.push(format!("the user {user} is in a group {group}, and there is none"));
        }
    }
    Ok(findings)
}
