'use strict';
// Users, roles and policies, by plain requests in the RPC style: ali-oss has none for them.

const crypto = require('crypto');
const { port, scheme } = require('./clients');
const { request: send } = require(scheme);

const endpoint = `${scheme}://127.0.0.1:${port}`;
const root = { id: process.env.OSSIA_ACCESS_KEY_ID, secret: process.env.OSSIA_ACCESS_KEY_SECRET };

const encode = text =>
  encodeURIComponent(text).replace(/[!'()*]/g, letter => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);

function rpc(key, version, action, parameters) {
  const all = {
    ...parameters,
    Action: action,
    Version: version,
    Format: 'JSON',
    AccessKeyId: key.id,
    SignatureMethod: 'HMAC-SHA1',
    SignatureVersion: '1.0',
    SignatureNonce: crypto.randomUUID(),
    Timestamp: `${new Date().toISOString().slice(0, 19)}Z`
  };
  const canonical = Object.keys(all)
    .sort()
    .map(name => `${encode(name)}=${encode(all[name])}`)
    .join('&');
  const signature = crypto
    .createHmac('sha1', `${key.secret}&`)
    .update(`POST&%2F&${encode(canonical)}`)
    .digest('base64');
  const body = `${canonical}&Signature=${encode(signature)}`;
  return new Promise((resolve, reject) => {
    const request = send(
      endpoint,
      { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      answer => {
        const pieces = [];
        answer.on('data', piece => pieces.push(piece));
        answer.on('end', () => {
          const told = JSON.parse(Buffer.concat(pieces).toString());
          if (answer.statusCode === 200) resolve(told);
          else reject(new Error(`${action}: ${told.Code} ${told.Message}`));
        });
      }
    );
    request.on('error', reject);
    request.end(body);
  });
}

const ram = (action, parameters) => rpc(root, '2015-05-01', action, parameters);

module.exports = { endpoint, root, rpc, ram };
