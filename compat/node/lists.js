'use strict';
// Lists v1 and v2, page by page, and deleting many keys at once.

const assert = require('assert');

const KEYS = ['list/a.txt', 'list/b/1.txt', 'list/b/2.txt', 'list/c.log', 'list/d e+f.txt', 'list/ü.txt'];

const names = objects => objects.map(object => object.name);

module.exports = async function lists({ oss, run }) {
  await run('lists v1: pages, prefixes, markers and owners', async () => {
    for (const key of KEYS) {
      if (key.endsWith('.log')) await oss.append(key, Buffer.from(key));
      else await oss.put(key, Buffer.from(key));
    }
    const all = await oss.list({ prefix: 'list/' });
    assert.deepStrictEqual(names(all.objects), KEYS);
    assert.strictEqual(all.isTruncated, false);
    assert.strictEqual(all.nextMarker, null);
    for (const object of all.objects) {
      assert.ok(object.owner.id, 'no owner');
      assert.strictEqual(object.type, object.name.endsWith('.log') ? 'Appendable' : 'Normal');
      assert.strictEqual(object.size, Buffer.byteLength(object.name));
      assert.strictEqual(object.storageClass, 'Standard');
      assert.match(object.etag, /^"[0-9A-F]{32}"$/);
      assert.match(object.lastModified, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/);
    }
    const folded = await oss.list({ prefix: 'list/', delimiter: '/' });
    assert.deepStrictEqual(folded.prefixes, ['list/b/']);
    assert.deepStrictEqual(names(folded.objects), KEYS.filter(key => !key.startsWith('list/b/')));
    const walked = [];
    let marker;
    do {
      const page = await oss.list({ prefix: 'list/', 'max-keys': 2, ...(marker && { marker }) });
      assert.ok(page.objects.length <= 2);
      walked.push(...names(page.objects));
      marker = page.nextMarker;
      assert.strictEqual(page.isTruncated, marker !== null);
    } while (marker);
    assert.deepStrictEqual(walked, KEYS);
  });

  await run('lists v1 with empty parameters, as programs send them', async () => {
    const page = await oss.list({ prefix: '', marker: '', delimiter: '', 'max-keys': 3 });
    assert.strictEqual(page.objects.length, 3);
  });

  await run('lists v2: pages by token, start-after and owners on request', async () => {
    const walked = [];
    let token;
    do {
      const page = await oss.listV2({ prefix: 'list/', 'max-keys': 2, ...(token && { 'continuation-token': token }) });
      assert.strictEqual(page.keyCount, page.objects.length);
      assert.ok(page.objects.every(object => object.owner === null));
      walked.push(...names(page.objects));
      token = page.nextContinuationToken;
      assert.strictEqual(page.isTruncated, token !== null);
    } while (token);
    assert.deepStrictEqual(walked, KEYS);
    const after = await oss.listV2({ prefix: 'list/', 'start-after': 'list/c.log', 'fetch-owner': 'true' });
    assert.deepStrictEqual(names(after.objects), KEYS.slice(4));
    assert.ok(after.objects.every(object => object.owner.id));
    const folded = await oss.listV2({ prefix: 'list/', delimiter: '/' });
    assert.deepStrictEqual(folded.prefixes, ['list/b/']);
    assert.strictEqual(folded.keyCount, KEYS.length - 1);
  });

  await run('an empty list has no objects and no prefixes', async () => {
    const page = await oss.list({ prefix: 'no-such-prefix/' });
    assert.deepStrictEqual([page.objects, page.prefixes, page.isTruncated], [[], null, false]);
  });

  await run('deletes many keys at once, absent ones too, loud and quiet', async () => {
    const loud = await oss.deleteMulti([KEYS[0], 'list/absent.txt']);
    assert.deepStrictEqual(loud.deleted.map(entry => entry.Key).sort(), [KEYS[0], 'list/absent.txt']);
    const quiet = await oss.deleteMulti(KEYS.slice(1), { quiet: true });
    assert.deepStrictEqual(quiet.deleted, []);
    assert.deepStrictEqual(names((await oss.list({ prefix: 'list/' })).objects), []);
  });
};
