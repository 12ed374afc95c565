'use strict';
// Versions, in a bucket of their own: once a bucket keeps them it never stops having had them.

const assert = require('assert');
const { refused } = require('./expect');

async function emptyVersions(oss) {
  for (;;) {
    const page = await oss.getBucketVersions({ maxKeys: 1000 });
    const all = page.objects.concat(page.deleteMarker).map(({ name, versionId }) => ({ key: name, versionId }));
    if (all.length > 0) await oss.deleteMulti(all, { quiet: true });
    if (!page.isTruncated) return;
  }
}

module.exports = async function versions({ signature, addressing, client, run, skip }) {
  if (addressing === 'cname') {
    skip('versions', 'a custom domain serves one bucket, which must not keep versions');
    return;
  }
  const bucket = `compat-node-versions-${signature}-${addressing}`;
  const oss = client({ bucket });
  const header = (answer, name) => answer.res.headers[name];
  const version = answer => header(answer, 'x-oss-version-id');

  await run('a bucket is told to keep versions, and tells it', async () => {
    await oss.putBucket(bucket);
    assert.strictEqual((await oss.getBucketVersioning(bucket)).versionStatus, undefined);
    await oss.putBucketVersioning(bucket, 'Enabled');
    assert.strictEqual((await oss.getBucketVersioning(bucket)).versionStatus, 'Enabled');
  });

  await run('versions are put, read, listed, copied back and deleted by their ids', async () => {
    const one = version(await oss.put('v/k', Buffer.from('first')));
    const two = version(await oss.put('v/k', Buffer.from('second')));
    assert.notStrictEqual(one, two);
    assert.strictEqual((await oss.get('v/k')).content.toString(), 'second');
    assert.strictEqual((await oss.get('v/k', { versionId: one })).content.toString(), 'first');
    assert.strictEqual(version(await oss.head('v/k', { versionId: one })), one);
    assert.strictEqual(version(await oss.getObjectMeta('v/k', { versionId: one })), one);
    await oss.putObjectTagging('v/k', { a: '1' }, { versionId: one });
    assert.deepStrictEqual((await oss.getObjectTagging('v/k', { versionId: one })).tag, { a: '1' });
    assert.deepStrictEqual((await oss.getObjectTagging('v/k')).tag, {});
    await oss.putACL('v/k', 'public-read', { versionId: one });
    assert.strictEqual((await oss.getACL('v/k', { versionId: one })).acl, 'public-read');
    await oss.copy('v/k', 'v/k', { versionId: one });
    assert.strictEqual((await oss.get('v/k')).content.toString(), 'first');
    const page = await oss.getBucketVersions({ prefix: 'v/', maxKeys: 2 });
    assert.deepStrictEqual(page.objects.map(object => object.isLatest), [true, false]);
    assert.strictEqual(page.objects[1].versionId, two);
    assert.ok(page.isTruncated && page.objects[0].owner.id);
    const rest = await oss.getBucketVersions({
      prefix: 'v/',
      keyMarker: page.nextKeyMarker,
      versionIdMarker: page.nextVersionIdMarker
    });
    assert.deepStrictEqual(rest.objects.map(object => object.versionId), [one]);
    assert.strictEqual(rest.isTruncated, false);
    await oss.delete('v/k', { versionId: one });
    await refused(oss.get('v/k', { versionId: one }), 404, 'NoSuchVersion');
  });

  await run('a deleted object is under a marker, which is deleted by its id', async () => {
    await oss.put('v/gone', Buffer.from('x'));
    const deleted = await oss.delete('v/gone');
    assert.strictEqual(header(deleted, 'x-oss-delete-marker'), 'true');
    await refused(oss.get('v/gone'), 404, 'NoSuchKey');
    await refused(oss.get('v/gone', { versionId: version(deleted) }), 405, 'MethodNotAllowed');
    const page = await oss.getBucketVersions({ prefix: 'v/gone' });
    assert.deepStrictEqual(page.deleteMarker.map(marker => marker.versionId), [version(deleted)]);
    await oss.delete('v/gone', { versionId: version(deleted) });
    assert.strictEqual((await oss.get('v/gone')).content.toString(), 'x');
  });

  await run('appends stay in their version and begin anew over a marker', async () => {
    const first = await oss.append('v/log', Buffer.from('hello'));
    const more = await oss.append('v/log', Buffer.from(' world'), { position: 5 });
    assert.strictEqual(version(more), version(first));
    const marker = version(await oss.delete('v/log'));
    const anew = await oss.append('v/log', Buffer.from('anew'));
    assert.notStrictEqual(version(anew), version(first));
    await oss.delete('v/log', { versionId: version(anew) });
    await oss.delete('v/log', { versionId: marker });
    const again = await oss.append('v/log', Buffer.from('!'), { position: 11 });
    assert.strictEqual(version(again), version(first));
    assert.strictEqual((await oss.get('v/log')).content.toString(), 'hello world!');
  });

  await run('where versions are suspended the null version is replaced', async () => {
    await oss.putBucketVersioning(bucket, 'Suspended');
    assert.strictEqual(version(await oss.put('v/null', Buffer.from('1'))), 'null');
    assert.strictEqual(version(await oss.put('v/null', Buffer.from('2'))), 'null');
    const page = await oss.getBucketVersions({ prefix: 'v/null' });
    assert.strictEqual(page.objects.length, 1);
  });

  await run('a bucket with versions is not empty before the last of them is gone', async () => {
    await oss.delete('v/null');
    await refused(oss.deleteBucket(bucket), 409, 'BucketNotEmpty');
    await emptyVersions(oss);
    await oss.deleteBucket(bucket);
  });
};
