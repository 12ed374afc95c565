//! Whether room is short, for a request and its body.

use std::sync::Arc;

use super::{
    admission::Admission,
    guests::{Guest, Requests},
};

/// What tells whether half of the room for requests and for bodies that come in is taken, of all or of the address.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    requests: Arc<Requests>,
    uploads: Admission,
    guest: Arc<Guest>,
}

impl Crowd {
    /// Around the requests of `guest`.
    pub(crate) fn new(requests: &Arc<Requests>, uploads: &Admission, guest: &Arc<Guest>) -> Crowd {
        let (requests, uploads) = (Arc::clone(requests), uploads.clone());
        Crowd { requests, uploads, guest: Arc::clone(guest) }
    }

    /// Whether room is short now.
    pub(crate) fn is_there(&self) -> bool {
        self.requests.are_many() || self.uploads.is_crowded() || self.guest.takes_much()
    }
}
