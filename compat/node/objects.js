'use strict';
// Whole objects: put, get, head, copy, delete, with conditions, metadata and odd keys.

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { Readable, Writable } = require('stream');
const { refused, content } = require('./expect');

const ODD_KEYS = [
  'plain/with/slashes.txt',
  'space and+plus.txt',
  'percent%20and%2Fslash',
  'query?and#hash&amp;=x',
  "quotes'\"<>&.xml",
  "bare!'()*~-_.txt",
  'double//slash//x',
  'ünïcode/日本語/😀.log'
];

module.exports = async function objects({ oss, bucket, folder, run, client, addressing }) {
  await run('puts and gets by Buffer, file and stream', async () => {
    const file = path.join(folder, 'put.txt');
    fs.writeFileSync(file, 'from a file');
    const answer = await oss.put('put-buffer.txt', Buffer.from('hello'));
    assert.strictEqual(answer.res.headers.etag, '"5D41402ABC4B2A76B9719D911017C592"');
    assert.strictEqual(answer.res.headers['x-oss-hash-crc64ecma'], '11177612005948864433');
    await oss.put('put-file.txt', file);
    await oss.putStream('put-stream.txt', Readable.from([Buffer.from('from '), Buffer.from('a stream')]));
    assert.strictEqual(await content(oss, 'put-buffer.txt'), 'hello');
    assert.strictEqual(await content(oss, 'put-stream.txt'), 'from a stream');
    const back = path.join(folder, 'back.txt');
    await oss.get('put-file.txt', back);
    assert.strictEqual(fs.readFileSync(back, 'utf8'), 'from a file');
    const chunks = [];
    const sink = new Writable({ write: (chunk, _, done) => (chunks.push(chunk), done()) });
    await oss.get('put-file.txt', sink);
    assert.strictEqual(Buffer.concat(chunks).toString(), 'from a file');
    const { stream, res } = await oss.getStream('put-file.txt');
    assert.strictEqual(res.status, 200);
    let text = '';
    for await (const chunk of stream) text += chunk;
    assert.strictEqual(text, 'from a file');
  });

  await run('an empty object is put, read and told apart from none', async () => {
    await oss.put('empty.txt', Buffer.alloc(0));
    const got = await oss.get('empty.txt');
    assert.strictEqual(got.res.status, 200);
    assert.strictEqual(got.content.length, 0);
    assert.strictEqual(got.res.headers.etag, '"D41D8CD98F00B204E9800998ECF8427E"');
  });

  await run('a part of an object is read by range', async () => {
    await oss.put('range.txt', Buffer.from('0123456789'));
    const middle = await oss.get('range.txt', { headers: { Range: 'bytes=2-5' } });
    assert.strictEqual(middle.res.status, 206);
    assert.strictEqual(middle.content.toString(), '2345');
    assert.strictEqual(middle.res.headers['content-range'], 'bytes 2-5/10');
    const tail = await oss.get('range.txt', { headers: { Range: 'bytes=-3' } });
    assert.strictEqual(tail.content.toString(), '789');
    await oss.append('range.log', Buffer.from('01234'));
    await oss.append('range.log', Buffer.from('56789'), { position: 5 });
    const across = await oss.get('range.log', { headers: { Range: 'bytes=3-6' } });
    assert.strictEqual(across.content.toString(), '3456');
  });

  await run('keys of every kind survive put, append, get, head, copy and delete', async () => {
    for (const key of ODD_KEYS) {
      const about = `key ${key}`;
      await oss.put(`odd/${key}`, Buffer.from(key));
      assert.strictEqual(await content(oss, `odd/${key}`), key, about);
      assert.strictEqual((await oss.head(`odd/${key}`)).res.headers['x-oss-object-type'], 'Normal', about);
      await oss.append(`odd-log/${key}`, Buffer.from('x'));
      await oss.append(`odd-log/${key}`, Buffer.from('y'), { position: 1 });
      assert.strictEqual(await content(oss, `odd-log/${key}`), 'xy', about);
      await oss.copy(`odd-copy/${key}`, `odd/${key}`);
      assert.strictEqual(await content(oss, `odd-copy/${key}`), key, about);
      await oss.delete(`odd-copy/${key}`);
      await refused(oss.head(`odd-copy/${key}`), 404, 'NoSuchKey');
    }
    // xml2js drops white space around text, and these keys have none there.
    const listed = await oss.list({ prefix: 'odd/', 'max-keys': 100 });
    assert.deepStrictEqual(listed.objects.map(object => object.name).sort(), ODD_KEYS.map(key => `odd/${key}`).sort());
    const gone = await oss.deleteMulti(ODD_KEYS.map(key => `odd/${key}`));
    assert.deepStrictEqual(gone.deleted.map(entry => entry.Key).sort(), ODD_KEYS.map(key => `odd/${key}`).sort());
    assert.deepStrictEqual((await oss.list({ prefix: 'odd/' })).objects, []);
  });

  await run('metadata and content headers come back as they were', async () => {
    const headers = {
      'Content-Type': 'text/x-compat; charset=utf-8',
      'Cache-Control': 'max-age=60',
      'Content-Disposition': 'attachment; filename="x.txt"',
      'Content-Language': 'de',
      Expires: 'Wed, 01 Jan 2098 00:00:00 GMT'
    };
    // ali-oss writes its own headers into the object that it is given.
    const given = { ...headers };
    await oss.put('meta.txt', Buffer.from('x'), { meta: { uid: 1, 'Long-Name': 'a  b' }, headers: given });
    const { meta, res } = await oss.head('meta.txt');
    assert.strictEqual(meta.uid, '1');
    assert.strictEqual(meta['long-name'], 'a  b');
    for (const [name, value] of Object.entries(headers)) {
      assert.strictEqual(res.headers[name.toLowerCase()], value);
    }
    assert.strictEqual((await oss.getObjectMeta('meta.txt')).res.headers['content-length'], '1');
  });

  await run('metadata beyond ASCII travels as UTF-8 with headerEncoding latin1', async () => {
    // Its default puts Latin-1 bytes on the wire and signs UTF-8 ones, which nobody can verify.
    await client({ headerEncoding: 'latin1' }).put('meta-utf8.txt', Buffer.from('x'), { meta: { title: 'grün 日本' } });
    const { meta } = await oss.head('meta-utf8.txt');
    assert.strictEqual(Buffer.from(meta.title, 'latin1').toString(), 'grün 日本');
  });

  await run('a copy onto itself replaces the metadata', async () => {
    await oss.put('put-meta.txt', Buffer.from('x'), { meta: { a: '1' } });
    await oss.putMeta('put-meta.txt', { b: '2' });
    assert.deepStrictEqual((await oss.head('put-meta.txt')).meta, { b: '2' });
    assert.strictEqual(await content(oss, 'put-meta.txt'), 'x');
    await oss.copy('kept-meta.txt', 'put-meta.txt');
    assert.deepStrictEqual((await oss.head('kept-meta.txt')).meta, { b: '2' });
  });

  await run('a copy between buckets, of a missing key, and of a missing bucket', async () => {
    if (addressing === 'cname') return; // one bucket only
    const other = `${bucket}-other`;
    await oss.putBucket(other);
    const there = client({ bucket: other });
    await there.put('source ü.txt', Buffer.from('over there'));
    await oss.copy('from-other.txt', 'source ü.txt', other);
    assert.strictEqual(await content(oss, 'from-other.txt'), 'over there');
    await oss.copy('from-other-2.txt', `/${other}/source ü.txt`);
    await refused(oss.copy('x', 'absent', other), 404, 'NoSuchKey');
    await refused(oss.copy('x', 'absent', `${bucket}-absent`), 404, 'NoSuchBucket');
    await there.delete('source ü.txt');
    await oss.deleteBucket(other);
  });

  await run('failed conditions are 412 with the condition, met ones 200 or 304', async () => {
    const { res } = await oss.put('condition.txt', Buffer.from('hello'));
    const etag = res.headers.etag;
    const past = new Date(Date.now() - 86_400_000).toUTCString();
    const ifMatch = await refused(oss.get('condition.txt', { headers: { 'If-Match': '"wrong"' } }), 412, 'PreconditionFailed');
    assert.match(ifMatch.message, /\(condition: If-Match\)$/);
    const unmodified = await refused(
      oss.get('condition.txt', { headers: { 'If-Unmodified-Since': past } }),
      412,
      'PreconditionFailed'
    );
    assert.match(unmodified.message, /\(condition: If-Unmodified-Since\)$/);
    await refused(oss.head('condition.txt', { headers: { 'If-Match': '"wrong"' } }), 412, 'PreconditionFailed');
    assert.strictEqual((await oss.get('condition.txt', { headers: { 'If-Match': etag } })).res.status, 200);
    assert.strictEqual((await oss.get('condition.txt', { headers: { 'If-None-Match': etag } })).res.status, 304);
    assert.strictEqual((await oss.head('condition.txt', { headers: { 'If-None-Match': etag } })).status, 304);
    const later = new Date(Date.now() + 1000).toUTCString();
    const unchanged = await oss.get('condition.txt', { headers: { 'If-Modified-Since': later } });
    assert.strictEqual(unchanged.res.status, 304);
  });

  await run('a missing key is NoSuchKeyError on get, head and objectMeta, and deletes quietly', async () => {
    const error = await refused(oss.get('absent.txt'), 404, 'NoSuchKey');
    assert.strictEqual(error.message, 'The specified key does not exist.');
    assert.strictEqual(error.ecCode, '0026-00000001');
    await refused(oss.head('absent.txt'), 404, 'NoSuchKey');
    await refused(oss.getObjectMeta('absent.txt'), 404, 'NoSuchKey');
    assert.strictEqual((await oss.delete('absent.txt')).res.status, 204);
  });

  await run('x-oss-forbid-overwrite keeps what is there', async () => {
    await oss.put('forbid.txt', Buffer.from('first'));
    const headers = { 'x-oss-forbid-overwrite': 'true' };
    await refused(oss.put('forbid.txt', Buffer.from('second'), { headers }), 409, 'FileAlreadyExists');
    assert.strictEqual(await content(oss, 'forbid.txt'), 'first');
  });

  await run('a wrong secret and an unknown key are refused', async () => {
    const forged = client({ accessKeySecret: 'not-the-secret' });
    await refused(forged.put('x', Buffer.from('x')), 403, 'SignatureDoesNotMatch');
    await refused(forged.append('x', Buffer.from('x')), 403, 'SignatureDoesNotMatch');
    const unknown = client({ accessKeyId: 'NoSuchKeyId' });
    await refused(unknown.get('x'), 403, 'InvalidAccessKeyId');
    if (addressing === 'cname') return; // the domain names the bucket, so none can be missing
    // Existence probes rely on this order: the bucket is missed before the key id.
    const both = client({ accessKeyId: 'NoSuchKeyId', bucket: `${bucket}-absent` });
    await refused(both.get('x'), 404, 'NoSuchBucket');
  });
};
