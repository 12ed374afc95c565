"""The vendor's RAM and STS SDKs: who is who, and temporary credentials that append.

aliyun-python-sdk-sts signs in the RPC style 1.0, alibabacloud_sts20150401 and alibabacloud_ram20150501 by ACS3.
"""
import json
import os
import time

import alibabacloud_oss_v2 as oss
import oss2
from alibabacloud_ram20150501 import models as ram
from alibabacloud_ram20150501.client import Client as RamClient
from alibabacloud_sts20150401 import models as sts
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi import models as openapi
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.http import protocol_type
from aliyunsdksts.request.v20150401 import AssumeRoleRequest, GetCallerIdentityRequest
from darabonba.exceptions import DaraException

from harness import KEY_ID, KEY_SECRET, PORT, REGION, SCHEME, Room, check, equal

ENDPOINT = f'{SCHEME}://127.0.0.1:{PORT}'
BUCKET = 'compat-python-sts'
EVERYTHING = '{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"*"}]}'
NOTHING = '{"Version":"1","Statement":[{"Effect":"Deny","Action":"oss:*","Resource":"*"}]}'
# No credentials last longer in a test.
PATIENCE = 60


def config(key_id, secret, token=None):
    return openapi.Config(
        access_key_id=key_id,
        access_key_secret=secret,
        security_token=token,
        endpoint=f'127.0.0.1:{PORT}',
        protocol=SCHEME,
    )


def refused(code, call):
    """The call must be refused with this code."""
    try:
        call()
    except DaraException as error:
        equal(error.code, code)
    else:
        raise AssertionError(f'{code} was expected')


root = RamClient(config(KEY_ID, KEY_SECRET))


class World:
    """A user that may assume a role that may do everything."""

    def __init__(self, name):
        self.name = name
        root.create_user(ram.CreateUserRequest(user_name=name))
        key = root.create_access_key(ram.CreateAccessKeyRequest(user_name=name)).body.access_key
        self.key = (key.access_key_id, key.access_key_secret)
        self.attach('AliyunSTSAssumeRoleAccess', 'user')
        account = StsClient(config(*self.key)).get_caller_identity().body.account_id
        trust = {'Effect': 'Allow', 'Action': 'sts:AssumeRole', 'Principal': {'RAM': [f'acs:ram::{account}:root']}}
        document = json.dumps({'Version': '1', 'Statement': [trust]})
        made = root.create_role(ram.CreateRoleRequest(role_name=name, assume_role_policy_document=document))
        self.arn = made.body.role.arn
        self.attach('AliyunOSSFullAccess', 'role')

    def attach(self, policy, to):
        if to == 'user':
            request = ram.AttachPolicyToUserRequest(policy_type='System', policy_name=policy, user_name=self.name)
            root.attach_policy_to_user(request)
        else:
            request = ram.AttachPolicyToRoleRequest(policy_type='System', policy_name=policy, role_name=self.name)
            root.attach_policy_to_role(request)

    def assume(self, **more):
        """By ACS3."""
        request = sts.AssumeRoleRequest(role_arn=self.arn, role_session_name='session-1', **more)
        given = StsClient(config(*self.key)).assume_role(request).body.credentials
        return given.access_key_id, given.access_key_secret, given.security_token

    def close(self):
        detach = ram.DetachPolicyFromUserRequest(
            policy_type='System', policy_name='AliyunSTSAssumeRoleAccess', user_name=self.name
        )
        root.detach_policy_from_user(detach)
        root.delete_access_key(ram.DeleteAccessKeyRequest(user_name=self.name, user_access_key_id=self.key[0]))
        root.delete_user(ram.DeleteUserRequest(user_name=self.name))
        detach = ram.DetachPolicyFromRoleRequest(
            policy_type='System', policy_name='AliyunOSSFullAccess', role_name=self.name
        )
        root.detach_policy_from_role(detach)
        root.delete_role(ram.DeleteRoleRequest(role_name=self.name))


def oss2_bucket(key):
    return oss2.Bucket(oss2.StsAuth(*key), ENDPOINT, BUCKET, is_path_style=True)


def v2_client(key):
    settings = oss.config.load_default()
    settings.credentials_provider = oss.credentials.StaticCredentialsProvider(*key)
    settings.region = REGION
    settings.endpoint = ENDPOINT
    settings.use_path_style = True
    return oss.Client(settings)


def v2_append(key, name, position, body):
    request = oss.AppendObjectRequest(bucket=BUCKET, key=name, position=position, body=body)
    return v2_client(key).append_object(request)


def run_rpc(world):
    room = Room('aliyun-python-sdk-sts', 'rpc1', 'path')

    def client(key):
        return AcsClient(*key, REGION, port=int(PORT), verify=os.environ.get('REQUESTS_CA_BUNDLE'))

    def call(key, request):
        request.set_endpoint('127.0.0.1')
        # It compares by identity.
        request.set_protocol_type(getattr(protocol_type, SCHEME.upper()))
        return json.loads(client(key).do_action_with_exception(request))

    def assume(key=None, **more):
        request = AssumeRoleRequest.AssumeRoleRequest()
        request.set_RoleArn(world.arn)
        request.set_RoleSessionName('session-1')
        for name, value in more.items():
            getattr(request, f'set_{name}')(value)
        given = call(key or world.key, request)['Credentials']
        return given['AccessKeyId'], given['AccessKeySecret'], given['SecurityToken']

    def assumes_a_role_and_appends():
        key = assume(DurationSeconds=900)
        check(key[0].startswith('STS.'), key[0])
        oss2_bucket(key).append_object('rpc.log', 0, b'a')
        equal(v2_append(key, 'rpc.log', 1, b'b').next_position, 2)

    def knows_who_asks():
        who = call(world.key, GetCallerIdentityRequest.GetCallerIdentityRequest())
        equal(who['IdentityType'], 'RAMUser')
        check(who['Arn'].endswith(f':user/{world.name}'), who)

    def is_refused_as_root():
        try:
            assume((KEY_ID, KEY_SECRET))
        except ServerException as error:
            equal((error.get_http_status(), error.get_error_code()), (403, 'NoPermission'))
        else:
            raise AssertionError('root has assumed a role')

    room.run_all([assumes_a_role_and_appends, knows_who_asks, is_refused_as_root])


def run_acs3(world):
    room = Room('alibabacloud_sts20150401', 'acs3', 'path')

    def assumes_a_role_and_appends():
        key = world.assume(duration_seconds=900)
        oss2_bucket(key).append_object('acs3.log', 0, b'a')
        equal(v2_append(key, 'acs3.log', 1, b'b').next_position, 2)
        session = StsClient(config(*key)).get_caller_identity().body
        equal(session.identity_type, 'AssumedRoleUser')
        check(session.arn.endswith(f':assumed-role/{world.name}/session-1'), session.arn)

    def signs_urls_with_the_token():
        key = world.assume()
        oss2_bucket(key).append_object('url.log', 0, b'abc')
        url = oss2_bucket(key).sign_url('GET', 'url.log', 60, slash_safe=True)
        check('security-token=' in url, url)
        equal(oss2_bucket(key).get_object_with_url(url).read(), b'abc')

    def is_refused_when_the_token_is_over():
        key = world.assume(duration_seconds=2)
        end = time.monotonic() + PATIENCE
        position = 0
        while time.monotonic() < end:
            try:
                position = oss2_bucket(key).append_object('over.log', position, b'a').next_position
            except oss2.exceptions.ServerError as error:
                equal((error.status, error.code), (403, 'SecurityTokenExpired'))
                break
            time.sleep(0.1)
        else:
            raise AssertionError('the token is never over')
        try:
            v2_append(key, 'over.log', position, b'a')
        except oss.exceptions.OperationError as error:
            equal(error.unwrap().code, 'SecurityTokenExpired')
        else:
            raise AssertionError('the token is not over')

    def is_refused_with_one_bit_turned():
        key = world.assume()
        letter = 'B' if key[2][20] == 'A' else 'A'
        turned = (key[0], key[1], key[2][:20] + letter + key[2][21:])
        try:
            oss2_bucket(turned).append_object('turned.log', 0, b'a')
        except oss2.exceptions.ServerError as error:
            equal((error.status, error.code), (403, 'InvalidSecurityToken'))
        else:
            raise AssertionError('a turned token was taken')

    def is_narrowed_by_its_policy():
        key = world.assume(policy=NOTHING)
        try:
            oss2_bucket(key).append_object('narrow.log', 0, b'a')
        except oss2.exceptions.AccessDenied:
            pass
        else:
            raise AssertionError('a session does what its policy denies')

    room.run_all([
        assumes_a_role_and_appends,
        signs_urls_with_the_token,
        is_refused_when_the_token_is_over,
        is_refused_with_one_bit_turned,
        is_narrowed_by_its_policy,
    ])


def run_ram():
    room = Room('alibabacloud_ram20150501', 'acs3', 'path')

    def manages_users_and_keys():
        made = root.create_user(ram.CreateUserRequest(user_name='py-alice', display_name='Älice 中')).body.user
        equal(made.display_name, 'Älice 中')
        refused('EntityAlreadyExists.User', lambda: root.create_user(ram.CreateUserRequest(user_name='py-alice')))
        request = ram.UpdateUserRequest(user_name='py-alice', new_user_name='py-bob', new_comments='renamed')
        equal(root.update_user(request).body.user.user_id, made.user_id)
        key = root.create_access_key(ram.CreateAccessKeyRequest(user_name='py-bob')).body.access_key
        who = StsClient(config(key.access_key_id, key.access_key_secret)).get_caller_identity().body
        equal(who.user_id, made.user_id)
        used = ram.GetAccessKeyLastUsedRequest(user_name='py-bob', user_access_key_id=key.access_key_id)
        check(root.get_access_key_last_used(used).body.access_key_last_used.last_used_date, 'never used')
        off = ram.UpdateAccessKeyRequest(
            user_name='py-bob', user_access_key_id=key.access_key_id, status='Inactive'
        )
        root.update_access_key(off)
        listed = root.list_access_keys(ram.ListAccessKeysRequest(user_name='py-bob')).body.access_keys.access_key
        equal([(one.access_key_id, one.status) for one in listed], [(key.access_key_id, 'Inactive')])
        client = StsClient(config(key.access_key_id, key.access_key_secret))
        refused('InvalidAccessKeyId.Inactive', client.get_caller_identity)
        delete = ram.DeleteUserRequest(user_name='py-bob')
        refused('DeleteConflict.User.AccessKey', lambda: root.delete_user(delete))
        gone = ram.DeleteAccessKeyRequest(user_name='py-bob', user_access_key_id=key.access_key_id)
        root.delete_access_key(gone)
        refused('InvalidAccessKeyId.NotFound', client.get_caller_identity)
        root.delete_user(delete)
        refused('EntityNotExist.User', lambda: root.get_user(ram.GetUserRequest(user_name='py-bob')))

    def pages_through_users():
        for number in range(5):
            root.create_user(ram.CreateUserRequest(user_name=f'py-page-{number}'))
        names, marker = [], None
        while True:
            page = root.list_users(ram.ListUsersRequest(max_items=2, marker=marker)).body
            names += [user.user_name for user in page.users.user]
            if not page.is_truncated:
                break
            marker = page.marker
        equal([name for name in names if name.startswith('py-page-')], [f'py-page-{n}' for n in range(5)])
        for number in range(5):
            root.delete_user(ram.DeleteUserRequest(user_name=f'py-page-{number}'))

    def manages_policies_and_their_versions():
        create = ram.CreatePolicyRequest(policy_name='py-policy', policy_document=EVERYTHING, description='all')
        equal(root.create_policy(create).body.policy.default_version, 'v1')
        second = ram.CreatePolicyVersionRequest(
            policy_name='py-policy', policy_document=NOTHING, set_as_default=True
        )
        equal(root.create_policy_version(second).body.policy_version.version_id, 'v2')
        get = ram.GetPolicyRequest(policy_name='py-policy', policy_type='Custom')
        told = root.get_policy(get).body
        equal((told.policy.default_version, told.default_policy_version.policy_document), ('v2', NOTHING))
        back = ram.SetDefaultPolicyVersionRequest(policy_name='py-policy', version_id='v1')
        root.set_default_policy_version(back)
        root.delete_policy_version(ram.DeletePolicyVersionRequest(policy_name='py-policy', version_id='v2'))
        versions = ram.ListPolicyVersionsRequest(policy_name='py-policy', policy_type='Custom')
        equal(len(root.list_policy_versions(versions).body.policy_versions.policy_version), 1)
        names = [one.policy_name for one in root.list_policies(ram.ListPoliciesRequest()).body.policies.policy]
        check('py-policy' in names and 'AliyunOSSFullAccess' in names, names)
        bad = ram.CreatePolicyRequest(policy_name='py-bad', policy_document='{}')
        refused('MalformedPolicyDocument', lambda: root.create_policy(bad))
        root.delete_policy(ram.DeletePolicyRequest(policy_name='py-policy'))

    def manages_groups_and_what_is_attached():
        root.create_user(ram.CreateUserRequest(user_name='py-member'))
        root.create_group(ram.CreateGroupRequest(group_name='py-group', comments='c'))
        member = {'user_name': 'py-member', 'group_name': 'py-group'}
        root.add_user_to_group(ram.AddUserToGroupRequest(**member))
        twice = ram.AddUserToGroupRequest(**member)
        refused('EntityAlreadyExists.User.Group', lambda: root.add_user_to_group(twice))
        users = root.list_users_for_group(ram.ListUsersForGroupRequest(group_name='py-group')).body.users.user
        equal([user.user_name for user in users], ['py-member'])
        attached = {'policy_type': 'System', 'policy_name': 'AliyunOSSReadOnlyAccess', 'group_name': 'py-group'}
        root.attach_policy_to_group(ram.AttachPolicyToGroupRequest(**attached))
        listed = root.list_policies_for_group(ram.ListPoliciesForGroupRequest(group_name='py-group')).body
        equal([one.policy_name for one in listed.policies.policy], ['AliyunOSSReadOnlyAccess'])
        entities = ram.ListEntitiesForPolicyRequest(
            policy_type='System', policy_name='AliyunOSSReadOnlyAccess'
        )
        groups = root.list_entities_for_policy(entities).body.groups.group
        check('py-group' in [group.group_name for group in groups], groups)
        delete = ram.DeleteGroupRequest(group_name='py-group')
        refused('DeleteConflict.Group.User', lambda: root.delete_group(delete))
        root.remove_user_from_group(ram.RemoveUserFromGroupRequest(**member))
        refused('DeleteConflict.Group.Policy', lambda: root.delete_group(delete))
        root.detach_policy_from_group(ram.DetachPolicyFromGroupRequest(**attached))
        again = ram.DetachPolicyFromGroupRequest(**attached)
        refused('EntityNotExist.Group.Policy', lambda: root.detach_policy_from_group(again))
        root.delete_group(delete)
        root.delete_user(ram.DeleteUserRequest(user_name='py-member'))

    def changes_roles():
        trust = {'Effect': 'Allow', 'Action': 'sts:AssumeRole', 'Principal': {'RAM': ['acs:ram::1:user/nobody']}}
        document = json.dumps({'Version': '1', 'Statement': [trust]})
        create = ram.CreateRoleRequest(
            role_name='py-role', assume_role_policy_document=document, max_session_duration=7200
        )
        made = root.create_role(create).body.role
        equal((made.max_session_duration, made.assume_role_policy_document), (7200, document))
        update = ram.UpdateRoleRequest(role_name='py-role', new_description='d', new_max_session_duration=3600)
        equal(root.update_role(update).body.role.max_session_duration, 3600)
        told = root.get_role(ram.GetRoleRequest(role_name='py-role')).body.role
        equal((told.description, told.role_id, told.arn), ('d', made.role_id, made.arn))
        names = [role.role_name for role in root.list_roles(ram.ListRolesRequest()).body.roles.role]
        check('py-role' in names, names)
        root.delete_role(ram.DeleteRoleRequest(role_name='py-role'))
        refused('EntityNotExist.Role', lambda: root.get_role(ram.GetRoleRequest(role_name='py-role')))

    room.run_all([
        manages_users_and_keys,
        pages_through_users,
        manages_policies_and_their_versions,
        manages_groups_and_what_is_attached,
        changes_roles,
    ])


def run():
    run_ram()
    bucket = oss2.Bucket(oss2.Auth(KEY_ID, KEY_SECRET), ENDPOINT, BUCKET, is_path_style=True)
    bucket.create_bucket()
    world = World('py-app')
    try:
        run_rpc(world)
        run_acs3(world)
    finally:
        world.close()
        for one in oss2.ObjectIterator(bucket):
            bucket.delete_object(one.key)
        bucket.delete_bucket()
