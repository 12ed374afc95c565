//! Encryption of objects at rest: data keys, and bytes as they are stored.
//!
//! ```text
//! k key id        a data key, sealed under a master key, in the partition of its object      (`records::KeyRecord`)
//! run             bytes that were encrypted in one go: an inline body, an append, a put, a part, what packing has joined
//!   run key       HKDF-SHA256 of the data key and the run's 16 random bytes of salt
//!   chunk i       AES-256-GCM of 32,752 bytes, of fewer in the last one, and the tag's 16 behind them: 32 KiB
//!     nonce       1 if it is the last one, else 0; three zeros; i, 8, big-endian
//!     aad         1; 0 and where the run begins in its object, or 1 and the number of its part; 8, big-endian
//! ```
//!
//! - *No nonce comes twice under a key*: every run has a key of its own, by a salt that is drawn when its encryption begins. What is
//!   sent again, by a client or after a crash, is another run. A transaction that runs twice writes the same run twice.
//! - *A chunk stands where it was put*: another place in its run has another nonce, another run another key, another place in the
//!   object another `aad`. A run that was cut short lacks its last chunk.
//! - Checksums and lengths in records are those of the plain bytes. Those of the store are of what is stored, and are verified
//!   without any key.
//!
//! A data key stands apart from the head that it belongs to, because every append rewrites the head, and because extents must be
//! readable without one: packing knows contents only. It is written with the object and goes with it.

use bytes::{BufMut, Bytes, BytesMut};
use ossia_keys::{KeyId, MasterKeys, Purpose, SealError, Secret};
use ossia_store::Partition;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use zeroize::Zeroize as _;

use crate::{
    Failure,
    core::Core,
    keys::{self, ContentId},
    records::{Damage, Extent, KeyRecord, Source, Stored},
};

/// Plain bytes of a whole chunk.
pub(crate) const PLAIN: usize = CHUNK - TAG;
/// Stored bytes of a whole chunk. A blob is verified in blocks of a multiple, so that no block is read for two chunks' sake alone.
pub(crate) const CHUNK: usize = 32 << 10;
const TAG: usize = 16;
const FORMAT: u8 = 1;

/// Random bytes that make the key of a run.
pub(crate) type Salt = [u8; 16];

/// How a run is encrypted; stands in its extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealing {
    /// Names the data key.
    pub(crate) key: ContentId,
    pub(crate) salt: Salt,
    /// Of the part that it came as; `None` where it is bound to where it begins in its object.
    pub(crate) part: Option<u16>,
    /// Plain bytes of the whole run. An extent is the beginning of one, mostly all of it.
    pub(crate) length: u64,
}

/// Where a run belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// It begins here in its object.
    Position(u64),
    /// It is this part of its upload.
    Part(u16),
}

impl At {
    fn aad(self) -> [u8; 10] {
        let (kind, place) = match self {
            At::Position(position) => (0, position),
            At::Part(number) => (1, u64::from(number)),
        };
        let mut aad = [0; 10];
        aad[0] = FORMAT;
        aad[1] = kind;
        aad[2..].copy_from_slice(&place.to_be_bytes());
        aad
    }
}

impl Sealing {
    /// Where its run belongs, for an extent that begins here.
    pub(crate) fn at(&self, start: u64) -> At {
        self.part.map_or(At::Position(start), At::Part)
    }
}

/// How many bytes are stored for so many.
pub(crate) fn sealed_length(plain: u64) -> u64 {
    plain.saturating_add(plain.div_ceil(PLAIN as u64).saturating_mul(TAG as u64))
}

/// How many bytes an extent's payload or blob has.
pub(crate) fn stored_length(extent: &Extent) -> u64 {
    extent.sealing.map_or(extent.length, |sealing| sealed_length(sealing.length))
}

/// The data key of an object.
#[derive(Debug, Clone)]
pub(crate) struct Cipher {
    id: ContentId,
    secret: Secret,
    prk: Prk,
}

#[derive(Clone)]
struct Prk(hkdf::Prk);

impl std::fmt::Debug for Prk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prk")
    }
}

fn failed(_: ring::error::Unspecified) -> Failure {
    Failure::Internal("encryption failed".into())
}

impl Cipher {
    fn new(id: ContentId, secret: Secret) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"ossia object").extract(&secret);
        Self { id, secret, prk: Prk(prk) }
    }

    /// Names it.
    pub(crate) fn id(&self) -> ContentId {
        self.id
    }

    #[cfg(test)]
    pub(crate) fn is_the_key_of(&self, other: &Self) -> bool {
        self.secret[..] == other.secret[..]
    }

    fn run_key(&self, salt: &Salt) -> Result<LessSafeKey, Failure> {
        let info = [&b"run"[..], salt];
        let mut key = [0; 32];
        let filled = self
            .prk
            .0
            .expand(&info, &AES_256_GCM)
            .and_then(|okm| okm.fill(&mut key))
            .map_err(failed);
        let unbound = UnboundKey::new(&AES_256_GCM, &key).map_err(failed);
        key.zeroize();
        filled?;
        Ok(LessSafeKey::new(unbound?))
    }

    /// Begins a run.
    ///
    /// # Errors
    /// [`Failure::Internal`] where the system gives no random bytes.
    pub(crate) fn sealer(&self, at: At) -> Result<Sealer, Failure> {
        let salt: Salt =
            ossia_keys::random().map_err(|error| Failure::Internal(error.to_string()))?;
        Ok(Sealer {
            key: self.run_key(&salt)?,
            sealing: Sealing {
                key: self.id,
                salt,
                part: match at {
                    At::Part(number) => Some(number),
                    At::Position(_) => None,
                },
                length: 0,
            },
            aad: at.aad(),
            next: 0,
            held: Vec::new(),
        })
    }

    /// Opens plain bytes `window` of a run of which these are the stored bytes.
    ///
    /// # Errors
    /// [`Failure::Damaged`] if they are not what was stored there.
    pub(crate) fn open(
        &self,
        sealing: &Sealing,
        at: At,
        window: &Window,
        stored: &[u8],
    ) -> Result<Bytes, Failure> {
        if sealing.key != self.id {
            return Err(
                Damage::new("extent", "it is encrypted under another key than its object").into()
            );
        }
        if stored.len() != window.length {
            return Err(Damage::new("extent", "its encrypted bytes have another length").into());
        }
        let key = self.run_key(&sealing.salt)?;
        let last = sealing.length.div_ceil(PLAIN as u64).saturating_sub(1);
        let mut plain = BytesMut::with_capacity(window.length);
        let mut scratch = Vec::with_capacity(CHUNK.min(window.length));
        for (index, chunk) in (window.first..).zip(stored.chunks(CHUNK)) {
            scratch.clear();
            scratch.extend_from_slice(chunk);
            let opened = key
                .open_in_place(nonce(index, index == last), Aad::from(at.aad()), &mut scratch)
                .map_err(|_| Failure::Damaged("encrypted bytes are not what was stored".into()))?;
            plain.put_slice(opened);
        }
        let end = window.skip.saturating_add(window.take);
        if plain.len() < end {
            return Err(Damage::new("extent", "its encrypted bytes are too few").into());
        }
        Ok(plain.freeze().slice(window.skip..end))
    }

    /// All plain bytes of an extent from its stored ones.
    pub(crate) fn open_extent(
        &self,
        extent: &Extent,
        start: u64,
        stored: &[u8],
    ) -> Result<Bytes, Failure> {
        let sealing = extent.sealing.as_ref();
        let sealing = sealing.ok_or_else(|| Damage::new("extent", "it is not encrypted"))?;
        let window = Window::of(sealing.length, 0, extent.length);
        let stored = stored.get(..window.length).unwrap_or(stored);
        self.open(sealing, sealing.at(start), &window, stored)
    }
}

fn nonce(index: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[0] = u8::from(last);
    nonce[4..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Which stored bytes of a run are needed for some plain ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// The first chunk.
    first: u64,
    /// Where it begins among the stored bytes.
    pub(crate) offset: u64,
    /// Stored bytes from there on, whole chunks.
    pub(crate) length: usize,
    /// Plain bytes of these before what is wanted.
    skip: usize,
    /// Plain bytes wanted.
    take: usize,
}

impl Window {
    /// For plain bytes `from..to` of a run of this length.
    pub(crate) fn of(run: u64, from: u64, to: u64) -> Self {
        let plain = PLAIN as u64;
        let to = to.min(run).max(from);
        let first = from / plain;
        let behind = to.div_ceil(plain).max(first);
        let offset = first.saturating_mul(CHUNK as u64);
        let end = behind.saturating_mul(CHUNK as u64).min(sealed_length(run));
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            first,
            offset,
            length: size(end.saturating_sub(offset)),
            skip: size(from - first * plain),
            take: size(to - from),
        }
    }

    /// How many plain bytes from `from` on can be had of at most so many stored ones, at least one chunk, up to `to`. Windows then
    /// end where multiples of that length do, so that no chunk is read twice.
    pub(crate) fn reach(from: u64, to: u64, stored_bytes: usize) -> u64 {
        let chunks = (stored_bytes / CHUNK).max(1) as u64;
        let first = from / PLAIN as u64;
        let behind = (first / chunks + 1).saturating_mul(chunks);
        behind.saturating_mul(PLAIN as u64).min(to)
    }
}

/// Encrypts one run, piece by piece. Holds less than a chunk and what it is given.
pub(crate) struct Sealer {
    key: LessSafeKey,
    sealing: Sealing,
    aad: [u8; 10],
    next: u64,
    /// Plain bytes of the chunk that is not whole, or may be the last one.
    held: Vec<u8>,
}

impl Sealer {
    /// Takes plain bytes; gives the chunks that have become whole and are not the last.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<Bytes, Failure> {
        self.sealing.length = self.sealing.length.saturating_add(piece.len() as u64);
        let whole = (self.held.len() + piece.len()).saturating_sub(1) / PLAIN;
        let mut out = BytesMut::with_capacity(whole * CHUNK);
        while !piece.is_empty() {
            if self.held.len() == PLAIN {
                self.seal_held(false, &mut out)?;
            }
            let (now, rest) = piece.split_at(piece.len().min(PLAIN - self.held.len()));
            self.held.extend_from_slice(now);
            piece = rest;
        }
        Ok(out.freeze())
    }

    /// The end of the run: its last chunk, none if it has no bytes.
    pub(crate) fn finish(mut self) -> Result<(Sealing, Bytes), Failure> {
        let mut out = BytesMut::with_capacity(self.held.len() + TAG);
        if self.sealing.length > 0 {
            self.seal_held(true, &mut out)?;
        }
        Ok((self.sealing, out.freeze()))
    }

    fn seal_held(&mut self, last: bool, out: &mut BytesMut) -> Result<(), Failure> {
        let nonce = nonce(self.next, last);
        self.next += 1;
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(self.aad), &mut self.held);
        let tag = tag.map_err(failed)?;
        out.put_slice(&self.held);
        out.put_slice(tag.as_ref());
        self.held.clear();
        Ok(())
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.held.zeroize();
    }
}

/// What binds a sealed data key to its record.
fn context(partition: Partition, id: ContentId) -> [u8; 24] {
    let mut context = [0; 24];
    context[..8].copy_from_slice(&partition.0.to_be_bytes());
    context[8..].copy_from_slice(&id.0);
    context
}

/// What is wrong with a sealed data key.
pub(crate) fn unopened(error: SealError) -> Failure {
    match error {
        SealError::UnknownKey { id } => Failure::NoMasterKey(Some(id)),
        SealError::NoKey => Failure::NoMasterKey(None),
        SealError::Tampered | SealError::Malformed => {
            Damage::new("data key", error.to_string()).into()
        }
        _ => Failure::Internal(error.to_string()),
    }
}

/// Opens a data key's record.
pub(crate) fn open_key(
    master: &MasterKeys,
    partition: Partition,
    id: ContentId,
    record: &KeyRecord,
) -> Result<Cipher, Failure> {
    let context = context(partition, id);
    let secret = master.open(Purpose::DataKey, &context, &record.sealed).map_err(unopened)?;
    if secret.len() != 32 {
        return Err(Damage::new("data key", "it has another length").into());
    }
    Ok(Cipher::new(id, secret))
}

/// The same key under the current master key; `None` if it is under it already.
pub(crate) fn rewrapped(
    master: &MasterKeys,
    partition: Partition,
    id: ContentId,
    record: &KeyRecord,
) -> Result<Option<KeyRecord>, Failure> {
    let current = master.current().ok_or_else(|| unopened(SealError::NoKey))?;
    if record.master() == Some(current) {
        return Ok(None);
    }
    let cipher = open_key(master, partition, id, record)?;
    let sealed = master.seal(Purpose::DataKey, &context(partition, id), &cipher.secret);
    Ok(Some(KeyRecord { sealed: sealed.map_err(unopened)?.into() }))
}

/// A new object's data key, and the record to be written with it.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(crate) id: ContentId,
    pub(crate) record: Bytes,
}

impl NewKey {
    pub(crate) fn write(&self, writes: &mut ossia_store::Writes) {
        writes.put(keys::data_key(self.id), self.record.clone());
    }
}

impl Core {
    /// Makes a data key.
    ///
    /// # Errors
    /// [`Failure::NoMasterKey`] where none could be sealed.
    pub(crate) fn new_cipher(&self) -> Result<Cipher, Failure> {
        if self.keys.current().is_none() {
            return Err(unopened(SealError::NoKey));
        }
        let secret: [u8; 32] = ossia_keys::random().map_err(unopened)?;
        Ok(Cipher::new(ContentId::new(self.now_ms()), Secret::new(secret.to_vec())))
    }

    /// The same key for another object, whose bytes are the same.
    pub(crate) fn same_cipher(&self, cipher: &Cipher) -> Cipher {
        Cipher { id: ContentId::new(self.now_ms()), ..cipher.clone() }
    }

    /// Seals a data key that was made, shortly before it is written: a body may take hours to come, and the master key be another
    /// one by then.
    pub(crate) fn seal_key(
        &self,
        partition: Partition,
        cipher: &Cipher,
    ) -> Result<NewKey, Failure> {
        let id = cipher.id;
        let sealed = self.keys.seal(Purpose::DataKey, &context(partition, id), &cipher.secret);
        let record = KeyRecord { sealed: sealed.map_err(unopened)?.into() }.encode();
        Ok(NewKey { id, record })
    }

    /// The data key of this name; `None` if it is gone, and its object with it.
    pub(crate) async fn cipher(
        &self,
        partition: Partition,
        id: ContentId,
    ) -> Result<Option<Cipher>, Failure> {
        let record = self.store.get(partition, keys::data_key(id)).await?;
        match KeyRecord::decode_option(record.as_ref())? {
            Some(record) => open_key(&self.keys, partition, id, &record).map(Some),
            None => Ok(None),
        }
    }
}

/// That an extent is encrypted as its object is, and in a form that there is.
pub(crate) fn check_extent(extent: &Extent, key: Option<ContentId>) -> Result<(), Damage> {
    if extent.sealing.map(|sealing| sealing.key) != key {
        return Err(Damage::new("extent", "it is not encrypted as its object is"));
    }
    match (extent.sealing, extent.source) {
        (Some(_), Source::Blob { offset, .. }) if offset != 0 => {
            Err(Damage::new("extent", "an encrypted run that does not begin its blob"))
        }
        _ => Ok(()),
    }
}

/// The ids in hexadecimal digits, for humans.
pub(crate) fn list(ids: &[KeyId]) -> String {
    ids.iter().map(KeyId::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cipher(seed: u8) -> Cipher {
        Cipher::new(ContentId([seed; 16]), Secret::new(vec![seed; 32]))
    }

    fn seal(cipher: &Cipher, at: At, plain: &[u8], pieces: usize) -> (Sealing, Vec<u8>) {
        let mut sealer = cipher.sealer(at).unwrap();
        let mut stored = Vec::new();
        for piece in plain.chunks(pieces.max(1)) {
            stored.extend_from_slice(&sealer.push(piece).unwrap());
        }
        let (sealing, last) = sealer.finish().unwrap();
        stored.extend_from_slice(&last);
        (sealing, stored)
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length as u64).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    fn read(
        cipher: &Cipher,
        sealing: &Sealing,
        at: At,
        stored: &[u8],
        from: u64,
        to: u64,
    ) -> Result<Bytes, Failure> {
        let window = Window::of(sealing.length, from, to);
        let start = window.offset as usize;
        let part = stored.get(start..start + window.length).unwrap_or_default();
        cipher.open(sealing, at, &window, part)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_range_is_what_was_sealed(
            length in prop_oneof![1_usize..200, 32_700_usize..32_800, 65_400_usize..65_600, 1_usize..150_000],
            pieces in 1_usize..70_000,
            cuts in (0.0_f64..=1.0, 0.0_f64..=1.0),
            position in any::<u64>(),
        ) {
            let (cipher, at, plain) = (cipher(1), At::Position(position), bytes(length));
            let (sealing, stored) = seal(&cipher, at, &plain, pieces);
            prop_assert_eq!(sealing.length, length as u64);
            prop_assert_eq!(stored.len() as u64, sealed_length(length as u64));
            let (a, b) = ((cuts.0 * length as f64) as usize, (cuts.1 * length as f64) as usize);
            let (from, to) = (a.min(b), a.max(b));
            let told = read(&cipher, &sealing, at, &stored, from as u64, to as u64).unwrap();
            prop_assert_eq!(&told[..], &plain[from..to]);
        }
    }

    #[test]
    fn what_was_changed_moved_or_cut_is_refused() {
        let (cipher, at, plain) = (cipher(1), At::Position(0), bytes(3 * PLAIN));
        let (sealing, stored) = seal(&cipher, at, &plain, 1_000);
        let all = |sealing: &Sealing, at, stored: &[u8]| {
            read(&cipher, sealing, at, stored, 0, sealing.length).is_ok()
        };
        assert!(all(&sealing, at, &stored));
        for place in [0, PLAIN, CHUNK, 2 * CHUNK + 9, stored.len() - 1] {
            let mut bad = stored.clone();
            bad[place] ^= 1;
            assert!(!all(&sealing, at, &bad), "byte {place}");
        }
        let swapped = [&stored[CHUNK..2 * CHUNK], &stored[..CHUNK], &stored[2 * CHUNK..]].concat();
        assert!(!all(&sealing, at, &swapped));
        // Two chunks, as a record may be made to say.
        let short = Sealing { length: 2 * PLAIN as u64, ..sealing };
        assert!(!all(&short, at, &stored[..2 * CHUNK]));
        assert!(!all(&sealing, At::Position(1), &stored));
        assert!(!all(&sealing, At::Part(0), &stored));
        let (other, _) = seal(&cipher, at, &plain, 1_000);
        assert!(!all(&other, at, &stored), "another run's salt");
        let foreign = super::tests::cipher(2);
        assert!(read(&foreign, &sealing, at, &stored, 0, 9).is_err());
    }

    #[test]
    fn bytes_of_an_object_with_the_same_secret_are_not_another_objects() {
        let (one, plain) = (cipher(1), bytes(9));
        let (sealing, stored) = seal(&one, At::Position(0), &plain, 9);
        let copy = Cipher { id: ContentId([2; 16]), ..one.clone() };
        assert!(read(&copy, &sealing, At::Position(0), &stored, 0, 9).is_err());
        let moved = Sealing { key: copy.id, ..sealing };
        assert_eq!(&read(&copy, &moved, At::Position(0), &stored, 0, 9).unwrap()[..], &plain[..]);
    }

    #[test]
    fn what_was_stored_once_opens_for_good() {
        let unhex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2)
                .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
                .collect()
        };
        let salt: Salt = std::array::from_fn(|at| at as u8);
        let sealing = Sealing { key: ContentId([1; 16]), salt, part: None, length: 5 };
        let part = Sealing { part: Some(3), ..sealing };
        let long = Sealing { length: PLAIN as u64 + 3, ..sealing };
        for (sealing, from, to, stored, plain) in [
            (sealing, 0, 5, "a516bfddbcb8189989c18c81c39f64e6d7d8053a76", b"plain".to_vec()),
            (part, 0, 5, "a516bfddbc1dd69b0420779e6b8c16a939f090a108", b"plain".to_vec()),
            // The second chunk alone.
            (
                long,
                PLAIN as u64,
                PLAIN as u64 + 3,
                "ced44a7b460dcaf4446e0ee2b0e97d59dd29cb",
                bytes(PLAIN + 3)[PLAIN..].to_vec(),
            ),
        ] {
            let window = Window::of(sealing.length, from, to);
            let opened = cipher(1).open(&sealing, sealing.at(7), &window, &unhex(stored)).unwrap();
            assert_eq!(&opened[..], plain, "{sealing:?}");
        }
    }

    #[test]
    fn a_data_key_opens_in_its_place_alone_and_is_the_same_after_a_rotation() {
        let master = MasterKeys::ephemeral().unwrap();
        let (place, id) = (Partition(70_000), ContentId([1; 16]));
        let sealed = |purpose, secret: &[u8]| KeyRecord {
            sealed: master.seal(purpose, &context(place, id), secret).unwrap().into(),
        };
        let record = sealed(Purpose::DataKey, &[7; 32]);
        assert_eq!(&*open_key(&master, place, id, &record).unwrap().secret, &[7; 32]);
        let damaged = |told: Result<Cipher, Failure>| matches!(told, Err(Failure::Damaged(_)));
        assert!(damaged(open_key(&master, Partition(70_001), id, &record)));
        assert!(damaged(open_key(&master, place, ContentId([2; 16]), &record)));
        assert!(damaged(open_key(&master, place, id, &sealed(Purpose::DataKey, &[7; 31]))));
        assert!(damaged(open_key(&master, place, id, &sealed(Purpose::Secret, &[7; 32]))));
        assert!(rewrapped(&master, place, id, &record).unwrap().is_none());
        master.rotate().unwrap();
        let renewed = rewrapped(&master, place, id, &record).unwrap().unwrap();
        assert_eq!(renewed.master(), master.current());
        assert_eq!(&*open_key(&master, place, id, &renewed).unwrap().secret, &[7; 32]);
        assert!(damaged(rewrapped(&master, Partition(1), id, &record).map(|_| cipher(1))));
        let other = MasterKeys::ephemeral().unwrap();
        let (needed, told) = (record.master(), open_key(&other, place, id, &record));
        assert!(matches!(told, Err(Failure::NoMasterKey(id)) if id == needed), "{told:?}");
    }

    #[test]
    fn the_same_bytes_are_never_stored_the_same_way_twice() {
        let (cipher, plain) = (cipher(1), bytes(100));
        let (one, a) = seal(&cipher, At::Position(0), &plain, 100);
        let (two, b) = seal(&cipher, At::Position(0), &plain, 100);
        assert!(one.salt != two.salt && a != b);
    }

    #[test]
    fn pieces_end_at_chunks_and_reach_no_further_than_they_may() {
        let plain = PLAIN as u64;
        assert_eq!(Window::reach(0, 1 << 20, 256 << 10), 8 * plain);
        assert_eq!(Window::reach(plain + 3, 1 << 20, 64 << 10), 2 * plain);
        assert_eq!(Window::reach(5, 9, 1), 9);
        assert_eq!(Window::reach(5, 1 << 20, 1), plain);
    }
}
