"""oss2: versions, in a bucket of their own."""
import oss2
from oss2 import exceptions, models

from harness import check, equal


def version_cases(bucket, refused):
    def a_bucket_is_told_to_keep_versions_and_tells_it():
        bucket.create_bucket()
        equal(bucket.get_bucket_versioning().status, None)
        equal(bucket.get_bucket_info().versioning_status, None)
        config = models.BucketVersioningConfig()
        for status in ('Suspended', 'Enabled'):
            config.status = status
            bucket.put_bucket_versioning(config)
            equal(bucket.get_bucket_versioning().status, status)
            equal(bucket.get_bucket_info().versioning_status, status)
        config.status = 'Disabled'
        refused(exceptions.MalformedXml, bucket.put_bucket_versioning, config)

    def versions_are_read_listed_and_deleted_by_their_ids():
        one = bucket.put_object('k', b'first').versionid
        two = bucket.put_object('k', b'second').versionid
        check(one != two, one)
        # Some calls of the SDK add to what they are given.
        old = {'versionId': one}
        equal(bucket.get_object('k').read(), b'second')
        equal(bucket.get_object('k', params=dict(old)).read(), b'first')
        equal(bucket.head_object('k', params=dict(old)).versionid, one)
        equal(bucket.get_object_meta('k', params=dict(old)).content_length, 5)
        rule = models.TaggingRule()
        rule.add('a', '1')
        equal(bucket.put_object_tagging('k', models.Tagging(rule), params=dict(old)).versionid, one)
        equal(bucket.get_object_tagging('k', params=dict(old)).tag_set.len(), 1)
        equal(bucket.get_object_tagging('k').tag_set.len(), 0)
        bucket.put_object_acl('k', oss2.OBJECT_ACL_PUBLIC_READ, params=dict(old))
        equal(bucket.get_object_acl('k', params=dict(old)).acl, oss2.OBJECT_ACL_PUBLIC_READ)
        bucket.copy_object(bucket.bucket_name, 'k', 'k', params=dict(old))
        equal(bucket.get_object('k').read(), b'first')
        page = bucket.list_object_versions(max_keys=2)
        equal([(v.is_latest, v.size) for v in page.versions], [(True, 5), (False, 6)])
        check(page.is_truncated, 'not truncated')
        page = bucket.list_object_versions(key_marker=page.next_key_marker, versionid_marker=page.next_versionid_marker)
        equal([v.versionid for v in page.versions], [one])
        bucket.delete_object('k', params=dict(old))
        missing = refused(exceptions.ServerError, bucket.get_object, 'k', params=dict(old))
        equal((missing.status, missing.code), (404, 'NoSuchVersion'))

    def a_deleted_object_is_under_a_marker():
        bucket.put_object('gone', b'x')
        deleted = bucket.delete_object('gone')
        check(deleted.delete_marker, 'no marker')
        refused(exceptions.NoSuchKey, bucket.get_object, 'gone')
        check(not bucket.object_exists('gone'), 'exists')
        markers = bucket.list_object_versions(prefix='gone').delete_marker
        equal([(m.versionid, m.is_latest) for m in markers], [(deleted.versionid, True)])
        again = bucket.delete_object('gone', params={'versionId': deleted.versionid})
        check(again.delete_marker, 'not told as a marker')
        equal(bucket.get_object('gone').read(), b'x')

    def appends_stay_in_their_version_and_begin_anew_over_a_marker():
        first = bucket.append_object('log', 0, b'hello').versionid
        equal(bucket.append_object('log', 5, b' world').versionid, first)
        marker = bucket.delete_object('log').versionid
        refused(exceptions.PositionNotEqualToLength, bucket.append_object, 'log', 11, b'x')
        anew = bucket.append_object('log', 0, b'anew').versionid
        check(anew != first, anew)
        for version in (anew, marker):
            bucket.delete_object('log', params={'versionId': version})
        equal(bucket.append_object('log', 11, b'!').versionid, first)
        equal(bucket.get_object('log').read(), b'hello world!')

    def a_link_is_read_by_its_version():
        bucket.put_object('target', b'x')
        one = bucket.put_symlink('target', 'link').versionid
        bucket.put_symlink('k', 'link')
        equal(bucket.get_symlink('link', params={'versionId': one}).target_key, 'target')

    def many_versions_are_deleted_at_once_and_then_the_bucket():
        refused(exceptions.BucketNotEmpty, bucket.delete_bucket)
        page = bucket.list_object_versions(max_keys=1000)
        named = models.BatchDeleteObjectVersionList()
        for version in page.versions + page.delete_marker:
            named.append(models.BatchDeleteObjectVersion(version.key, version.versionid))
        told = bucket.delete_object_versions(named)
        equal(len(told.delete_versions), named.len())
        bucket.delete_bucket()

    return [a_bucket_is_told_to_keep_versions_and_tells_it, versions_are_read_listed_and_deleted_by_their_ids,
            a_deleted_object_is_under_a_marker, appends_stay_in_their_version_and_begin_anew_over_a_marker,
            a_link_is_read_by_its_version, many_versions_are_deleted_at_once_and_then_the_bucket]
