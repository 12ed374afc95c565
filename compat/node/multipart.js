'use strict';
// Multipart uploads: the uploader with its checkpoint, and the operations below it.

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { refused, content } = require('./expect');

const PART_SIZE = 102_400;

module.exports = async function multipart({ oss, folder, run }) {
  const file = path.join(folder, 'multipart.bin');
  const whole = Buffer.alloc(2 * PART_SIZE + 17, 'abcdefg');
  fs.writeFileSync(file, whole);

  await run('multipartUpload sends a file in parts', async () => {
    const done = await oss.multipartUpload('multipart.bin', file, {
      partSize: PART_SIZE,
      parallel: 2,
      meta: { a: 'b' }
    });
    assert.match(done.etag, /^"[0-9A-F]{32}-3"$/);
    const { res, meta } = await oss.head('multipart.bin');
    assert.strictEqual(res.headers['x-oss-object-type'], 'Multipart');
    assert.strictEqual(meta.a, 'b');
    assert.ok((await oss.get('multipart.bin')).content.equals(whole), 'content differs');
  });

  await run('multipartUpload resumes from its checkpoint', async () => {
    let checkpoint;
    const stop = new Error('stopped by the test');
    const interrupted = oss.multipartUpload('resumed.bin', file, {
      partSize: PART_SIZE,
      parallel: 1,
      progress: async (done, state) => {
        if (!state || done === 0) return;
        checkpoint = state;
        throw stop;
      }
    });
    await assert.rejects(interrupted);
    assert.ok(checkpoint && checkpoint.doneParts.length > 0, 'nothing was sent');
    await oss.multipartUpload('resumed.bin', file, { partSize: PART_SIZE, checkpoint });
    assert.ok((await oss.get('resumed.bin')).content.equals(whole), 'content differs');
  });

  await run('parts and uploads are listed, copied into, completed and aborted', async () => {
    const { uploadId } = await oss.initMultipartUpload('parts/low level.bin');
    const one = await oss.uploadPart('parts/low level.bin', uploadId, 1, file, 0, PART_SIZE);
    const two = await oss.uploadPartCopy('parts/low level.bin', uploadId, 2, '0-4', {
      sourceKey: 'multipart.bin',
      sourceBucketName: oss.options.bucket
    });
    const listed = await oss.listParts('parts/low level.bin', uploadId);
    assert.deepStrictEqual([].concat(listed.parts).map(part => part.PartNumber), ['1', '2']);
    const { uploads } = await oss.listUploads({ prefix: 'parts/', 'max-uploads': 10 });
    assert.deepStrictEqual(uploads.map(upload => upload.uploadId), [uploadId]);
    await oss.completeMultipartUpload('parts/low level.bin', uploadId, [
      { number: 2, etag: two.etag },
      { number: 1, etag: one.etag }
    ]);
    const text = await content(oss, 'parts/low level.bin');
    assert.strictEqual(text, whole.subarray(0, PART_SIZE).toString() + 'abcde');
    await refused(oss.abortMultipartUpload('parts/low level.bin', uploadId), 404, 'NoSuchUpload');
  });

  await run('what is left unfinished is aborted', async () => {
    const { uploads = [] } = await oss.listUploads({ 'max-uploads': 1000 });
    for (const upload of uploads) await oss.abortMultipartUpload(upload.name, upload.uploadId);
    assert.deepStrictEqual((await oss.listUploads({ 'max-uploads': 1000 })).uploads || [], []);
  });
};
