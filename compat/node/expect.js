'use strict';
// Assertions about answers that several groups share.

const assert = require('assert');

/** Expects an SDK error with OSS's own code, and gives it back for closer looks. */
async function refused(promise, status, code) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    if (error.code !== code || error.status !== status) throw error;
    assert.strictEqual(error.name, `${code}Error`);
    assert.match(error.requestId, /^[0-9A-F]{24}$/);
    return error;
  }
  assert.fail(`expected ${status} ${code}, got ${answer && answer.res && answer.res.status}`);
}

async function content(oss, key) {
  return (await oss.get(key)).content.toString();
}

module.exports = { refused, content };
