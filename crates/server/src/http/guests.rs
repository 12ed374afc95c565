//! Clients by their address, and what one of them may take at once.
//!
//! No address alone can take all that there is. What is remembered of an address lives as long as one of its connections, so the
//! book is never longer than there are connections (I7).
//!
//! Trusted addresses are bounded by the server's own bounds only: behind a proxy all clients have the proxy's address. Loopback is
//! trusted by default: whoever is on the machine can do worse, and a proxy is often there.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use ossia_protocol::network::{Network, bits};
use tokio::sync::Semaphore;

/// What one address may take at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) connections: usize,
    /// Requests that are worked on.
    pub(crate) requests: usize,
    /// Bytes of bodies that come in.
    pub(crate) upload_bytes: usize,
    /// Bytes of bodies that go out.
    pub(crate) download_bytes: usize,
    /// Bytes of heads that have begun and not ended, beyond the first piece of each.
    pub(crate) head_bytes: u64,
}

/// One address, while it has a connection.
#[derive(Debug)]
pub(crate) struct Guest {
    /// `None` for a trusted one.
    share: Option<Share>,
    requests: AtomicUsize,
    /// Of HTTP/2, on all its connections.
    streams: AtomicUsize,
    head_bytes: AtomicU64,
    uploads: Option<Arc<Semaphore>>,
    downloads: Option<Arc<Semaphore>>,
}

impl Guest {
    fn new(share: Option<Share>) -> Arc<Guest> {
        let room = |bytes: usize| Arc::new(Semaphore::new(bytes));
        Arc::new(Guest {
            share,
            requests: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            head_bytes: AtomicU64::new(0),
            uploads: share.map(|share| room(share.upload_bytes)),
            downloads: share.map(|share| room(share.download_bytes)),
        })
    }

    /// So much more of a head has come; whether that is within its bound. Counted in either case, until [`Guest::head_gone`].
    pub(super) fn head_came(&self, bytes: u64) -> bool {
        let Some(share) = &self.share else { return true };
        self.head_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= share.head_bytes
    }

    /// So much of a head is one no longer.
    pub(super) fn head_gone(&self, bytes: u64) {
        if self.share.is_some() {
            self.head_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Whether it has half of what it may have.
    pub(crate) fn takes_much(&self) -> bool {
        let Some(share) = &self.share else { return false };
        let free = self.uploads.as_ref().map_or(usize::MAX, |room| room.available_permits());
        is_half(self.requests.load(Ordering::Relaxed), share.requests)
            || free < share.upload_bytes / 2
    }

    /// Its room for bodies that come in; `None` for no bound of its own.
    pub(crate) fn uploads(&self) -> Option<&Arc<Semaphore>> {
        self.uploads.as_ref()
    }

    /// Its room for bodies that go out.
    pub(crate) fn downloads(&self) -> Option<&Arc<Semaphore>> {
        self.downloads.as_ref()
    }
}

/// All addresses with a connection.
#[derive(Debug)]
pub(crate) struct Guests {
    share: Share,
    trusted: Vec<Network>,
    anyone: Arc<Guest>,
    /// With how many connections each has.
    book: Mutex<HashMap<u128, (Arc<Guest>, usize)>>,
}

/// A connection's place in the book.
#[derive(Debug)]
pub(crate) struct Stay {
    guests: Arc<Guests>,
    /// `None` for a trusted address.
    key: Option<u128>,
    guest: Arc<Guest>,
}

impl Guests {
    /// Nobody yet.
    pub(crate) fn new(share: Share, trusted: Vec<Network>) -> Arc<Guests> {
        Arc::new(Guests { share, trusted, anyone: Guest::new(None), book: Mutex::default() })
    }

    /// A connection from this address; `None` when the address has all that it may have.
    pub(crate) fn enter(self: &Arc<Guests>, address: IpAddr) -> Option<Stay> {
        let address = address.to_canonical();
        if self.trusted.iter().any(|network| network.holds(address)) {
            let guest = Arc::clone(&self.anyone);
            return Some(Stay { guests: Arc::clone(self), key: None, guest });
        }
        let key = key(address);
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let (guest, connections) =
            book.entry(key).or_insert_with(|| (Guest::new(Some(self.share)), 0));
        if *connections >= self.share.connections {
            return None;
        }
        *connections += 1;
        let guest = Arc::clone(guest);
        Some(Stay { guests: Arc::clone(self), key: Some(key), guest })
    }

    #[cfg(test)]
    fn known(&self) -> usize {
        self.book.lock().unwrap().len()
    }
}

/// Who has one IPv6 address has 2^64 of them.
fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(_) => bits(address),
        IpAddr::V6(v6) => Ipv6Addr::to_bits(v6) & !u128::from(u64::MAX),
    }
}

impl Stay {
    /// Whose connection it is.
    pub(crate) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut book = self.guests.book.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connections)) = book.get_mut(&key) {
            *connections -= 1;
            if *connections == 0 {
                book.remove(&key);
            }
        }
    }
}

/// A stream of HTTP/2 among those of its address, which may have as many as it may have connections.
#[derive(Debug)]
pub(super) struct StreamStay(Arc<Guest>);

impl StreamStay {
    /// One more, or `None`.
    pub(super) fn begin(guest: &Arc<Guest>) -> Option<StreamStay> {
        if let Some(share) = &guest.share {
            add(&guest.streams, share.connections)?;
        }
        Some(StreamStay(Arc::clone(guest)))
    }
}

impl Drop for StreamStay {
    fn drop(&mut self) {
        if self.0.share.is_some() {
            self.0.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// How many requests are worked on at once: from their head to the begin of their answer.
#[derive(Debug)]
pub(crate) struct Requests {
    max: usize,
    now: AtomicUsize,
    refusals: AtomicU64,
}

/// A request that is worked on.
#[derive(Debug)]
pub(crate) struct Slot<'r> {
    all: &'r AtomicUsize,
    own: Option<&'r AtomicUsize>,
}

impl Requests {
    /// At most `max`.
    pub(crate) fn new(max: usize) -> Requests {
        Requests { max, now: AtomicUsize::new(0), refusals: AtomicU64::new(0) }
    }

    /// One more, or `None`.
    pub(crate) fn enter<'r>(&'r self, guest: &'r Guest) -> Option<Slot<'r>> {
        let slot = self.slot(guest);
        if slot.is_none() {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        slot
    }

    fn slot<'r>(&'r self, guest: &'r Guest) -> Option<Slot<'r>> {
        add(&self.now, self.max)?;
        // From here on the slot gives back what was taken.
        let mut slot = Slot { all: &self.now, own: None };
        if let Some(share) = &guest.share {
            add(&guest.requests, share.requests)?;
            slot.own = Some(&guest.requests);
        }
        Some(slot)
    }

    /// Whether there are half as many as there may be.
    pub(crate) fn are_many(&self) -> bool {
        is_half(self.now.load(Ordering::Relaxed), self.max)
    }

    /// How many there are.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed) as u64
    }

    /// How many were refused.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }
}

fn is_half(count: usize, max: usize) -> bool {
    count >= max.div_ceil(2)
}

fn add(count: &AtomicUsize, max: usize) -> Option<()> {
    if count.fetch_add(1, Ordering::Relaxed) < max {
        return Some(());
    }
    count.fetch_sub(1, Ordering::Relaxed);
    None
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(own) = self.own {
            own.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share =
        Share { connections: 2, requests: 1, upload_bytes: 10, download_bytes: 10, head_bytes: 10 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_hold_what_they_name() {
        for (network, inside, outside) in [
            ("127.0.0.0/8", "127.9.9.9", "128.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("::1/128", "::1", "::2"),
            ("2001:db8::/32", "2001:db8:5::1", "2001:db9::1"),
            ("0.0.0.0/0", "1.2.3.4", "2001:db9::1"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::1"),
        ] {
            let network = Network::parse(network).unwrap();
            assert!(network.holds(ip(inside)), "{network:?} {inside}");
            assert!(!network.holds(ip(outside)), "{network:?} {outside}");
        }
        assert!(Network::parse("::/0").unwrap().holds(ip("1.2.3.4")));
        for bad in ["", "x", "1.2.3.4/33", "::1/129", "1.2.3/8", "1.2.3.4/", "1.2.3.4/-1"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_address_has_its_share_and_is_forgotten_when_it_goes() {
        let guests = Guests::new(SHARE, vec![Network::parse("127.0.0.0/8").unwrap()]);
        let one = guests.enter(ip("10.0.0.1")).unwrap();
        let two = guests.enter(ip("::ffff:10.0.0.1")).unwrap();
        assert!(guests.enter(ip("10.0.0.1")).is_none());
        let other = guests.enter(ip("10.0.0.2")).unwrap();
        assert_eq!(guests.known(), 2);
        drop(one);
        assert!(guests.enter(ip("10.0.0.1")).is_some());
        drop((two, other));
        assert_eq!(guests.known(), 0);
        let trusted: Vec<_> = (0..9).map(|_| guests.enter(ip("127.0.0.1")).unwrap()).collect();
        assert!(trusted.iter().all(|stay| stay.guest().uploads().is_none()));
        assert_eq!(guests.known(), 0);
        let near = guests.enter(ip("2001:db8::1")).unwrap();
        let far = guests.enter(ip("2001:db8::ffff:2")).unwrap();
        assert!(Arc::ptr_eq(near.guest(), far.guest()), "one network of 64 bits");
    }

    #[test]
    fn heads_beyond_the_share_of_their_address_leave_others_theirs() {
        let guests = Guests::new(SHARE, vec![Network::parse("127.0.0.0/8").unwrap()]);
        let (one, two) =
            (guests.enter(ip("10.0.0.1")).unwrap(), guests.enter(ip("10.0.0.2")).unwrap());
        assert!(one.guest().head_came(10));
        assert!(!one.guest().head_came(1));
        assert!(two.guest().head_came(10));
        one.guest().head_gone(11);
        assert!(one.guest().head_came(10));
        assert!(guests.enter(ip("127.0.0.1")).unwrap().guest().head_came(1 << 40));
    }

    #[test]
    fn an_address_has_as_many_streams_as_connections() {
        let guests = Guests::new(SHARE, Vec::new());
        let (one, two) =
            (guests.enter(ip("10.0.0.1")).unwrap(), guests.enter(ip("10.0.0.2")).unwrap());
        let held: Vec<_> = (0..3).map(|_| StreamStay::begin(one.guest())).collect();
        assert_eq!(held.iter().flatten().count(), SHARE.connections);
        assert!(StreamStay::begin(two.guest()).is_some());
        drop(held);
        assert!(StreamStay::begin(one.guest()).is_some());
    }

    #[test]
    fn requests_beyond_either_bound_are_refused_and_counted() {
        let guests = Guests::new(SHARE, Vec::new());
        let (one, two) =
            (guests.enter(ip("10.0.0.1")).unwrap(), guests.enter(ip("10.0.0.2")).unwrap());
        let three = guests.enter(ip("10.0.0.3")).unwrap();
        let requests = Requests::new(2);
        let first = requests.enter(one.guest()).unwrap();
        assert!(requests.enter(one.guest()).is_none());
        let second = requests.enter(two.guest()).unwrap();
        assert!(requests.enter(three.guest()).is_none());
        assert_eq!((requests.now(), requests.refusals()), (2, 2));
        drop((first, second));
        assert_eq!(requests.now(), 0);
        assert!(requests.enter(one.guest()).is_some());
    }
}
