'use strict';
// A page of another origin in a real browser, with ali-oss's build for browsers: CORS as browsers mean it. Everything comes by
// environment: OSSIA_PORT, OSSIA_ACCESS_KEY_ID, OSSIA_ACCESS_KEY_SECRET, OSSIA_ALI_OSS (the installed package) and OSSIA_CHROMIUM.
//
// The page runs the cases and tells their results to the server that it came from, so nothing drives the browser.

const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { spawn } = require('child_process');

const OSS = require(process.env.OSSIA_ALI_OSS);
const WAIT_MS_MAX = 240_000;
const region = 'cn-hangzhou';
const port = process.env.OSSIA_PORT;
const accessKeyId = process.env.OSSIA_ACCESS_KEY_ID;
const accessKeySecret = process.env.OSSIA_ACCESS_KEY_SECRET;
const counts = { passed: 0, failed: 0 };

function client(bucket) {
  const endpoint = `http://localhost:${port}`;
  const oss = new OSS({ region: `oss-${region}`, accessKeyId, accessKeySecret, bucket, endpoint, sldEnable: true });
  // It only prepares and looks; what it does is not to count as tested.
  oss.userAgent = 'ossia-compat';
  return oss;
}

/** Tells the server's log which case comes next, so that it says what each case did. */
function announce(name) {
  return new Promise((resolve, reject) => {
    const headers = { 'User-Agent': `case: ${name}` };
    const request = http.get({ host: '127.0.0.1', port, path: '/_ossia/health', headers }, answer => {
      answer.resume().on('end', resolve);
    });
    request.on('error', reject);
  });
}

const HEADERS = ['ETag', 'x-oss-request-id', 'x-oss-next-append-position', 'x-oss-hash-crc64ecma', 'x-oss-object-type'];
const METHODS = ['GET', 'PUT', 'POST', 'DELETE', 'HEAD'];

/** The buckets that the page is told of, each with what it allows. */
async function prepare(origin) {
  const rules = {
    open: { allowedOrigin: origin, allowedMethod: METHODS, allowedHeader: '*', exposeHeader: HEADERS },
    mute: { allowedOrigin: origin, allowedMethod: METHODS, allowedHeader: '*' },
    readable: { allowedOrigin: origin, allowedMethod: ['GET'], allowedHeader: '*' },
    closed: undefined
  };
  const buckets = {};
  for (const [name, rule] of Object.entries(rules)) {
    buckets[name] = `compat-browser-${name}`;
    const oss = client(buckets[name]);
    await oss.putBucket(buckets[name]);
    if (rule) await oss.putBucketCORS(buckets[name], [rule]);
    await oss.put('there', Buffer.from('there'));
  }
  return buckets;
}

/** Fields of a form that may put objects below `posts/`, signed by the server of the page, as forms are. */
function forms(bucket) {
  const oss = client(bucket);
  const now = new Date();
  const expiration = new Date(now.getTime() + 3_600_000).toISOString();
  const conditions = [{ bucket }, ['starts-with', '$key', 'posts/'], ['content-length-range', 1, 100]];
  const { OSSAccessKeyId, Signature, policy } = oss.calculatePostSignature({ expiration, conditions });
  const date = now.toISOString().replace(/[-:]|\.\d+/g, '');
  const named = {
    'x-oss-signature-version': 'OSS4-HMAC-SHA256',
    'x-oss-credential': `${accessKeyId}/${date.slice(0, 8)}/${region}/oss/aliyun_v4_request`,
    'x-oss-date': date
  };
  const wide = { expiration, conditions: [...conditions, ...Object.entries(named).map(([k, v]) => ({ [k]: v }))] };
  const v4 = {
    ...named,
    policy: Buffer.from(JSON.stringify(wide)).toString('base64'),
    'x-oss-signature': oss.signPostObjectPolicyV4(wide, now)
  };
  return { v1: { OSSAccessKeyId, Signature, policy }, v4 };
}

/** The server of the page: itself, the SDK, and where results go. Gives its port and what is told. */
async function pages(done) {
  const dist = path.join(process.env.OSSIA_ALI_OSS, 'dist', 'aliyun-oss-sdk.min.js');
  const html = '<!doctype html><meta charset="utf-8"><script src="/sdk.js"></script><script src="/page.js"></script>';
  const state = { origin: '', buckets: {} };
  const answers = {
    '/': () => ['text/html', html],
    '/sdk.js': () => ['text/javascript', fs.readFileSync(dist)],
    '/page.js': () => ['text/javascript', fs.readFileSync(path.join(__dirname, 'page.js'))],
    '/settings': () => [
      'application/json',
      JSON.stringify({ ...state, port, region, accessKeyId, accessKeySecret })
    ],
    '/announce': async body => ['text/plain', (await announce(body), '')],
    '/told': body => {
      const line = body.replace(/\s+/g, ' ');
      console.log(line);
      counts[line.startsWith('ok - ') ? 'passed' : 'failed'] += 1;
      return ['text/plain', ''];
    },
    // What really is in a bucket, whatever the page was told.
    '/keys': async bucket => {
      const page = await client(bucket).listV2({ 'max-keys': 1000 });
      return ['application/json', JSON.stringify(page.objects.map(object => object.name))];
    },
    '/end': () => (done(), ['text/plain', ''])
  };
  const server = http.createServer(async (request, answer) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const find = answers[request.url.split('?')[0]];
    try {
      const [type, content] = find ? await find(Buffer.concat(chunks).toString()) : ['text/plain', ''];
      answer.writeHead(find ? 200 : 404, { 'Content-Type': type });
      answer.end(content);
    } catch (error) {
      answer.writeHead(500);
      answer.end(String(error));
    }
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  state.origin = `http://page.test:${server.address().port}`;
  state.buckets = await prepare(state.origin);
  state.forms = forms(state.buckets.open);
  return { server, state };
}

async function main() {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'ossia-compat-browser-'));
  let finish;
  const finished = new Promise(resolve => (finish = resolve));
  const { server, state } = await pages(() => finish('end'));
  const browser = spawn(
    process.env.OSSIA_CHROMIUM,
    [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      '--no-proxy-server',
      // Every name is this machine, so nothing leaves it.
      '--host-resolver-rules=MAP * 127.0.0.1',
      `--user-data-dir=${profile}`,
      `${state.origin}/`
    ],
    // A group of its own: it starts many processes.
    { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, HOME: profile }, detached: true }
  );
  browser.on('exit', code => finish(`the browser ended with ${code}`));
  const timer = setTimeout(() => finish('the page did not end'), WAIT_MS_MAX);
  const why = await finished;
  clearTimeout(timer);
  if (why !== 'end') {
    counts.failed += 1;
    console.log(`not ok - browser all all / the page itself: ${why}`);
  }
  const gone = new Promise(resolve => browser.once('exit', resolve));
  if (browser.exitCode === null) {
    process.kill(-browser.pid, 'SIGKILL');
    await gone;
  }
  server.close();
  server.closeAllConnections();
  fs.rmSync(profile, { recursive: true, force: true, maxRetries: 100, retryDelay: 50 });
  console.log(`${counts.passed} passed, ${counts.failed} failed, 0 skipped`);
  return counts.failed === 0 && counts.passed > 0 ? 0 : 1;
}

main().then(
  code => process.exit(code),
  error => {
    console.log(`not ok - browser all all / the program itself: ${error.stack.replace(/\s+/g, ' ')}`);
    process.exit(2);
  }
);
