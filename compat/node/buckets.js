'use strict';
// Buckets: create, describe, list, delete.

const assert = require('assert');
const { region, scheme, endpoints } = require('./clients');
const { refused } = require('./expect');

module.exports = async function buckets({ oss, bucket, run, skip, addressing }) {
  await run('describes the bucket', async () => {
    const info = (await oss.getBucketInfo(bucket)).bucket;
    assert.strictEqual(info.Name, bucket);
    assert.strictEqual(info.Location, `oss-${region}`);
    assert.strictEqual(info.ExtranetEndpoint, endpoints.outside);
    assert.strictEqual(info.IntranetEndpoint, endpoints.inside);
    assert.strictEqual(info.StorageClass, 'Standard');
    assert.strictEqual(info.AccessControlList.Grant, 'private');
    assert.ok(info.Owner.ID);
    assert.match(info.CreationDate, /\.000Z$/);
  });

  if (addressing === 'cname') return; // a custom domain serves one bucket and no service

  if (addressing === 'ip' && scheme === 'https') {
    skip('lists buckets', 'without a bucket ali-oss asks TLS for ".oss-REGION.aliyuncs.com", which is no name');
    return;
  }

  await run('lists buckets, one by prefix and page by page', async () => {
    const extra = [`${bucket}-a`, `${bucket}-b`];
    for (const name of extra) await oss.putBucket(name);
    const all = await oss.listBuckets({ prefix: bucket });
    assert.deepStrictEqual(all.buckets.map(entry => entry.name), [bucket, ...extra]);
    assert.ok(all.owner.id);
    const own = all.buckets[0];
    assert.strictEqual(own.region, `oss-${region}`);
    assert.strictEqual(own.storageClass, 'Standard');
    assert.match(own.creationDate, /\.000Z$/);
    const first = await oss.listBuckets({ prefix: bucket, 'max-keys': 2 });
    assert.strictEqual(first.buckets.length, 2);
    assert.strictEqual(first.isTruncated, true);
    const rest = await oss.listBuckets({ prefix: bucket, 'max-keys': 2, marker: first.nextMarker });
    assert.deepStrictEqual(rest.buckets.map(entry => entry.name), [extra[1]]);
    for (const name of extra) await oss.deleteBucket(name);
  });

  await run('a bucket of one owner may be created again', () => oss.putBucket(bucket));

  await run('a bucket that holds an object is not deleted, a missing one is told', async () => {
    await oss.append('keeps-the-bucket.log', Buffer.from('x'));
    await refused(oss.deleteBucket(bucket), 409, 'BucketNotEmpty');
    await refused(oss.deleteBucket(`${bucket}-absent`), 404, 'NoSuchBucket');
    await refused(oss.getBucketInfo(`${bucket}-absent`), 404, 'NoSuchBucket');
    await oss.delete('keeps-the-bucket.log');
  });
};
