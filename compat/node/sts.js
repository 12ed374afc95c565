'use strict';
// Temporary credentials by ali-oss's STS class. Users and roles are made as `rpc.js` does.

const assert = require('assert');
const OSS = require('ali-oss');
const { client } = require('./clients');
const { refused } = require('./expect');
const { endpoint, root, rpc, ram } = require('./rpc');

// No credentials last longer in a test.
const patience = 60000;

/** Expects that a role is not assumed: STS's errors have other ids than OSS's. */
async function unassumed(promise, status, code) {
  await assert.rejects(promise, error => error.status === status && error.code === code);
}

async function make(name) {
  await ram('CreateUser', { UserName: name });
  const made = await ram('CreateAccessKey', { UserName: name });
  const key = { id: made.AccessKey.AccessKeyId, secret: made.AccessKey.AccessKeySecret };
  const sts = { PolicyType: 'System', PolicyName: 'AliyunSTSAssumeRoleAccess', UserName: name };
  await ram('AttachPolicyToUser', sts);
  const who = await rpc(key, '2015-04-01', 'GetCallerIdentity', {});
  const trust = {
    Version: '1',
    Statement: [
      { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { RAM: [`acs:ram::${who.AccountId}:user/${name}`] } }
    ]
  };
  const role = { RoleName: name, AssumeRolePolicyDocument: JSON.stringify(trust) };
  const { Role } = await ram('CreateRole', role);
  const full = { PolicyType: 'System', PolicyName: 'AliyunOSSFullAccess', RoleName: name };
  await ram('AttachPolicyToRole', full);
  return {
    arn: Role.Arn,
    key,
    remove: async () => {
      await ram('DetachPolicyFromUser', sts);
      await ram('DeleteAccessKey', { UserName: name, UserAccessKeyId: key.id });
      await ram('DeleteUser', { UserName: name });
      await ram('DetachPolicyFromRole', full);
      await ram('DeleteRole', { RoleName: name });
    }
  };
}

module.exports = async function sts(room) {
  if (room.addressing !== 'path') return;
  const world = await make(`node-${room.signature}`);
  const service = new OSS.STS({ accessKeyId: world.key.id, accessKeySecret: world.key.secret, endpoint });
  const session = credentials =>
    client(room.signature, room.addressing, room.bucket, {
      accessKeyId: credentials.AccessKeyId,
      accessKeySecret: credentials.AccessKeySecret,
      stsToken: credentials.SecurityToken
    });
  try {
    await room.run('assumes a role and appends with the token', async () => {
      const { credentials } = await service.assumeRole(world.arn, null, 900, 'session-1');
      assert.ok(credentials.AccessKeyId.startsWith('STS.'), credentials.AccessKeyId);
      const oss = session(credentials);
      const first = await oss.append('sts.log', Buffer.from('one'));
      assert.strictEqual(Number(first.nextAppendPosition), 3);
      const second = await oss.append('sts.log', Buffer.from('two'), { position: 3 });
      assert.strictEqual(Number(second.nextAppendPosition), 6);
      assert.strictEqual((await oss.get('sts.log')).content.toString(), 'onetwo');
    });
    await room.run('narrows a session by its policy', async () => {
      const policy = { Version: '1', Statement: [{ Effect: 'Allow', Action: 'oss:GetObject', Resource: '*' }] };
      const { credentials } = await service.assumeRole(world.arn, policy);
      assert.strictEqual((await session(credentials).get('sts.log')).content.toString(), 'onetwo');
      await refused(session(credentials).append('sts.log', Buffer.from('x'), { position: 6 }), 403, 'AccessDenied');
    });
    await room.run('hears that a token is over', async () => {
      const { credentials } = await service.assumeRole(world.arn, null, 2);
      const end = Date.now() + patience;
      let position = 0;
      for (;;) {
        try {
          const told = await session(credentials).append('over.log', Buffer.from('x'), { position });
          position = Number(told.nextAppendPosition);
        } catch (error) {
          assert.strictEqual([error.status, error.code].join(' '), '403 SecurityTokenExpired');
          break;
        }
        assert.ok(Date.now() < end, 'the token is never over');
        await new Promise(resolve => setTimeout(resolve, 100));
      }
    });
    await room.run('hears that a token is none', async () => {
      const { credentials } = await service.assumeRole(world.arn);
      const at = 20;
      const letter = credentials.SecurityToken[at] === 'A' ? 'B' : 'A';
      const token = credentials.SecurityToken.slice(0, at) + letter + credentials.SecurityToken.slice(at + 1);
      const turned = session({ ...credentials, SecurityToken: token });
      await refused(turned.append('turned.log', Buffer.from('x')), 403, 'InvalidSecurityToken');
    });
    await room.run('hears why a role is not assumed', async () => {
      const absent = world.arn.replace(/[^/]*$/, 'nobody');
      await unassumed(service.assumeRole(absent), 404, 'EntityNotExist.Role');
      await unassumed(service.assumeRole(world.arn, null, 86400), 400, 'InvalidParameter.DurationSeconds');
      const owner = new OSS.STS({ accessKeyId: root.id, accessKeySecret: root.secret, endpoint });
      await unassumed(owner.assumeRole(world.arn), 403, 'NoPermission');
    });
  } finally {
    await world.remove();
  }
};
