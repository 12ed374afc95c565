'use strict';
// What buckets and objects are set to: ACL, tags, links, and the configurations of a bucket.

const assert = require('assert');
const { refused } = require('./expect');

module.exports = async function configs({ oss, bucket, run }) {
  await run('an object acl is set and read back', async () => {
    await oss.put('configs/acl', Buffer.from('x'));
    assert.strictEqual((await oss.getACL('configs/acl')).acl, 'default');
    await oss.putACL('configs/acl', 'public-read');
    const told = await oss.getACL('configs/acl');
    assert.strictEqual(told.acl, 'public-read');
    assert.ok(told.owner.id);
    await refused(oss.putACL('configs/acl', 'everyone'), 400, 'InvalidArgument');
    await refused(oss.getACL('configs/none'), 404, 'NoSuchKey');
  });

  await run('object tags are set, read back, counted and deleted', async () => {
    await oss.put('configs/tags', Buffer.from('x'));
    assert.deepStrictEqual((await oss.getObjectTagging('configs/tags')).tag, {});
    await oss.putObjectTagging('configs/tags', { a: '1', 'b c': '2' });
    assert.deepStrictEqual((await oss.getObjectTagging('configs/tags')).tag, { a: '1', 'b c': '2' });
    assert.strictEqual((await oss.head('configs/tags')).res.headers['x-oss-tagging-count'], '2');
    await oss.deleteObjectTagging('configs/tags');
    assert.deepStrictEqual((await oss.getObjectTagging('configs/tags')).tag, {});
  });

  await run('a link is put, read and read through', async () => {
    await oss.append('configs/日 target', Buffer.from('hello'));
    await oss.putSymlink('configs/link', 'configs/日 target', { meta: { from: 'link' }, headers: {} });
    const told = await oss.getSymlink('configs/link');
    assert.strictEqual(told.targetName, 'configs/日 target');
    assert.strictEqual((await oss.get('configs/link')).content.toString(), 'hello');
    assert.strictEqual((await oss.head('configs/link')).meta.from, 'link');
    await oss.putSymlink('configs/broken', 'configs/none');
    await refused(oss.get('configs/broken'), 404, 'SymlinkTargetNotExist');
    await refused(oss.getSymlink('configs/日 target'), 400, 'NotSymlink');
  });

  await run('bucket tags are set, read back and deleted', async () => {
    await oss.putBucketTags(bucket, { a: '1', b: '2' });
    assert.deepStrictEqual((await oss.getBucketTags(bucket)).tag, { a: '1', b: '2' });
    await oss.deleteBucketTags(bucket);
    assert.deepStrictEqual((await oss.getBucketTags(bucket)).tag, {});
  });

  await run('cors rules are set, obeyed, read back and deleted', async () => {
    await refused(oss.getBucketCORS(bucket), 404, 'NoSuchCORSConfiguration');
    const rules = [
      {
        allowedOrigin: '*',
        allowedMethod: ['GET', 'PUT'],
        allowedHeader: '*',
        exposeHeader: 'ETag',
        maxAgeSeconds: '50'
      },
      { allowedOrigin: 'https://a.example.com', allowedMethod: 'DELETE' }
    ];
    await oss.putBucketCORS(bucket, rules);
    const told = (await oss.getBucketCORS(bucket)).rules;
    assert.strictEqual(told.length, 2);
    assert.deepStrictEqual(told[0].allowedMethod, ['GET', 'PUT']);
    assert.strictEqual(told[1].allowedOrigin, 'https://a.example.com');
    const answer = await oss.put('configs/cors', Buffer.from('x'), { headers: { Origin: 'http://page.test' } });
    assert.strictEqual(answer.res.headers['access-control-allow-origin'], '*');
    assert.strictEqual(answer.res.headers['access-control-expose-headers'], 'ETag');
    await oss.deleteBucketCORS(bucket);
    await refused(oss.getBucketCORS(bucket), 404, 'NoSuchCORSConfiguration');
  });

  await run('a referer list is set, read back and reset', async () => {
    await oss.putBucketReferer(bucket, false, ['http://a.test/*', 'http://b.test/*']);
    const told = await oss.getBucketReferer(bucket);
    assert.strictEqual(told.allowEmpty, false);
    assert.deepStrictEqual(told.referers, ['http://a.test/*', 'http://b.test/*']);
    await oss.deleteBucketReferer(bucket);
    assert.strictEqual((await oss.getBucketReferer(bucket)).referers, null);
  });

  await run('a website is set, read back and deleted', async () => {
    await oss.putBucketWebsite(bucket, {
      index: 'index.html',
      supportSubDir: 'true',
      type: '1',
      error: 'error.html',
      routingRules: [
        {
          RuleNumber: '1',
          Condition: { KeyPrefixEquals: 'old/', HttpErrorCodeReturnedEquals: '404' },
          Redirect: { RedirectType: 'External', HostName: 'new.test', HttpRedirectCode: '302' }
        }
      ]
    });
    const told = await oss.getBucketWebsite(bucket);
    const shown = [told.index, told.supportSubDir, told.type, told.error];
    assert.deepStrictEqual(shown, ['index.html', 'true', '1', 'error.html']);
    assert.strictEqual(told.routingRules[0].Redirect.HostName, 'new.test');
    await oss.deleteBucketWebsite(bucket);
    await refused(oss.getBucketWebsite(bucket), 404, 'NoSuchWebsiteConfiguration');
  });

  await run('lifecycle rules are set, read back and deleted', async () => {
    await refused(oss.getBucketLifecycle(bucket), 404, 'NoSuchLifecycle');
    await oss.putBucketLifecycle(bucket, [
      { id: 'one', prefix: 'logs/', status: 'Enabled', expiration: { days: 90 }, tag: [{ key: 'k', value: 'v' }] },
      {
        prefix: 'tmp/',
        status: 'Enabled',
        abortMultipartUpload: { days: 1 },
        expiration: { createdBeforeDate: '2020-02-18T00:00:00.000Z' }
      },
      { id: 'three', prefix: 'cold/', status: 'Disabled', transition: { days: 20, storageClass: 'Archive' } }
    ]);
    const told = (await oss.getBucketLifecycle(bucket)).rules;
    assert.strictEqual(told.length, 3);
    assert.deepStrictEqual([told[0].id, told[0].prefix, told[0].expiration.days], ['one', 'logs/', '90']);
    assert.ok(told[1].id);
    assert.strictEqual(told[1].expiration.createdBeforeDate, '2020-02-18T00:00:00.000Z');
    assert.strictEqual(told[2].transition.storageClass, 'Archive');
    await oss.deleteBucketLifecycle(bucket);
    await refused(oss.getBucketLifecycle(bucket), 404, 'NoSuchLifecycle');
  });

  await run('logging is switched on, read back and off', async () => {
    await oss.putBucketLogging(bucket, 'logs/');
    const told = await oss.getBucketLogging(bucket);
    assert.deepStrictEqual([told.enable, told.prefix], [true, 'logs/']);
    await oss.deleteBucketLogging(bucket);
    assert.strictEqual((await oss.getBucketLogging(bucket)).enable, false);
  });

  await run('who pays is set and read back', async () => {
    await oss.putBucketRequestPayment(bucket, 'Requester');
    assert.strictEqual((await oss.getBucketRequestPayment(bucket)).payer, 'Requester');
    await oss.putBucketRequestPayment(bucket, 'BucketOwner');
    assert.strictEqual((await oss.getBucketRequestPayment(bucket)).payer, 'BucketOwner');
  });

  await run('a policy is set, read back and deleted', async () => {
    const policy = {
      Version: '1',
      Statement: [
        { Action: ['oss:GetObject'], Effect: 'Allow', Principal: ['27'], Resource: [`acs:oss:*:*:${bucket}/*`] }
      ]
    };
    await oss.putBucketPolicy(bucket, policy);
    assert.deepStrictEqual((await oss.getBucketPolicy(bucket)).policy, policy);
    await oss.deleteBucketPolicy(bucket);
    assert.strictEqual((await oss.getBucketPolicy(bucket)).policy, null);
  });

  await run('inventories are put, told, listed and deleted', async () => {
    const inventory = {
      id: 'daily',
      isEnabled: true,
      prefix: 'p/',
      OSSBucketDestination: { format: 'CSV', accountId: '1', rolename: 'r', bucket, prefix: 'out' },
      frequency: 'Daily',
      includedObjectVersions: 'All',
      optionalFields: { field: ['Size', 'ETag'] }
    };
    await oss.putBucketInventory(bucket, inventory);
    const told = (await oss.getBucketInventory(bucket, 'daily')).inventory;
    assert.deepStrictEqual([told.id, told.frequency, told.prefix], ['daily', 'Daily', 'p/']);
    assert.deepStrictEqual(told.optionalFields.field, ['Size', 'ETag']);
    assert.strictEqual((await oss.listBucketInventory(bucket)).inventoryList.length, 1);
    await oss.deleteBucketInventory(bucket, 'daily');
    await refused(oss.getBucketInventory(bucket, 'daily'), 404, 'NoSuchInventory');
  });

  await run('what the bucket encrypts is encrypted, and told so', async () => {
    await refused(oss.getBucketEncryption(bucket), 404, 'NoSuchServerSideEncryptionRule');
    await refused(oss.putBucketEncryption(bucket, { SSEAlgorithm: 'KMS' }), 400, 'KmsServiceNotEnabled');
    await oss.putBucketEncryption(bucket, { SSEAlgorithm: 'AES256' });
    const { encryption } = await oss.getBucketEncryption(bucket);
    assert.strictEqual(encryption.SSEAlgorithm, 'AES256');
    const told = answer => answer.res.headers['x-oss-server-side-encryption'];
    assert.strictEqual(told(await oss.put('encrypted', Buffer.from('secret'))), 'AES256');
    await oss.deleteBucketEncryption(bucket);
    assert.strictEqual(told(await oss.head('encrypted')), 'AES256');
    const read = await oss.get('encrypted');
    assert.deepStrictEqual([told(read), read.content.toString()], ['AES256', 'secret']);
    assert.strictEqual(told(await oss.put('plain', Buffer.from('open'))), undefined);
    const headers = { 'x-oss-server-side-encryption': 'AES256' };
    assert.strictEqual(told(await oss.append('encrypted.log', Buffer.from('one'), { headers })), 'AES256');
    const next = await oss.append('encrypted.log', Buffer.from(' two'), { position: 3 });
    assert.strictEqual(told(next), 'AES256');
    assert.strictEqual((await oss.get('encrypted.log')).content.toString(), 'one two');
    for (const name of ['encrypted', 'plain', 'encrypted.log']) await oss.delete(name);
  });
};
