'use strict';
// What appending needs: oss:PutObject on the key, and oss:PutObjectTagging too where the append brings tags.

const assert = require('assert');
const { client, scheme } = require('./clients');
const { refused, content } = require('./expect');
const { ram } = require('./rpc');

const allow = (actions, ...resources) => ({ Effect: 'Allow', Action: actions, Resource: resources });
const deny = (actions, ...resources) => ({ Effect: 'Deny', Action: actions, Resource: resources });
const tags = { 'x-oss-tagging': 'team=red' };

/** A user with a key and a policy of its own, which says nothing at first. */
async function make(name) {
  const { User } = await ram('CreateUser', { UserName: name });
  const { AccessKey } = await ram('CreateAccessKey', { UserName: name });
  const document = statements => JSON.stringify({ Version: '1', Statement: statements });
  await ram('CreatePolicy', { PolicyName: name, PolicyDocument: document([deny(['ram:Nothing'], '*')]) });
  const attached = { PolicyType: 'Custom', PolicyName: name, UserName: name };
  await ram('AttachPolicyToUser', attached);
  return {
    id: User.UserId,
    key: { accessKeyId: AccessKey.AccessKeyId, accessKeySecret: AccessKey.AccessKeySecret },
    may: (...statements) =>
      ram('CreatePolicyVersion', {
        PolicyName: name,
        PolicyDocument: document(statements.length > 0 ? statements : [deny(['ram:Nothing'], '*')]),
        SetAsDefault: 'true',
        RotateStrategy: 'DeleteOldestNonDefaultVersionWhenLimitExceeded'
      }),
    remove: async () => {
      await ram('DetachPolicyFromUser', attached);
      await ram('DeletePolicy', { PolicyName: name, CascadingDelete: 'true' });
      await ram('DeleteAccessKey', { UserName: name, UserAccessKeyId: AccessKey.AccessKeyId });
      await ram('DeleteUser', { UserName: name });
    }
  };
}

module.exports = async function rights({ signature, addressing, bucket, oss, run }) {
  if (addressing !== 'path') return;
  const user = await make(`node-rights-${signature}`);
  const app = client(signature, addressing, bucket, user.key);
  const all = `acs:oss:*:*:${bucket}/*`;
  const logs = `acs:oss:*:*:${bucket}/logs/*`;
  const secret = `acs:oss:*:*:${bucket}/logs/secret/*`;
  const append = (key, text, options) => app.append(key, Buffer.from(text), options);
  const denied = promise => refused(promise, 403, 'AccessDenied');

  /** The statements, whoever carries them; `may` puts those in force that it is given. */
  async function holds(may, folder) {
    const key = name => `${folder}/${name}`;
    await may();
    await denied(append(key('a'), 'one'));

    await may(allow(['oss:PutObject'], logs));
    const first = await append(key('a'), 'one');
    assert.strictEqual(Number(first.nextAppendPosition), 3);
    const second = await append(key('a'), 'two', { position: 3 });
    assert.strictEqual(Number(second.nextAppendPosition), 6);
    for (const other of ['other/a', 'logs', 'logsx/a', 'Logs/a']) await denied(append(other, 'one'));
    await denied(app.get(key('a')));
    await assert.rejects(app.head(key('a')), error => error.status === 403);
    await denied(app.delete(key('a')));
    await denied(app.list());

    await denied(append(key('tagged'), 'one', { headers: tags }));
    await refused(oss.get(key('tagged')), 404, 'NoSuchKey');
    await may(allow(['oss:PutObject', 'oss:PutObjectTagging'], logs));
    await append(key('tagged'), 'one', { headers: tags });
    assert.deepStrictEqual((await oss.getObjectTagging(key('tagged'))).tag, { team: 'red' });
    await denied(append('other/tagged', 'one', { headers: tags }));

    await may(allow(['oss:*'], all), deny(['oss:PutObject'], secret));
    await denied(append('logs/secret/a', 'one'));
    assert.strictEqual(Number((await append(key('a'), 'three', { position: 6 })).nextAppendPosition), 11);
    assert.strictEqual(await content(app, key('a')), 'onetwothree');
  }

  try {
    await run('appends where a policy of the user lets it and nowhere else', () => holds(user.may, 'logs/by-user'));
    await run('appends where a policy of the bucket lets it and nowhere else', async () => {
      await user.may();
      const may = (...statements) =>
        statements.length === 0
          ? oss.deleteBucketPolicy(bucket)
          : oss.putBucketPolicy(bucket, {
              Version: '1',
              Statement: statements.map(statement => ({ ...statement, Principal: [user.id] }))
            });
      await holds(may, 'logs/by-bucket');
    });
    await run('is denied by the bucket what its own policy allows', async () => {
      await user.may(allow(['oss:*'], all));
      const Statement = [{ ...deny(['oss:PutObject'], secret), Principal: [user.id] }];
      await oss.putBucketPolicy(bucket, { Version: '1', Statement });
      await denied(append('logs/secret/b', 'one'));
      await append('logs/open', 'one');
      await oss.append('logs/secret/b', Buffer.from('by the owner'));
      await oss.deleteBucketPolicy(bucket);
      await append('logs/secret/b', '.', { position: 12 });
    });
    await run('may append by TLS alone where the bucket says so', async () => {
      await user.may(allow(['oss:PutObject'], logs));
      const Condition = { Bool: { 'acs:SecureTransport': ['false'] } };
      const Statement = [{ ...deny(['oss:*'], all), Principal: ['*'], Condition }];
      await oss.putBucketPolicy(bucket, { Version: '1', Statement });
      const told = append('logs/secure', 'one', { headers: { 'X-Forwarded-Proto': 'https' } });
      if (scheme === 'https') await told;
      else await denied(told);
      await oss.deleteBucketPolicy(bucket);
    });
  } finally {
    await oss.deleteBucketPolicy(bucket);
    await user.remove();
  }
};
