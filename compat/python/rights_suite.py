"""What appending needs: oss:PutObject on the key, and oss:PutObjectTagging too where the append brings tags."""
import json

import alibabacloud_oss_v2 as oss
import oss2
from alibabacloud_ram20150501 import models as ram

from harness import KEY_ID, KEY_SECRET, Room, equal
from ram_suite import ENDPOINT, root, v2_client

BUCKET = 'compat-python-rights'
ALL = f'acs:oss:*:*:{BUCKET}/*'
LOGS = f'acs:oss:*:*:{BUCKET}/logs/*'
SECRET = f'acs:oss:*:*:{BUCKET}/logs/secret/*'
TAGS = 'team=red'


def allow(actions, resource):
    return {'Effect': 'Allow', 'Action': actions, 'Resource': [resource]}


def deny(actions, resource):
    return {'Effect': 'Deny', 'Action': actions, 'Resource': [resource]}


NOTHING = deny(['ram:Nothing'], '*')


class User:
    """A user with a key and a policy of its own, which says nothing at first."""

    def __init__(self, name):
        self.name = name
        self.id = root.create_user(ram.CreateUserRequest(user_name=name)).body.user.user_id
        key = root.create_access_key(ram.CreateAccessKeyRequest(user_name=name)).body.access_key
        self.key = (key.access_key_id, key.access_key_secret)
        document = json.dumps({'Version': '1', 'Statement': [NOTHING]})
        root.create_policy(ram.CreatePolicyRequest(policy_name=name, policy_document=document))
        self.attached = {'policy_type': 'Custom', 'policy_name': name, 'user_name': name}
        root.attach_policy_to_user(ram.AttachPolicyToUserRequest(**self.attached))

    def may(self, *statements):
        """Puts these statements in force, and no others."""
        request = ram.CreatePolicyVersionRequest(
            policy_name=self.name,
            policy_document=json.dumps({'Version': '1', 'Statement': list(statements) or [NOTHING]}),
            set_as_default=True,
            rotate_strategy='DeleteOldestNonDefaultVersionWhenLimitExceeded',
        )
        root.create_policy_version(request)

    def close(self):
        root.detach_policy_from_user(ram.DetachPolicyFromUserRequest(**self.attached))
        root.delete_policy(ram.DeletePolicyRequest(policy_name=self.name, cascading_delete=True))
        root.delete_access_key(ram.DeleteAccessKeyRequest(user_name=self.name, user_access_key_id=self.key[0]))
        root.delete_user(ram.DeleteUserRequest(user_name=self.name))


class Oss2:
    label = ('oss2', 'v1', 'path')

    def __init__(self, key):
        self.bucket = oss2.Bucket(oss2.Auth(*key), ENDPOINT, BUCKET, is_path_style=True)

    def append(self, key, position, body, tags=None):
        headers = {'x-oss-tagging': tags} if tags else None
        return self.bucket.append_object(key, position, body, headers=headers).next_position

    def read(self, key):
        return self.bucket.get_object(key).read()

    def refused(self, code, call):
        try:
            call()
        except oss2.exceptions.ServerError as error:
            equal(error.code, code)
        else:
            raise AssertionError(f'{code} was expected')


class V2:
    label = ('alibabacloud-oss-v2', 'v4', 'path')

    def __init__(self, key):
        self.client = v2_client(key)

    def append(self, key, position, body, tags=None):
        request = oss.AppendObjectRequest(bucket=BUCKET, key=key, position=position, body=body, tagging=tags)
        return self.client.append_object(request).next_position

    def read(self, key):
        return self.client.get_object(oss.GetObjectRequest(bucket=BUCKET, key=key)).body.content

    def refused(self, code, call):
        try:
            call()
        except oss.exceptions.OperationError as error:
            equal(error.unwrap().code, code)
        else:
            raise AssertionError(f'{code} was expected')


def run_sdk(sdk, user, owner):
    room = Room(*sdk.label)
    app = sdk(user.key)
    by_owner = sdk((KEY_ID, KEY_SECRET))

    def denied(call):
        app.refused('AccessDenied', call)

    def bucket_policy(*statements):
        if not statements:
            return owner.delete_bucket_policy()
        named = [{**statement, 'Principal': [user.id]} for statement in statements]
        return owner.put_bucket_policy(json.dumps({'Version': '1', 'Statement': named}))

    def holds(may, folder):
        """The statements, whoever carries them; `may` puts those in force that it is given."""
        log, tagged = f'{folder}/a', f'{folder}/tagged'
        may()
        denied(lambda: app.append(log, 0, b'one'))

        may(allow(['oss:PutObject'], LOGS))
        equal(app.append(log, 0, b'one'), 3)
        equal(app.append(log, 3, b'two'), 6)
        for other in ['other/a', 'logs', 'logsx/a', 'Logs/a']:
            denied(lambda other=other: app.append(other, 0, b'one'))
        denied(lambda: app.read(log))

        denied(lambda: app.append(tagged, 0, b'one', TAGS))
        app.refused('NoSuchKey', lambda: by_owner.read(tagged))
        may(allow(['oss:PutObject', 'oss:PutObjectTagging'], LOGS))
        equal(app.append(tagged, 0, b'one', TAGS), 3)
        equal(owner.get_object_tagging(tagged).tag_set.tagging_rule, {'team': 'red'})
        denied(lambda: app.append('other/tagged', 0, b'one', TAGS))

        may(allow(['oss:*'], ALL), deny(['oss:PutObject'], SECRET))
        denied(lambda: app.append('logs/secret/a', 0, b'one'))
        equal(app.append(log, 6, b'three'), 11)
        equal(app.read(log), b'onetwothree')

    def appends_where_a_policy_of_the_user_lets_it_and_nowhere_else():
        holds(user.may, f'logs/{sdk.__name__}-by-user')

    def appends_where_a_policy_of_the_bucket_lets_it_and_nowhere_else():
        user.may()
        holds(bucket_policy, f'logs/{sdk.__name__}-by-bucket')

    def is_denied_by_the_bucket_what_its_own_policy_allows():
        user.may(allow(['oss:*'], ALL))
        bucket_policy(deny(['oss:PutObject'], SECRET))
        key = f'logs/secret/{sdk.__name__}'
        denied(lambda: app.append(key, 0, b'one'))
        equal(by_owner.append(key, 0, b'one'), 3)
        bucket_policy()
        equal(app.append(key, 3, b'two'), 6)

    room.run_all([
        appends_where_a_policy_of_the_user_lets_it_and_nowhere_else,
        appends_where_a_policy_of_the_bucket_lets_it_and_nowhere_else,
        is_denied_by_the_bucket_what_its_own_policy_allows,
    ])


def run():
    owner = oss2.Bucket(oss2.Auth(KEY_ID, KEY_SECRET), ENDPOINT, BUCKET, is_path_style=True)
    owner.create_bucket()
    user = User('py-rights')
    try:
        for sdk in [Oss2, V2]:
            run_sdk(sdk, user, owner)
    finally:
        owner.delete_bucket_policy()
        user.close()
        for one in oss2.ObjectIterator(owner):
            owner.delete_object(one.key)
        owner.delete_bucket()
