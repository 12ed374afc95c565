//! The records of a group: its transactions, in order.
//!
//! ```text
//! transaction
//!   token      16
//!   partition   8
//!   changes     4
//!   change, as often as said:
//!     kind         1   1 put, 2 put with new payload, 3 put with placed payload, 4 delete,
//!                      5 put, 6 delete of one of the engine's own records
//!     reserved     1   zero
//!     key_bytes    2
//!     value_bytes  4   zero for a delete
//!     key          key_bytes
//!     value        value_bytes
//!     kind 2:  payload_at 4, payload_bytes 4, payload_check 4   offset within the frame's payloads
//!     kind 3:  place 25                                         see `Place`
//!
//! place
//!   home     1   1 a journal segment, 2 a file of the value log
//!   number   8   of the file
//!   offset   8   in its file
//!   length   4   never zero
//!   check    4   crc32c of the bytes
//! ```

use ossia_store::{PayloadPlace, PayloadRef, Token};

use crate::codec::Reader;

/// Bytes of an encoded [`Place`].
pub(crate) const PLACE_BYTES: usize = 1 + 8 + 8 + 4 + 4;
/// Bytes of a transaction before its changes.
pub(crate) const TRANSACTION_HEAD_BYTES: usize = 16 + 8 + 4;
/// Bytes of a change before its key.
pub(crate) const CHANGE_HEAD_BYTES: usize = 1 + 1 + 2 + 4;

/// Where a payload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) home: Home,
    pub(crate) number: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) check: u32,
}

/// In which kind of file a payload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Home {
    /// A journal segment.
    Segment,
    /// A file of the value log, where evacuation puts what outlives its segment.
    Values,
}

impl Home {
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::Segment => 1,
            Self::Values => 2,
        }
    }

    const fn of(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Segment),
            2 => Some(Self::Values),
            _ => None,
        }
    }
}

impl Place {
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        into.push(self.home.tag());
        into.extend(self.number.to_le_bytes());
        into.extend(self.offset.to_le_bytes());
        into.extend(self.length.to_le_bytes());
        into.extend(self.check.to_le_bytes());
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let place = Self {
            home: Home::of(reader.u8()?)?,
            number: reader.u64()?,
            offset: reader.u64()?,
            length: reader.u32()?,
            check: reader.u32()?,
        };
        (place.length > 0).then_some(place)
    }

    /// The place as the contract carries it.
    pub(crate) fn to_ref(self) -> PayloadRef {
        let last = u64::from(self.home.tag()) << 32 | u64::from(self.check);
        PayloadRef { length: self.length, place: PayloadPlace([self.number, self.offset, last]) }
    }

    /// `None` for a reference that this engine did not make.
    pub(crate) fn of_ref(payload: PayloadRef) -> Option<Self> {
        let PayloadPlace([number, offset, last]) = payload.place;
        let home = Home::of(u8::try_from(last >> 32).ok()?)?;
        let check = u32::try_from(last & u64::from(u32::MAX)).ok()?;
        (payload.length > 0).then_some(Self { home, number, offset, length: payload.length, check })
    }
}

/// What a change leaves beside its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// In this frame, `at` bytes into its payloads.
    New {
        at: u32,
        length: u32,
        check: u32,
    },
    Placed(Place),
}

/// A change as the journal has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    /// One of the engine's own records, which are in no partition.
    pub(crate) own: bool,
    pub(crate) key: &'a [u8],
    /// `None` deletes.
    pub(crate) put: Option<(&'a [u8], Beside)>,
}

pub(crate) fn encode_transaction(
    into: &mut Vec<u8>,
    token: Token,
    partition: u64,
    changes: &[Change<'_>],
) {
    into.extend(token.0);
    into.extend(partition.to_le_bytes());
    into.extend(small(changes.len()).to_le_bytes());
    for change in changes {
        let (kind, value) = match change.put {
            Some((value, _)) if change.own => (5, value),
            None if change.own => (6, &[][..]),
            Some((value, Beside::Nothing)) => (1, value),
            Some((value, Beside::New { .. })) => (2, value),
            Some((value, Beside::Placed(_))) => (3, value),
            None => (4, &[][..]),
        };
        into.extend([kind, 0]);
        let key_bytes = u16::try_from(change.key.len()).expect("the contract limits keys");
        into.extend(key_bytes.to_le_bytes());
        into.extend(small(value.len()).to_le_bytes());
        into.extend(change.key);
        into.extend(value);
        match change.put.filter(|_| !change.own) {
            Some((_, Beside::New { at, length, check })) => {
                into.extend(at.to_le_bytes());
                into.extend(length.to_le_bytes());
                into.extend(check.to_le_bytes());
            }
            Some((_, Beside::Placed(place))) => place.encode(into),
            Some((_, Beside::Nothing)) | None => {}
        }
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).expect("the contract limits transactions far below 4 GiB")
}

/// A transaction as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction<'a> {
    pub(crate) token: Token,
    pub(crate) partition: u64,
    pub(crate) changes: Vec<Change<'a>>,
}

/// The transactions of a group; `None` unless the bytes are exactly `count` of them and their payloads lie within `payload_bytes`.
pub(crate) fn decode_transactions(
    bytes: &[u8],
    count: u32,
    payload_bytes: u32,
) -> Option<Vec<Transaction<'_>>> {
    let mut reader = Reader(bytes);
    let mut transactions = Vec::new();
    for _ in 0..count {
        let token = Token(reader.array()?);
        let partition = reader.u64()?;
        let mut changes = Vec::new();
        for _ in 0..reader.u32()? {
            changes.push(decode_change(&mut reader, payload_bytes)?);
        }
        transactions.push(Transaction { token, partition, changes });
    }
    reader.is_empty().then_some(transactions)
}

fn decode_change<'a>(reader: &mut Reader<'a>, payload_bytes: u32) -> Option<Change<'a>> {
    let kind = reader.u8()?;
    reader.reserved(1)?;
    let key_bytes = reader.u16()?;
    let value_bytes = reader.u32()?;
    let key = reader.take(key_bytes.into())?;
    let value = reader.take(usize::try_from(value_bytes).ok()?)?;
    let beside = match kind {
        1 | 5 => Beside::Nothing,
        2 => {
            let (at, length, check) = (reader.u32()?, reader.u32()?, reader.u32()?);
            if at.checked_add(length)? > payload_bytes || length == 0 {
                return None;
            }
            Beside::New { at, length, check }
        }
        3 => Beside::Placed(Place::decode(reader)?),
        4 | 6 if value.is_empty() => {
            return Some(Change { own: kind == 6, key, put: None });
        }
        _ => return None,
    };
    let whole = !key.is_empty() && !value.is_empty();
    whole.then_some(Change { own: kind == 5, key, put: Some((value, beside)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> Place {
        Place { home: Home::Segment, number: 7, offset: 4_160, length: 9, check: 0xfeed_f00d }
    }

    fn put<'a>(key: &'a [u8], value: &'a [u8], beside: Beside) -> Change<'a> {
        Change { own: false, key, put: Some((value, beside)) }
    }

    #[test]
    fn places_come_back_through_the_contract_and_the_codec() {
        assert_eq!(Place::of_ref(place().to_ref()), Some(place()));
        let mut bytes = Vec::new();
        place().encode(&mut bytes);
        assert_eq!(bytes.len(), PLACE_BYTES);
        assert_eq!(Place::decode(&mut Reader(&bytes)), Some(place()));
    }

    #[test]
    fn transactions_come_back_as_they_were() {
        let first = [
            put(b"a", b"1", Beside::Nothing),
            put(b"b", b"22", Beside::New { at: 3, length: 4, check: 5 }),
            Change { own: true, ..put(b"v", b"own", Beside::Nothing) },
        ];
        let second = [
            Change { own: false, key: b"a", put: None },
            put(b"c", b"333", Beside::Placed(place())),
            put(b"d", b"4", Beside::Placed(Place { home: Home::Values, ..place() })),
            Change { own: true, key: b"v", put: None },
        ];
        let mut bytes = Vec::new();
        encode_transaction(&mut bytes, Token([1; 16]), 8, &first);
        encode_transaction(&mut bytes, Token([2; 16]), 9, &second);
        let told = decode_transactions(&bytes, 2, 7).unwrap();
        assert_eq!(told[0].changes, first);
        assert_eq!(
            told[1],
            Transaction { token: Token([2; 16]), partition: 9, changes: second.into() }
        );
        assert_eq!(decode_transactions(&bytes, 1, 7), None, "a rest is an error");
        assert_eq!(decode_transactions(&bytes, 3, 7), None, "so is a lack");
        assert_eq!(decode_transactions(&bytes, 2, 6), None, "and a payload past the payloads");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, count in 0u32..4, payload_bytes: u32) {
            let _ = decode_transactions(&bytes, count, payload_bytes);
        }
    }
}
