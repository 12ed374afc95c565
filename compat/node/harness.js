'use strict';
// Runs cases one after another and prints a line for each, in the form that `cargo xtask` reads:
//   ok - SDK SIGNATURE ADDRESSING / case
//   not ok - SDK SIGNATURE ADDRESSING / case: why
//   skip - SDK SIGNATURE ADDRESSING / case: why

const dns = require('dns');
const http = require('http');
const https = require('https');

const CASE_MS_MAX = 60_000;
const counts = { passed: 0, failed: 0, skipped: 0 };

/** Names that only this test knows: the system's resolver has never heard of `bucket.localhost`. */
function resolveTestNamesToLoopback() {
  const lookup = dns.lookup;
  dns.lookup = (host, options, done) => {
    const callback = done || options;
    const wanted = done ? options : {};
    if (/(^|\.)(localhost|test)$/.test(host)) {
      const address = { address: '127.0.0.1', family: 4 };
      return process.nextTick(() =>
        wanted.all ? callback(null, [address]) : callback(null, address.address, address.family)
      );
    }
    // Nothing here may leave the machine, so no other name is looked up.
    if (!/^[\d.]+$/.test(host)) return process.nextTick(() => callback(new Error(`not a test name: ${host}`)));
    return lookup(host, options, done);
  };
}

function explain(error) {
  const parts = [error.name !== 'Error' && error.name, error.status, error.code, error.message, error.requestId];
  return parts
    .filter(part => part !== undefined && part !== false && part !== '')
    .join(' ')
    .replace(/\s+/g, ' ');
}

/** Tells the server's log which case comes next, so that it says what each case did. */
function announce(label, name) {
  const headers = { 'User-Agent': `case: ${label} / ${name}` };
  return fetchUrl(`${process.env.OSSIA_SCHEME || 'http'}://127.0.0.1:${process.env.OSSIA_PORT}/_ossia/health`, { headers });
}

async function run(label, name, body) {
  await announce(label, name);
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${CASE_MS_MAX} ms`)), CASE_MS_MAX);
  });
  try {
    await Promise.race([body(), deadline]);
    counts.passed += 1;
    console.log(`ok - ${label} / ${name}`);
  } catch (error) {
    counts.failed += 1;
    console.log(`not ok - ${label} / ${name}: ${explain(error)}`);
  } finally {
    clearTimeout(timer);
  }
}

function skip(label, name, why) {
  counts.skipped += 1;
  console.log(`skip - ${label} / ${name}: ${why}`);
}

/** Prints the closing line and gives the exit code. */
function close() {
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  return counts.failed === 0 && counts.passed > 0 ? 0 : 1;
}

/** One plain request, for signed URLs: no SDK between the test and the wire. */
function fetchUrl(url, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const library = url.startsWith('https:') ? https : http;
    const request = library.request(url, { method, headers, agent: false }, response => {
      const chunks = [];
      response.on('data', chunk => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) })
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

module.exports = { resolveTestNamesToLoopback, run, skip, close, fetchUrl };
