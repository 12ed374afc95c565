//! Configurations of buckets: one set of documents a kind, seen by every request that begins later, gone with the bucket.

use bytes::Bytes;
use ossia_store::{Item, Scan};

use super::support::{World, in_every_world, logs, name};
use crate::{
    ConfigEntries, ConfigError, ConfigKind, CreateBucketInput,
    keys::{self, SYSTEM},
    words::{BucketAcl, ObjectAcl},
};

const BLOCK: &str = "<PublicAccessBlockConfiguration><BlockPublicAccess>true</BlockPublicAccess>\
    </PublicAccessBlockConfiguration>";

fn one(document: &'static str) -> impl Fn(ConfigEntries) -> Result<ConfigEntries, ConfigError> {
    move |_| Ok(vec![(String::new(), Bytes::from_static(document.as_bytes()))])
}

async fn stored(world: &World) -> usize {
    let start = keys::tagged(keys::CONFIG, &[]);
    let end = ossia_store::successor(&start);
    let scan = Scan { start, end, limit: 1_000, fold: None };
    let page = world.objects.core.store.scan(SYSTEM, scan).await.unwrap();
    page.items.iter().filter(|item| matches!(item, Item::Record(..))).count()
}

#[tokio::test]
async fn a_change_counts_for_the_next_request_and_goes_with_the_bucket() {
    in_every_world(async |world| {
        let (bucket, kind) = (logs(), ConfigKind::PublicAccessBlock);
        let blocked = async || world.objects.rules(&bucket).await.unwrap().blocked;
        assert!(!blocked().await);
        world.objects.configure(Some(&bucket), kind, one(BLOCK)).await.unwrap();
        assert!(blocked().await);
        let rules = world.objects.rules(&bucket).await.unwrap();
        assert_eq!(rules.effective_bucket_acl(BucketAcl::PublicReadWrite), BucketAcl::Private);
        assert_eq!(rules.effective_object_acl(ObjectAcl::PublicRead), ObjectAcl::Private);
        assert_eq!(rules.effective_object_acl(ObjectAcl::Default), ObjectAcl::Default);
        let told = world.objects.configuration(Some(&bucket), kind).await.unwrap();
        assert_eq!(told, [(String::new(), Bytes::from_static(BLOCK.as_bytes()))]);
        world.objects.configure(Some(&bucket), ConfigKind::Lifecycle, one("kept")).await.unwrap();
        assert_eq!(stored(&world).await, 2);
        world.objects.delete_bucket(&bucket).await.unwrap();
        assert_eq!(stored(&world).await, 0);
        let absent = world.objects.configure(Some(&bucket), kind, one(BLOCK)).await;
        assert_eq!(absent, Err(ConfigError::NoSuchBucket));
        let again = CreateBucketInput {
            name: bucket.clone(),
            acl: None,
            storage_class: None,
            redundancy: None,
        };
        world.objects.create_bucket(again).await.unwrap();
        assert!(!blocked().await);
    })
    .await;
}

#[tokio::test]
async fn what_the_account_sets_counts_for_every_bucket_and_refusals_change_nothing() {
    in_every_world(async |world| {
        let (bucket, kind) = (logs(), ConfigKind::PublicAccessBlock);
        let rules = async || world.objects.rules(&bucket).await.unwrap();
        assert!(!rules().await.blocked);
        world.objects.configure(None, kind, one(BLOCK)).await.unwrap();
        assert!(rules().await.blocked && !rules().await.bucket_blocked);
        assert!(world.objects.rules(&name("none")).await.unwrap().blocked);
        let refused = world.objects.configure(None, kind, |_| Err(ConfigError::Exists)).await;
        assert_eq!(refused, Err(ConfigError::Exists));
        let long = "x".repeat(crate::CONFIGURATION_BYTES_MAX + 1);
        let long = move |_| Ok(vec![(String::new(), Bytes::from(long.clone()))]);
        let refused = world.objects.configure(None, ConfigKind::Inventory, long).await;
        assert_eq!(refused, Err(ConfigError::TooMany));
        assert!(rules().await.blocked);
        world.objects.configure(None, kind, |_| Ok(Vec::new())).await.unwrap();
        assert!(!rules().await.blocked);
        assert_eq!(stored(&world).await, 0);
    })
    .await;
}
