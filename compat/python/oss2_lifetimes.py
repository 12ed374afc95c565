"""oss2: retention of a bucket, storage classes, restores."""
from oss2 import exceptions
from oss2 import models

from harness import equal


def lifetime_cases(bucket, refused, refused_code):
    def a_policy_is_begun_obeyed_told_and_aborted():
        refused(exceptions.NoSuchWORMConfiguration, bucket.get_bucket_worm)
        bucket.append_object('lifetimes/log', 0, b'hello')
        worm_id = bucket.init_bucket_worm(1).worm_id
        try:
            told = bucket.get_bucket_worm()
            equal((told.worm_id, told.state, int(told.retention_period_days)), (worm_id, 'InProgress', 1))
            refused_code(409, 'WORMConfigurationAlreadyExists', bucket.init_bucket_worm, 1)
            refused_code(409, 'FileImmutable', bucket.append_object, 'lifetimes/log', 5, b'x')
            refused_code(409, 'FileImmutable', bucket.put_object, 'lifetimes/log', b'x')
            refused_code(409, 'FileImmutable', bucket.delete_object, 'lifetimes/log')
            refused(exceptions.InvalidWORMConfiguration, bucket.extend_bucket_worm, worm_id, 2)
            refused(exceptions.NoSuchWORMConfiguration, bucket.complete_bucket_worm, 'nonsense')
        finally:
            bucket.abort_bucket_worm()
        refused(exceptions.NoSuchWORMConfiguration, bucket.get_bucket_worm)
        bucket.append_object('lifetimes/log', 5, b'!')

    def an_archived_object_is_refused_until_it_is_restored():
        archive = {'x-oss-storage-class': models.BUCKET_STORAGE_CLASS_ARCHIVE}
        bucket.put_object('lifetimes/archived', b'cold', headers=archive)
        refused_code(403, 'InvalidObjectState', bucket.get_object, 'lifetimes/archived')
        equal(bucket.restore_object('lifetimes/archived').status, 202)
        refused(exceptions.RestoreAlreadyInProgress, bucket.restore_object, 'lifetimes/archived')
        equal(bucket.head_object('lifetimes/archived').resp.headers['x-oss-restore'], 'ongoing-request="true"')
        bucket.put_object('lifetimes/warm', b'warm')
        refused(exceptions.OperationNotSupported, bucket.restore_object, 'lifetimes/warm')
        job = models.RestoreConfiguration(1, models.RestoreJobParameters('Standard'))
        refused_code(400, 'MalformedXML', bucket.restore_object, 'lifetimes/archived', input=job)

    def a_cold_archive_is_restored_with_a_tier():
        cold = {'x-oss-storage-class': models.BUCKET_STORAGE_CLASS_COLD_ARCHIVE}
        bucket.put_object('lifetimes/cold', b'cold', headers=cold)
        job = models.RestoreConfiguration(2, models.RestoreJobParameters(models.RESTORE_TIER_BULK))
        taken = bucket.restore_object('lifetimes/cold', input=job)
        equal((taken.status, taken.headers['x-oss-object-restore-priority']), (202, 'Bulk'))

    return [a_policy_is_begun_obeyed_told_and_aborted, an_archived_object_is_refused_until_it_is_restored,
            a_cold_archive_is_restored_with_a_tier]
