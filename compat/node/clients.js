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
const region = process.env.OSSIA_REGION || 'cn-hangzhou';

const ADDRESSING = {
  path: { endpoint: `http://localhost:${port}`, sldEnable: true },
  virtual: { endpoint: `http://localhost:${port}` },
  // The bucket travels in `Host: BUCKET.oss-REGION.aliyuncs.com` alone, whatever address the socket has.
  ip: { endpoint: `http://127.0.0.1:${port}` },
  cname: { endpoint: `http://${cnameHost}:${port}`, cname: true }
};

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

module.exports = { client, port, region, cnameBucket, addressings: Object.keys(ADDRESSING) };
