'use strict';
// Runs in the browser, from an origin that is not the store's. See main.js.

const settingsOf = fetch('/settings').then(answer => answer.json());
const ask = async (path, body) => (await fetch(path, { method: 'POST', body })).text();

function equal(got, want) {
  const [left, right] = [JSON.stringify(got), JSON.stringify(want)];
  if (left !== right) throw new Error(`expected ${right}, got ${left}`);
}

async function fails(promise, what) {
  let error;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  if (!error) throw new Error(`${what} went through`);
  return error;
}

async function cases(signature, settings) {
  const label = `browser ${signature} path`;
  const { buckets } = settings;
  const client = bucket =>
    new OSS({
      region: `oss-${settings.region}`,
      endpoint: `http://localhost:${settings.port}`,
      sldEnable: true,
      accessKeyId: settings.accessKeyId,
      accessKeySecret: settings.accessKeySecret,
      authorizationV4: signature === 'v4',
      bucket
    });
  const run = async (name, body) => {
    await ask('/announce', `${label} / ${name}`);
    try {
      await body();
      await ask('/told', `ok - ${label} / ${name}`);
    } catch (error) {
      await ask('/told', `not ok - ${label} / ${name}: ${error.name} ${error.status} ${error.code} ${error.message}`);
    }
  };
  const oss = client(buckets.open);
  const text = async key => new TextDecoder().decode((await oss.get(key)).content);
  const keys = async bucket => JSON.parse(await ask('/keys', bucket));

  await run('a page puts, reads, lists and deletes', async () => {
    const put = await oss.put(`${signature}/put`, new Blob(['hello']), { meta: { colour: 'red' } });
    equal(put.res.headers.etag, '"5D41402ABC4B2A76B9719D911017C592"');
    equal(await text(`${signature}/put`), 'hello');
    const page = await oss.listV2({ prefix: `${signature}/` });
    equal(page.objects.map(object => object.name), [`${signature}/put`]);
    await oss.delete(`${signature}/put`);
    equal((await fails(oss.head(`${signature}/put`), 'a read of what is gone')).status, 404);
  });

  await run('a page appends and is told where to go on', async () => {
    const key = `${signature}/log`;
    const first = await oss.append(key, new Blob(['hello']));
    equal(String(first.nextAppendPosition), '5');
    const second = await oss.append(key, new Blob([' world']), { position: first.nextAppendPosition });
    equal(String(second.nextAppendPosition), '11');
    equal(second.res.headers['x-oss-hash-crc64ecma'], '5981764153023615706');
    equal(await text(key), 'hello world');
    const refused = await fails(oss.append(key, new Blob(['x']), { position: 3 }), 'a wrong position');
    equal([refused.status, refused.code], [409, 'PositionNotEqualToLength']);
    equal(await text(key), 'hello world');
  });

  await run('a page uploads a file in parts', async () => {
    const bytes = new Uint8Array(250_001).map((_, at) => at % 251);
    const file = new File([bytes], 'file.bin');
    await oss.multipartUpload(`${signature}/file`, file, { partSize: 102_400, parallel: 2 });
    const { content } = await oss.get(`${signature}/file`);
    equal(content.length, bytes.length);
    equal(content.every((byte, at) => byte === bytes[at]), true);
  });

  await run('a page posts a form with a policy that its server signed', async () => {
    const post = async (key, fields) => {
      const form = new FormData();
      for (const [name, value] of Object.entries({ key, ...fields })) form.append(name, value);
      form.append('file', new File(['hello'], 'ünïcode name.txt', { type: 'text/plain' }));
      return fetch(`http://localhost:${settings.port}/${buckets.open}/`, { method: 'POST', body: form });
    };
    const fields = { ...settings.forms[signature], success_action_status: '201', 'x-oss-meta-colour': 'red' };
    const key = `posts/${signature}/`;
    const answer = await post(`${key}\${filename}`, fields);
    equal([answer.status, (await answer.text()).includes('<PostResponse>')], [201, true]);
    equal(await text(`${key}ünïcode name.txt`), 'hello');
    const outside = await post('outside', fields);
    equal([outside.status, (await outside.text()).includes('AccessDenied')], [403, true]);
    await oss.delete(`${key}ünïcode name.txt`);
  });

  await run('a page sees the headers that the rule exposes and no others', async () => {
    const answer = await fetch(oss.signatureUrl('there'));
    equal(answer.status, 200);
    equal(await answer.text(), 'there');
    equal(answer.headers.get('x-oss-object-type'), 'Normal');
    equal(answer.headers.get('etag') !== null, true);
    equal(answer.headers.get('x-oss-server-time'), null);
    const error = await fetch(oss.signatureUrl('absent'));
    equal([error.status, error.headers.get('x-oss-request-id').length], [404, 24]);
  });

  await run('without an exposed ETag the SDK says so', async () => {
    const file = new File([new Uint8Array(250_000)], 'file.bin');
    const error = await fails(
      // One part at a time: another that is still under way would be seen in the next case.
      client(buckets.mute).multipartUpload(`${signature}/file`, file, { partSize: 102_400, parallel: 1 }),
      'an upload without ETags'
    );
    equal(error.message.includes('expose-headers'), true);
  });

  await run('what no rule allows is stopped before it is sent', async () => {
    const key = `${signature}/never`;
    for (const bucket of [buckets.closed, buckets.readable]) {
      await fails(client(bucket).put(key, new Blob(['x'])), `a put into ${bucket}`);
      await fails(client(bucket).append(key, new Blob(['x'])), `an append to ${bucket}`);
      await fails(client(bucket).delete('there'), `a delete in ${bucket}`);
      equal(await keys(bucket), ['there']);
    }
    const readable = client(buckets.readable).signatureUrl('there');
    equal(await (await fetch(readable)).text(), 'there');
    await fails(fetch(client(buckets.closed).signatureUrl('there')), 'a read of what no rule names');
  });

  await run('a page of an origin that no rule names is refused', async () => {
    const frame = document.createElement('iframe');
    const told = new Promise(resolve => addEventListener('message', event => resolve(event.data), { once: true }));
    frame.src = `${settings.origin.replace('page.test', 'other.test')}/?read=${encodeURIComponent(oss.signatureUrl('there'))}`;
    document.documentElement.append(frame);
    equal(await told, 'refused');
    frame.remove();
  });
}

/** In the frame of the other origin: one read, and what became of it. */
async function asStranger(url) {
  const outcome = await fetch(url).then(
    answer => `read with ${answer.status}`,
    () => 'refused'
  );
  parent.postMessage(outcome, '*');
}

async function all() {
  const read = new URLSearchParams(location.search).get('read');
  if (read) return asStranger(read);
  const settings = await settingsOf;
  try {
    for (const signature of ['v1', 'v4']) await cases(signature, settings);
  } catch (error) {
    await ask('/told', `not ok - browser all all / the page's script: ${error.stack}`);
  }
  return ask('/end', '');
}

all();
