'use strict';
// Forms and callbacks: a policy that the SDK signs is posted by plain HTTP, and an application server of this test is called.

const assert = require('assert');
const http = require('http');
const { port, scheme } = require('./clients');
const { fetchUrl } = require('./harness');

/** An application server on loopback, which the server under test is told it may call. */
function application() {
  const asked = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      asked.push({ url: request.url, type: request.headers['content-type'], body: Buffer.concat(chunks).toString() });
      const body = request.url === '/fail' ? 'no' : JSON.stringify({ Status: 'OK' });
      response.writeHead(request.url === '/fail' ? 500 : 200, { 'Content-Length': Buffer.byteLength(body) });
      response.end(body);
    });
  });
  return new Promise(resolve => {
    server.listen(0, '127.0.0.1', () => resolve({ server, asked, url: `http://127.0.0.1:${server.address().port}` }));
  });
}

function form(fields, name, file) {
  const boundary = 'compat-7d1';
  const parts = Object.entries(fields).map(
    ([field, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${field}"\r\n\r\n${value}\r\n`
  );
  parts.push(
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n` +
      `Content-Type: text/plain\r\n\r\n${file}\r\n--${boundary}--\r\n`
  );
  return { headers: { 'Content-Type': `multipart/form-data; boundary=${boundary}` }, body: parts.join('') };
}

module.exports = async function posts({ oss, signature, addressing, bucket, run }) {
  const { server, asked, url } = await application();
  try {
    if (addressing === 'ip') {
      await run('a form with the policy that calculatePostSignature signs becomes an object', async () => {
        const policy = {
          expiration: new Date(Date.now() + 600_000).toISOString(),
          conditions: [{ bucket }, ['starts-with', '$key', 'posts/'], ['content-length-range', 1, 100]]
        };
        const signed = oss.calculatePostSignature(policy);
        const fields = {
          key: 'posts/${filename}',
          OSSAccessKeyId: signed.OSSAccessKeyId,
          policy: signed.policy,
          Signature: signed.Signature,
          success_action_status: '201',
          'x-oss-meta-a': 'b'
        };
        const target = `${scheme}://127.0.0.1:${port}/${bucket}/`;
        const { headers, body } = form(fields, 'a.txt', 'hello');
        const answer = await fetchUrl(target, { method: 'POST', headers, body });
        assert.strictEqual(answer.status, 201, answer.body.toString());
        assert.strictEqual((await oss.get('posts/a.txt')).content.toString(), 'hello');
        assert.strictEqual((await oss.head('posts/a.txt')).meta.a, 'b');
        const wrong = form({ ...fields, key: 'other' }, 'a.txt', 'hello');
        const refused = await fetchUrl(target, { method: 'POST', ...wrong });
        assert.strictEqual(refused.status, 403);
      });
    }

    const callback = (path, customValue) => ({
      url: `${url}${path}`,
      body: 'o=${object}&s=${size}&w=${x:who}',
      contentType: 'application/x-www-form-urlencoded',
      customValue
    });

    await run('the callback of a put is made, and its answer is the data', async () => {
      const result = await oss.put('posts/put', Buffer.from('12345'), { callback: callback('/ok', { who: 'me' }) });
      assert.deepStrictEqual(result.data, { Status: 'OK' });
      assert.deepStrictEqual(asked.pop(), {
        url: '/ok',
        type: 'application/x-www-form-urlencoded',
        body: 'o=posts%2Fput&s=5&w=me'
      });
    });

    await run('the callback of a multipart upload is made', async () => {
      const file = Buffer.alloc(250_000, 'x');
      const result = await oss.multipartUpload('posts/parts', file, {
        partSize: 102_400,
        callback: callback('/ok', { who: 'parts' })
      });
      assert.deepStrictEqual(result.data, { Status: 'OK' });
      assert.strictEqual(asked.pop().body, 'o=posts%2Fparts&s=250000&w=parts');
    });

    await run('a callback that fails is told, and the object is stored', async () => {
      await assert.rejects(
        oss.put('posts/failed', Buffer.from('1'), { callback: callback('/fail') }),
        error => error.status === 203 && error.code === 'CallbackFailed'
      );
      assert.strictEqual((await oss.get('posts/failed')).content.toString(), '1');
    });

    await run(`a traffic limit is taken (${signature})`, async () => {
      const headers = { 'x-oss-traffic-limit': '838860800' };
      await oss.put('posts/slow', Buffer.from('12345'), { headers });
      assert.strictEqual((await oss.get('posts/slow', { headers })).content.toString(), '12345');
    });
  } finally {
    server.close();
  }
};
