'use strict';
// The ways in which ali-oss can be pointed at a server on this machine.

const OSS = require('ali-oss');

const env = name => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
};

const port = env('OSSIA_PORT');
const cnameHost = env('OSSIA_CNAME_HOST');
const cnameBucket = env('OSSIA_CNAME_BUCKET');
const scheme = process.env.OSSIA_SCHEME || 'http';
const region = process.env.OSSIA_REGION || 'cn-hangzhou';

const ADDRESSING = {
  path: { endpoint: `${scheme}://localhost:${port}`, sldEnable: true },
  // No certificate may stand for every name below a top level one.
  virtual: { endpoint: `${scheme}://${scheme === 'https' ? env('OSSIA_DOMAIN') : 'localhost'}:${port}` },
  // The bucket travels in `Host: BUCKET.oss-REGION.aliyuncs.com` alone, whatever address the socket has.
  ip: { endpoint: `${scheme}://127.0.0.1:${port}` },
  cname: { endpoint: `${scheme}://${cnameHost}:${port}`, cname: true }
};

// What a server tells: its own name, where it was given one.
const domain = `${process.env.OSSIA_DOMAIN}:${port}`;
const endpoints =
  scheme === 'https'
    ? { outside: domain, inside: domain }
    : { outside: `oss-${region}.aliyuncs.com`, inside: `oss-${region}-internal.aliyuncs.com` };

function client(signature, addressing, bucket, overrides = {}) {
  return new OSS({
    region: `oss-${region}`,
    accessKeyId: env('OSSIA_ACCESS_KEY_ID'),
    accessKeySecret: env('OSSIA_ACCESS_KEY_SECRET'),
    authorizationV4: signature === 'v4',
    bucket,
    ...ADDRESSING[addressing],
    ...overrides
  });
}

module.exports = { client, port, scheme, endpoints, region, cnameBucket, addressings: Object.keys(ADDRESSING) };
