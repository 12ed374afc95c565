'use strict';
// Retention of a bucket, storage classes, restores, and when objects expire.

const assert = require('assert');
const { refused } = require('./expect');

module.exports = async function lifetimes({ oss, bucket, run }) {
  await run('a retention policy is begun, obeyed, told and aborted', async () => {
    await refused(oss.getBucketWorm(bucket), 404, 'NoSuchWORMConfiguration');
    await oss.append('lifetimes/log', Buffer.from('hello'));
    const { wormId } = await oss.initiateBucketWorm(bucket, '1');
    assert.ok(wormId);
    try {
      const told = await oss.getBucketWorm(bucket);
      assert.deepStrictEqual([told.wormId, told.state, String(told.days)], [wormId, 'InProgress', '1']);
      await refused(oss.append('lifetimes/log', Buffer.from('x'), { position: '5' }), 409, 'FileImmutable');
      await refused(oss.put('lifetimes/log', Buffer.from('x')), 409, 'FileImmutable');
      await refused(oss.delete('lifetimes/log'), 409, 'FileImmutable');
      await refused(oss.extendBucketWorm(bucket, wormId, '2'), 400, 'InvalidWORMConfiguration');
      // The SDK takes every answer to this one for a success.
      assert.strictEqual((await oss.completeBucketWorm(bucket, 'nonsense')).status, 404);
    } finally {
      await oss.abortBucketWorm(bucket);
    }
    await oss.append('lifetimes/log', Buffer.from('!'), { position: '5' });
  });

  await run('an archived object is refused until it is restored', async () => {
    const headers = { 'x-oss-storage-class': 'Archive' };
    await oss.put('lifetimes/archived', Buffer.from('cold'), { headers });
    await refused(oss.get('lifetimes/archived'), 403, 'InvalidObjectState');
    assert.strictEqual((await oss.restore('lifetimes/archived')).res.status, 202);
    await refused(oss.restore('lifetimes/archived'), 409, 'RestoreAlreadyInProgress');
    const told = (await oss.head('lifetimes/archived')).res.headers;
    assert.strictEqual(told['x-oss-restore'], 'ongoing-request="true"');
    assert.strictEqual(told['x-oss-storage-class'], 'Archive');
    await oss.put('lifetimes/warm', Buffer.from('warm'));
    await refused(oss.restore('lifetimes/warm'), 400, 'OperationNotSupported');
  });

  await run('a cold archive is restored with a tier', async () => {
    const headers = { 'x-oss-storage-class': 'ColdArchive' };
    await oss.put('lifetimes/cold', Buffer.from('cold'), { headers });
    const taken = await oss.restore('lifetimes/cold', { type: 'ColdArchive', Days: 2, JobParameters: 'Bulk' });
    assert.strictEqual(taken.res.status, 202);
    assert.strictEqual(taken.res.headers['x-oss-object-restore-priority'], 'Bulk');
  });

  await run('an object tells when it expires', async () => {
    await oss.putBucketLifecycle(bucket, [
      { id: 'soon', prefix: 'lifetimes/tmp', status: 'Enabled', expiration: { days: '7' } }
    ]);
    await oss.put('lifetimes/tmp', Buffer.from('x'));
    const told = (await oss.head('lifetimes/tmp')).res.headers['x-oss-expiration'];
    assert.match(told, /^expiry-date="\w{3}, \d\d \w{3} \d{4} 00:00:00 GMT", rule-id="soon"$/);
    await oss.deleteBucketLifecycle(bucket);
  });
};
