'use strict';
// The program of the Node document: append by file, Buffer and stream, and every refusal a caller meets.

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { Readable } = require('stream');
const { refused, content } = require('./expect');

// CRC-64/XZ of the text, as the service prints it: unsigned decimal, past what a JavaScript number holds.
const CRC_HELLO = '11177612005948864433';
const CRC_HELLO_WORLD = '5981764153023615706';

module.exports = async function append({ oss, bucket, folder, run, client }) {
  const file = path.join(folder, 'local.log');
  fs.writeFileSync(file, 'a line of a local file\n');

  await run('appends a local file twice by nextAppendPosition', async () => {
    const first = await oss.append('file.log', file);
    assert.strictEqual(first.name, 'file.log');
    assert.strictEqual(first.res.status, 200);
    assert.strictEqual(first.nextAppendPosition, '23');
    const second = await oss.append('file.log', file, { position: first.nextAppendPosition });
    assert.strictEqual(second.nextAppendPosition, '46');
    assert.strictEqual(await content(oss, 'file.log'), 'a line of a local file\n'.repeat(2));
  });

  await run('appends Buffers, with the CRC-64 of the whole object', async () => {
    const first = await oss.append('buffer.log', Buffer.from('hello'));
    assert.strictEqual(first.nextAppendPosition, '5');
    assert.strictEqual(first.res.headers['x-oss-hash-crc64ecma'], CRC_HELLO);
    const second = await oss.append('buffer.log', Buffer.from(' world'), { position: 5 });
    assert.strictEqual(second.nextAppendPosition, '11');
    assert.strictEqual(second.res.headers['x-oss-hash-crc64ecma'], CRC_HELLO_WORLD);
    assert.match(second.res.headers.etag, /^"[0-9A-F]{24}00000000"$/);
    assert.strictEqual(second.res.headers['x-oss-version-id'], undefined);
    assert.strictEqual(await content(oss, 'buffer.log'), 'hello world');
  });

  await run('appends streams in chunked transfer', async () => {
    const first = await oss.append('stream.log', Readable.from([Buffer.from('one '), Buffer.from('two ')]));
    assert.strictEqual(first.nextAppendPosition, '8');
    const second = await oss.append('stream.log', fs.createReadStream(file), { position: first.nextAppendPosition });
    assert.strictEqual(second.nextAppendPosition, '31');
    assert.strictEqual(await content(oss, 'stream.log'), 'one two a line of a local file\n');
  });

  await run('appends a stream of known length', async () => {
    const answer = await oss.append('sized.log', Readable.from([Buffer.from('12345')]), { contentLength: 5 });
    assert.strictEqual(answer.nextAppendPosition, '5');
  });

  await run('appends several megabytes by file and by stream', async () => {
    const block = Buffer.alloc(3 * 1024 * 1024 + 17, 'abcdefg');
    const large = path.join(folder, 'large.bin');
    fs.writeFileSync(large, block);
    const first = await oss.append('large.bin', large);
    assert.strictEqual(first.nextAppendPosition, String(block.length));
    const second = await oss.append('large.bin', fs.createReadStream(large), { position: first.nextAppendPosition });
    assert.strictEqual(second.nextAppendPosition, String(2 * block.length));
    const back = (await oss.get('large.bin')).content;
    assert.ok(back.equals(Buffer.concat([block, block])), 'content differs');
  });

  await run('an empty Buffer creates an empty appendable and then changes nothing', async () => {
    const first = await oss.append('empty.log', Buffer.alloc(0));
    assert.strictEqual(first.nextAppendPosition, '0');
    assert.strictEqual(first.res.headers['x-oss-hash-crc64ecma'], '0');
    assert.strictEqual((await oss.append('empty.log', Buffer.from('abc'))).nextAppendPosition, '3');
    const again = await oss.append('empty.log', Buffer.alloc(0), { position: 3 });
    assert.strictEqual(again.nextAppendPosition, '3');
    assert.strictEqual(await content(oss, 'empty.log'), 'abc');
  });

  await run('a wrong position is PositionNotEqualToLengthError and tells the next one', async () => {
    await oss.append('position.log', Buffer.from('hello'));
    for (const position of [0, 4, 6, '100']) {
      const error = await refused(
        oss.append('position.log', Buffer.from('x'), { position }),
        409,
        'PositionNotEqualToLength'
      );
      assert.strictEqual(error.message, 'Position is not equal to file length');
      assert.strictEqual(error.ecCode, '0026-00000016');
      assert.ok(error.hostId, 'no HostId');
    }
    await refused(oss.append('position-absent.log', Buffer.from('x'), { position: 5 }), 409, 'PositionNotEqualToLength');
    assert.strictEqual(await content(oss, 'position.log'), 'hello');
  });

  await run('a refused body of megabytes leaves the connection usable', async () => {
    await oss.append('refused.log', Buffer.from('hello'));
    const block = Buffer.alloc(2 * 1024 * 1024, 'z');
    await refused(oss.append('refused.log', block, { position: 1 }), 409, 'PositionNotEqualToLength');
    await refused(oss.append('refused.log', Readable.from([block, block]), { position: 1 }), 409, 'PositionNotEqualToLength');
    const next = await oss.append('refused.log', Buffer.from('!'), { position: 5 });
    assert.strictEqual(next.nextAppendPosition, '6');
  });

  await run('a normal object is ObjectNotAppendableError at any position', async () => {
    await oss.put('normal.txt', Buffer.from('hello'));
    for (const position of [0, 5]) {
      const error = await refused(oss.append('normal.txt', Buffer.from('x'), { position }), 409, 'ObjectNotAppendable');
      assert.strictEqual(error.message, 'The object is not appendable.');
      assert.strictEqual(error.ecCode, '0026-00000017');
    }
    assert.strictEqual(await content(oss, 'normal.txt'), 'hello');
  });

  await run('a missing bucket is NoSuchBucketError', async () => {
    if (client().options.cname) return; // the domain names the bucket, so none can be missing
    const elsewhere = client({ bucket: `${bucket}-absent` });
    const error = await refused(elsewhere.append('k', Buffer.from('x')), 404, 'NoSuchBucket');
    assert.strictEqual(error.message, 'The specified bucket does not exist.');
    assert.strictEqual(error.ecCode, '0015-00000101');
  });

  await run('a position that is no number is refused', async () => {
    for (const position of ['test', '-1', '1.5']) {
      const error = await refused(oss.append('odd.log', Buffer.from('x'), { position }), 400, 'InvalidArgument');
      assert.strictEqual(error.ecCode, '0016-00000502');
    }
  });

  await run('a wrong Content-MD5 is refused and nothing is stored', async () => {
    await oss.append('md5.log', Buffer.from('hello'));
    const headers = { 'Content-MD5': '1B2M2Y8AsgTpgAmY7PhCfg==' };
    const error = await refused(oss.append('md5.log', Buffer.from('x'), { position: 5, headers }), 400, 'InvalidDigest');
    assert.strictEqual(error.message, 'The Content-MD5 you specified was invalid.');
    assert.strictEqual(await content(oss, 'md5.log'), 'hello');
  });

  await run('head tells an appendable, its next position and its CRC-64', async () => {
    await oss.append('head.log', Buffer.from('hello'));
    const { res, status } = await oss.head('head.log');
    assert.strictEqual(status, 200);
    assert.strictEqual(res.headers['x-oss-object-type'], 'Appendable');
    assert.strictEqual(res.headers['x-oss-next-append-position'], '5');
    assert.strictEqual(res.headers['x-oss-hash-crc64ecma'], CRC_HELLO);
    assert.strictEqual(res.headers['content-length'], '5');
    assert.strictEqual(res.headers['content-md5'], undefined);
    const got = await oss.get('head.log');
    assert.strictEqual(got.res.headers['x-oss-object-type'], 'Appendable');
    assert.strictEqual(got.res.headers['x-oss-next-append-position'], '5');
  });

  await run('what the first append set is kept', async () => {
    await oss.append('meta.log', Buffer.from('a'), {
      meta: { colour: 'red' },
      headers: { 'Content-Type': 'text/x-first', 'Cache-Control': 'no-cache' }
    });
    await oss.append('meta.log', Buffer.from('b'), {
      position: 1,
      meta: { colour: 'blue', taste: 'sour' },
      headers: { 'Content-Type': 'text/x-second', 'Cache-Control': 'max-age=1' }
    });
    const { meta, res } = await oss.head('meta.log');
    assert.deepStrictEqual(meta, { colour: 'red' });
    assert.strictEqual(res.headers['content-type'], 'text/x-first');
    assert.strictEqual(res.headers['cache-control'], 'no-cache');
  });

  await run('an appendable cannot be copied, a normal object can', async () => {
    await oss.append('copy-source.log', Buffer.from('hello'));
    await refused(oss.copy('copied.log', 'copy-source.log'), 400, 'OperationNotSupported');
    await refused(oss.copy('copy-source.log', 'copy-source.log', { meta: { a: 'b' } }), 400, 'OperationNotSupported');
    await refused(oss.head('copied.log'), 404, 'NoSuchKey');
    await oss.put('copy-source.txt', Buffer.from('hello'));
    const copied = await oss.copy('copied.txt', 'copy-source.txt');
    assert.strictEqual(copied.data.etag, '"5D41402ABC4B2A76B9719D911017C592"');
    assert.ok(!Number.isNaN(Date.parse(copied.data.lastModified)));
    assert.strictEqual(await content(oss, 'copied.txt'), 'hello');
  });

  await run('a deleted or overwritten appendable starts anew', async () => {
    await oss.append('again.log', Buffer.from('hello'));
    await oss.delete('again.log');
    assert.strictEqual((await oss.append('again.log', Buffer.from('abc'))).nextAppendPosition, '3');
    await oss.put('again.log', Buffer.from('normal'));
    await refused(oss.append('again.log', Buffer.from('x'), { position: 6 }), 409, 'ObjectNotAppendable');
  });

  await run('ten appends racing at one position have one winner', async () => {
    await oss.append('race.log', Buffer.from('hello'));
    const races = Array.from({ length: 10 }, (_, i) =>
      oss.append('race.log', Buffer.from(` ${i}`), { position: 5 }).then(
        answer => answer.nextAppendPosition,
        error => error.code
      )
    );
    const outcomes = await Promise.all(races);
    assert.strictEqual(outcomes.filter(outcome => outcome === '7').length, 1, outcomes.join());
    assert.strictEqual(outcomes.filter(outcome => outcome === 'PositionNotEqualToLength').length, 9, outcomes.join());
  });
};
