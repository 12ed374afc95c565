use bytes::Bytes;
use ossia_store::BlobId;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    VersionId,
    keys::ContentId,
    words::{Attributes, BucketAcl, ObjectAcl, ObjectKey, Redundancy, StorageClass, Versioning},
};

fn head() -> Head {
    Head {
        kind: Kind::Appendable { etag_s: 1_767_225_600, sealed_s: None, fence: 0 },
        length: 11,
        crc64: 5_981_764_153_023_615_706,
        content: Content::Extents(ContentId([7; 16])),
        modified_s: 1_767_225_600,
        attributes: Attributes::default(),
        acl: ObjectAcl::Default,
        tags: vec![],
        storage_class: StorageClass::Standard,
        order: 1,
        version_id: VersionId::Null,
        below: Below::default(),
        noncurrent_s: None,
        life: Life::default(),
        sealing: None,
    }
}

/// The bytes of a head are a format: a change here breaks stores that exist.
#[test]
fn a_head_has_these_bytes() {
    let expected = [
        &b"\x01\x08\x03\x10\x0b\x19"[..],
        &5_981_764_153_023_615_706_u64.to_le_bytes(),
        b"\x30\x80\xf2\xd6\xca\x06\x38\x80\xf2\xd6\xca\x06\x50\x01\x62\x10",
        &[7; 16],
    ]
    .concat();
    assert_eq!(head().encode(), expected);
}

fn arb_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(|md5| Kind::Normal { md5 }),
        Just(Kind::DeleteMarker),
        ("[A-F0-9-]{0,40}", any::<Option<[u8; 16]>>())
            .prop_map(|(etag, md5)| Kind::Multipart { etag, md5 }),
        any::<(u64, Option<u64>, u64)>()
            .prop_map(|(etag_s, sealed_s, fence)| { Kind::Appendable { etag_s, sealed_s, fence } }),
        ("[A-F0-9]{32}", "[a-z]{1,40}").prop_map(|(etag, target)| Kind::Symlink {
            etag,
            target: ObjectKey::new(&target).unwrap(),
        }),
    ]
}

fn arb_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..30).prop_map(Bytes::from)
}

prop_compose! {
    fn arb_attributes()(
        content_type in arb_bytes(),
        optional in vec(proptest::option::of(arb_bytes()), 5),
        metadata in vec(("[a-z0-9-]{1,9}", arb_bytes()), 0..4),
        persistent in vec(("[a-z0-9-]{1,9}", arb_bytes()), 0..4),
    ) -> Attributes {
        Attributes {
            content_type,
            cache_control: optional[0].clone(),
            content_disposition: optional[1].clone(),
            content_encoding: optional[2].clone(),
            content_language: optional[3].clone(),
            expires: optional[4].clone(),
            metadata,
            persistent,
        }
    }
}

prop_compose! {
    fn arb_life()(
        retention in proptest::option::of((any::<bool>(), any::<u64>())),
        hold in any::<Option<bool>>(),
        restore in any::<Option<(u64, u64)>>(),
        transition_s in any::<Option<u64>>(),
    ) -> Life {
        let mode = |strict| match strict {
            true => RetentionMode::Compliance,
            false => RetentionMode::Governance,
        };
        Life {
            retention: retention
                .map(|(strict, until)| ObjectRetention { mode: mode(strict), until }),
            hold,
            restore: restore.map(|(ready_ms, expires_ms)| Restore { ready_ms, expires_ms }),
            transition_s,
        }
    }
}

prop_compose! {
    fn arb_retention()(
        seq in 1..u64::MAX,
        worm in proptest::option::of(("[A-F0-9]{32}", any::<bool>(), any::<u32>(), any::<u64>())),
        objects in proptest::option::of(proptest::option::of((any::<bool>(), 1..99_u32))),
    ) -> Retention {
        let default = |(days, n)| DefaultRetention {
            mode: if days { RetentionMode::Compliance } else { RetentionMode::Governance },
            period: if days { RetentionPeriod::Days(n) } else { RetentionPeriod::Years(n) },
        };
        Retention {
            seq,
            worm: worm.map(|(id, locked, days, created_ms)| Worm { id, locked, days, created_ms }),
            objects: objects.map(|given| ObjectWorm { default: given.map(default) }),
        }
    }
}

prop_compose! {
    fn arb_head()(
        kind in arb_kind(),
        (length, crc64, modified_s, order) in any::<(u64, u64, u64, u64)>(),
        content in proptest::option::of(any::<[u8; 16]>()),
        attributes in arb_attributes(),
        acl in proptest::sample::select(ObjectAcl::ALL),
        storage_class in proptest::sample::select(StorageClass::ALL),
        tags in vec(("[a-z]{1,5}", "[a-zé]{0,5}"), 0..4),
        version_id in proptest::option::of(any::<[u8; 16]>()),
        below in any::<(bool, Option<u64>, u64)>(),
        noncurrent_s in any::<Option<u64>>(),
        life in arb_life(),
        sealing in proptest::option::of(any::<([u8; 16], Option<[u8; 16]>)>()),
    ) -> Head {
        Head {
            kind,
            length,
            crc64,
            content: content.map_or(Content::Inline, |id| Content::Extents(ContentId(id))),
            modified_s,
            attributes,
            acl,
            tags,
            storage_class,
            order,
            version_id: version_id.map_or(VersionId::Null, VersionId::Made),
            below: Below { any: below.0, null: below.1, past: below.2 },
            noncurrent_s,
            life,
            sealing: sealing.map(|(key, salt)| HeadSealing { key: ContentId(key), salt }),
        }
    }
}

/// Or an older program would hand out what is stored.
#[test]
fn records_of_what_is_encrypted_have_a_format_that_older_programs_refuse() {
    let mut sealed = head();
    sealed.sealing = Some(HeadSealing { key: ContentId([1; 16]), salt: None });
    assert_eq!(sealed.encode()[0], 3);
    let sealing =
        crate::sealing::Sealing { key: ContentId([1; 16]), salt: [2; 16], part: None, length: 9 };
    let plain = Extent { length: 9, crc64: 1, source: Source::Payload, sealing: None };
    assert_eq!(plain.encode()[0], 1);
    let extent = Extent { sealing: Some(sealing), ..plain };
    assert_eq!(extent.encode()[0], 3);
    let short = Extent { length: 10, ..extent };
    assert!(Extent::decode(&short.encode()).is_err(), "longer than its run");
}

/// Or an older program would rewrite them and drop the protection.
#[test]
fn records_that_protect_have_a_format_that_older_programs_refuse() {
    let mut held = head();
    held.life.restore = Some(Restore { ready_ms: 1, expires_ms: 2 });
    assert_eq!(held.encode()[0], 1);
    held.life.hold = Some(true);
    assert_eq!(held.encode()[0], 2);
    let worm = Worm { id: "A".into(), locked: false, days: 1, created_ms: 1 };
    let retention = Retention { seq: 1, worm: Some(worm), objects: None };
    let bucket = |retention| BucketRecord {
        state: BucketState::Open,
        epoch: 0,
        versioning: None,
        versioning_epoch: 0,
        retention,
    };
    assert_eq!(bucket(Retention::default()).encode()[0], 1);
    assert_eq!(bucket(retention).encode()[0], 2);
}

proptest! {
    #[test]
    fn retentions_come_back_as_they_were(retention in arb_retention()) {
        let state = BucketState::Open;
        let bucket = BucketRecord { state, epoch: 3, versioning: None, versioning_epoch: 0, retention };
        prop_assert_eq!(BucketRecord::decode(&bucket.encode()), Ok(bucket));
    }

    #[test]
    fn heads_come_back_as_they_were(head in arb_head()) {
        prop_assert_eq!(Head::decode(&head.encode()), Ok(head));
    }

    #[test]
    fn extents_and_tombstones_come_back_as_they_were(
        length in 1..u64::MAX / 2,
        crc64 in any::<u64>(),
        blob in proptest::option::of((any::<[u8; 16]>(), 0..u64::MAX / 2)),
        blobs in vec(any::<[u8; 16]>(), 0..5),
        sealing in proptest::option::of(any::<([u8; 16], [u8; 16], Option<u16>, u32)>()),
    ) {
        let sealing = sealing.map(|(key, salt, part, more)| crate::sealing::Sealing {
            key: ContentId(key),
            salt,
            part,
            length: length + u64::from(more),
        });
        let source = match blob {
            Some((id, offset)) => Source::Blob { id: BlobId(id), offset },
            None => Source::Payload,
        };
        let extent = Extent { length, crc64, source, sealing };
        prop_assert_eq!(Extent::decode(&extent.encode()), Ok(extent));
        let blobs = blobs.into_iter().map(BlobId).collect();
        let readers_of = (length % 2 == 0).then(|| ContentId::new(length >> 16));
        let tombstone = Tombstone { when_ms: crc64, length, blobs, readers_of, key: readers_of };
        prop_assert_eq!(Tombstone::decode(&tombstone.encode()), Ok(tombstone));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in vec(any::<u8>(), 0..200),
        head in arb_head(),
        flip in any::<(proptest::sample::Index, u8)>(),
    ) {
        let mut damaged = head.encode().to_vec();
        let at = flip.0.index(damaged.len());
        damaged[at] ^= flip.1;
        for bytes in [bytes.clone(), [&[1][..], &bytes].concat(), damaged] {
            let bytes = Bytes::from(bytes);
            let _ = Head::decode(&bytes);
            let _ = Extent::decode(&bytes);
            let _ = Reference::decode(&bytes);
            let _ = Tombstone::decode(&bytes);
            let _ = Catalogue::decode(&bytes);
            let _ = BucketRecord::decode(&bytes);
            let _ = <Counters as Stored>::decode(&bytes);
            let _ = Dropped::decode(&bytes);
        }
    }
}

#[test]
fn a_record_of_another_format_is_damaged_and_an_unknown_field_is_not() {
    let mut bytes = head().encode().to_vec();
    // Field 60, a number.
    bytes.extend_from_slice(b"\xe0\x03\x05");
    assert_eq!(Head::decode(&bytes.clone().into()), Ok(head()));
    bytes[0] = 4;
    assert!(Head::decode(&bytes.into()).is_err());
    assert!(Head::decode(&Bytes::new()).is_err());
    // A length of nothing would make a reader stand still.
    let extent = Extent { length: 0, crc64: 0, source: Source::Payload, sealing: None };
    assert!(Extent::decode(&extent.encode()).is_err());
}

/// A program that knows no versions reads format 1 only, and so writes nothing into a bucket that has them.
#[test]
fn a_bucket_with_versions_has_a_format_of_its_own_and_one_without_has_the_old_one() {
    let mut record = BucketRecord {
        state: BucketState::Open,
        epoch: 3,
        versioning: None,
        versioning_epoch: 0,
        retention: Retention::default(),
    };
    assert_eq!(record.encode(), &b"\x01\x08\x02\x10\x03"[..]);
    let mut catalogue = Catalogue {
        id: 1,
        state: BucketState::Open,
        epoch: 0,
        since_ms: 0,
        partitions: 1,
        acl: BucketAcl::Private,
        storage_class: StorageClass::Standard,
        redundancy: Redundancy::Lrs,
        versioning: None,
        versioning_epoch: 0,
        spreading: false,
        created_ms: 0,
        retention: Retention::default(),
    };
    assert_eq!(catalogue.encode(), &b"\x01\x08\x01\x10\x02\x28\x01"[..]);
    for versioning in [Versioning::Enabled, Versioning::Suspended] {
        (record.versioning, record.versioning_epoch) = (Some(versioning), 1);
        assert_eq!(record.encode()[0], 2);
        assert_eq!(BucketRecord::decode(&record.encode()), Ok(record.clone()));
        (catalogue.versioning, catalogue.spreading) = (Some(versioning), true);
        assert_eq!(catalogue.encode()[0], 2);
        assert_eq!(Catalogue::decode(&catalogue.encode()), Ok(catalogue.clone()));
    }
}
