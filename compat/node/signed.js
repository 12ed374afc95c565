'use strict';
// Signed URLs, used by a plain HTTP client: get, put, append, with response overrides and expiry.

const assert = require('assert');
const { fetchUrl } = require('./harness');
const { region } = require('./clients');

module.exports = async function signed(room) {
  if (room.signature === 'v4') return signedV4(room);
  if (room.addressing === 'ip') return room.skip('signed URLs', 'ali-oss refuses to make a V1 URL for an IP endpoint');
  return signedV1(room);
};

async function signedV1({ oss, run }) {
  await run('signed URLs read, write and append', async () => {
    const put = await oss.asyncSignatureUrl('signed ü+.txt', { method: 'PUT', 'Content-Type': 'text/plain' });
    const stored = await fetchUrl(put, { method: 'PUT', headers: { 'Content-Type': 'text/plain' }, body: 'hello' });
    assert.strictEqual(stored.status, 200, stored.body.toString());
    const read = await fetchUrl(oss.signatureUrl('signed ü+.txt', { response: { 'content-disposition': 'attachment' } }));
    assert.strictEqual(read.status, 200, read.body.toString());
    assert.strictEqual(read.body.toString(), 'hello');
    assert.strictEqual(read.headers['content-disposition'], 'attachment');
    const append = oss.signatureUrl('signed.log', { method: 'POST', subResource: { append: '', position: '0' } });
    const appended = await fetchUrl(append, { method: 'POST', body: 'hello' });
    assert.strictEqual(appended.status, 200, appended.body.toString());
    assert.strictEqual(appended.headers['x-oss-next-append-position'], '5');
  });

  await run('signed URLs are refused when late, altered or for another type', async () => {
    await oss.put('signed.txt', Buffer.from('hello'));
    const late = await fetchUrl(oss.signatureUrl('signed.txt', { expires: -60 }));
    assert.strictEqual(late.status, 403);
    assert.match(late.body.toString(), /<Message>Request has expired\.<\/Message>/);
    const altered = await fetchUrl(oss.signatureUrl('signed.txt').replace('signed.txt', 'signed2.txt'));
    assert.strictEqual(altered.status, 403);
    assert.match(altered.body.toString(), /<Code>SignatureDoesNotMatch<\/Code>/);
    const put = oss.signatureUrl('signed.txt', { method: 'PUT', 'Content-Type': 'text/plain' });
    const other = await fetchUrl(put, { method: 'PUT', headers: { 'Content-Type': 'text/html' }, body: 'x' });
    assert.strictEqual(other.status, 403);
  });
}

async function signedV4({ oss, run, bucket, addressing }) {
  // On an IP endpoint the URL names no bucket; whoever uses it sends the host that the SDK itself sends.
  const host = addressing === 'ip' ? { Host: `${bucket}.oss-${region}.aliyuncs.com` } : {};

  await run('signed URLs read, write and append', async () => {
    const headers = { 'Content-Type': 'text/plain', 'x-oss-meta-colour': 'red' };
    const put = await oss.signatureUrlV4('PUT', 60, { headers }, 'signed ü+.txt');
    const stored = await fetchUrl(put, { method: 'PUT', headers: { ...host, ...headers }, body: 'hello' });
    assert.strictEqual(stored.status, 200, stored.body.toString());
    const queries = { 'response-content-disposition': 'attachment' };
    const read = await fetchUrl(await oss.signatureUrlV4('GET', 60, { queries }, 'signed ü+.txt'), { headers: host });
    assert.strictEqual(read.status, 200, read.body.toString());
    assert.strictEqual(read.body.toString(), 'hello');
    assert.strictEqual(read.headers['content-disposition'], 'attachment');
    assert.strictEqual(read.headers['x-oss-meta-colour'], 'red');
    const append = await oss.signatureUrlV4('POST', 60, { queries: { append: '', position: '0' } }, 'signed.log');
    const appended = await fetchUrl(append, { method: 'POST', headers: host, body: 'hello' });
    assert.strictEqual(appended.status, 200, appended.body.toString());
    assert.strictEqual(appended.headers['x-oss-next-append-position'], '5');
  });

  await run('signed URLs are refused when altered or with headers they do not cover', async () => {
    await oss.put('signed.txt', Buffer.from('hello'));
    const url = await oss.signatureUrlV4('GET', 60, {}, 'signed.txt');
    const altered = await fetchUrl(url.replace('signed.txt', 'signed2.txt'), { headers: host });
    assert.strictEqual(altered.status, 403);
    assert.match(altered.body.toString(), /<Code>SignatureDoesNotMatch<\/Code>/);
    const extra = await fetchUrl(url, { headers: { ...host, 'x-oss-meta-more': 'x' } });
    assert.strictEqual(extra.status, 403);
  });
}
