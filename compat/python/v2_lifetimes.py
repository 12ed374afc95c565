"""alibabacloud-oss-v2: retention of buckets and of objects, legal hold, restores; in buckets of their own."""
import datetime
import time

import alibabacloud_oss_v2 as oss

from harness import check, equal

WAIT_S_MAX = 60


def lifetime_cases(client, bucket, refused, label):
    def a_policy_is_begun_locked_extended_and_told():
        name = f'compat-v2-worm-{label}'
        client.put_bucket(oss.PutBucketRequest(bucket=name))
        begin = oss.InitiateBucketWormRequest(
            bucket=name, initiate_worm_configuration=oss.InitiateWormConfiguration(retention_period_in_days=1))
        told = lambda: client.get_bucket_worm(oss.GetBucketWormRequest(bucket=name)).worm_configuration
        client.initiate_bucket_worm(begin)
        equal(told().state, 'InProgress')
        client.abort_bucket_worm(oss.AbortBucketWormRequest(bucket=name))
        refused(404, 'NoSuchWORMConfiguration', told)
        worm_id = client.initiate_bucket_worm(begin).worm_id
        client.complete_bucket_worm(oss.CompleteBucketWormRequest(bucket=name, worm_id=worm_id))
        client.extend_bucket_worm(oss.ExtendBucketWormRequest(
            bucket=name, worm_id=worm_id,
            extend_worm_configuration=oss.ExtendWormConfiguration(retention_period_in_days=2)))
        equal((told().worm_id, told().state, told().retention_period_in_days), (worm_id, 'Locked', 2))
        refused(403, 'WORMConfigurationLocked', client.abort_bucket_worm, oss.AbortBucketWormRequest(bucket=name))
        client.delete_bucket(oss.DeleteBucketRequest(bucket=name))

    def versions_are_retained_and_held_and_tell_so():
        # It stays when the suite ends: what is retained until tomorrow cannot be removed.
        name = f'compat-v2-retained-{label}'
        client.put_bucket(oss.PutBucketRequest(bucket=name))
        client.put_bucket_versioning(oss.PutBucketVersioningRequest(
            bucket=name, versioning_configuration=oss.VersioningConfiguration(status='Enabled')))
        ask = oss.GetBucketObjectWormConfigurationRequest(bucket=name)
        refused(404, 'NoSuchObjectWormConfiguration', client.get_bucket_object_worm_configuration, ask)
        client.put_bucket_object_worm_configuration(oss.PutBucketObjectWormConfigurationRequest(
            bucket=name, object_worm_configuration=oss.ObjectWormConfiguration(
                object_worm_enabled='Enabled', rule=oss.ObjectWormConfigurationRule(
                    default_retention=oss.ObjectWormConfigurationRuleDefaultRetention(mode='GOVERNANCE', days=1)))))
        told = client.get_bucket_object_worm_configuration(ask).object_worm_configuration
        default = told.rule.default_retention
        equal((told.object_worm_enabled, default.mode, default.days), ('Enabled', 'GOVERNANCE', 1))
        version = client.put_object(oss.PutObjectRequest(bucket=name, key='k', body=b'x')).version_id
        where = {'bucket': name, 'key': 'k', 'version_id': version}
        read = lambda: client.get_object_retention(oss.GetObjectRetentionRequest(**where)).retention
        equal(read().mode, 'GOVERNANCE')
        later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3)
        until = later.strftime('%Y-%m-%dT%H:%M:%S.000Z')
        client.put_object_retention(oss.PutObjectRetentionRequest(
            **where, retention=oss.Retention(mode='COMPLIANCE', retain_until_date=until)))
        equal((read().mode, read().retain_until_date), ('COMPLIANCE', until))
        for status in ('ON', 'OFF'):
            hold = oss.LegalHold(status=status)
            client.put_object_legal_hold(oss.PutObjectLegalHoldRequest(**where, legal_hold=hold))
            held = client.get_object_legal_hold(oss.GetObjectLegalHoldRequest(**where)).legal_hold
            equal(held.status, status)
        refused(409, 'FileImmutable', client.delete_object, oss.DeleteObjectRequest(**where))

    def an_archived_object_is_restored_read_and_cleaned():
        where = {'bucket': bucket, 'key': 'lifetimes/archived'}
        client.put_object(oss.PutObjectRequest(**where, storage_class='Archive', body=b'cold'))
        read = lambda: client.get_object(oss.GetObjectRequest(**where)).body.content
        refused(403, 'InvalidObjectState', read)
        days = oss.RestoreRequest(days=2)
        equal(client.restore_object(oss.RestoreObjectRequest(**where, restore_request=days)).status_code, 202)
        clean = oss.CleanRestoredObjectRequest(**where)
        refused(409, 'ArchiveRestoreNotFinished', client.clean_restored_object, clean)
        deadline = time.monotonic() + WAIT_S_MAX
        while 'ongoing-request="true"' in client.head_object(oss.HeadObjectRequest(**where)).restore:
            check(time.monotonic() < deadline, 'the restore does not end')
            time.sleep(0.2)
        equal(read(), b'cold')
        client.clean_restored_object(clean)
        refused(403, 'InvalidObjectState', read)

    return [a_policy_is_begun_locked_extended_and_told, versions_are_retained_and_held_and_tell_so,
            an_archived_object_is_restored_read_and_cleaned]
