"""alibabacloud-oss-v2: versions, in a bucket of their own."""
import alibabacloud_oss_v2 as oss

from harness import check, equal


def version_cases(client, bucket, refused):
    def set_versioning(status):
        config = oss.VersioningConfiguration(status=status)
        client.put_bucket_versioning(oss.PutBucketVersioningRequest(bucket=bucket, versioning_configuration=config))

    def versioning():
        return client.get_bucket_versioning(oss.GetBucketVersioningRequest(bucket=bucket)).version_status

    def put(key, body):
        return client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body)).version_id

    def get(key, version=None):
        told = client.get_object(oss.GetObjectRequest(bucket=bucket, key=key, version_id=version))
        return told.body.content

    def delete(key, version=None):
        return client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key=key, version_id=version))

    def append(key, position, body):
        return client.append_object(oss.AppendObjectRequest(bucket=bucket, key=key, position=position, body=body))

    def listed(**more):
        return client.list_object_versions(oss.ListObjectVersionsRequest(bucket=bucket, **more))

    def a_bucket_is_told_to_keep_versions_and_tells_it():
        client.put_bucket(oss.PutBucketRequest(bucket=bucket))
        check(not versioning(), versioning())
        for status in ('Suspended', 'Enabled'):
            set_versioning(status)
            equal(versioning(), status)

    def versions_are_read_listed_and_deleted_by_their_ids():
        one, two = put('k', b'first'), put('k', b'second')
        check(one != two, one)
        equal((get('k'), get('k', one)), (b'second', b'first'))
        head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key='k', version_id=one))
        equal(head.version_id, one)
        client.copy_object(oss.CopyObjectRequest(bucket=bucket, key='k', source_key='k', source_version_id=one))
        equal(get('k'), b'first')
        page = listed(max_keys=2)
        equal([v.is_latest for v in page.version], [True, False])
        equal(page.version[1].version_id, two)
        page = listed(key_marker=page.next_key_marker, version_id_marker=page.next_version_id_marker)
        equal([v.version_id for v in page.version], [one])
        delete('k', one)
        refused(404, 'NoSuchVersion', get, 'k', one)

    def a_deleted_object_is_under_a_marker():
        put('gone', b'x')
        deleted = delete('gone')
        check(deleted.delete_marker, 'no marker')
        refused(404, 'NoSuchKey', get, 'gone')
        refused(405, 'MethodNotAllowed', get, 'gone', deleted.version_id)
        equal([m.version_id for m in listed(prefix='gone').delete_marker], [deleted.version_id])
        delete('gone', deleted.version_id)
        equal(get('gone'), b'x')

    def appends_stay_in_their_version_and_begin_anew_over_a_marker():
        first = append('log', 0, b'hello').version_id
        equal(append('log', 5, b' world').version_id, first)
        marker = delete('log').version_id
        anew = append('log', 0, b'anew').version_id
        check(anew != first, anew)
        delete('log', anew)
        delete('log', marker)
        equal(append('log', 11, b'!').version_id, first)
        equal(get('log'), b'hello world!')

    def many_versions_are_deleted_at_once_and_then_the_bucket():
        refused(409, 'BucketNotEmpty', client.delete_bucket, oss.DeleteBucketRequest(bucket=bucket))
        page = listed(max_keys=1000)
        all_of_them = (page.version or []) + (page.delete_marker or [])
        named = [oss.DeleteObject(key=v.key, version_id=v.version_id) for v in all_of_them]
        told = client.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(bucket=bucket, objects=named))
        equal(len(told.deleted_objects), len(named))
        client.delete_bucket(oss.DeleteBucketRequest(bucket=bucket))

    return [a_bucket_is_told_to_keep_versions_and_tells_it, versions_are_read_listed_and_deleted_by_their_ids,
            a_deleted_object_is_under_a_marker, appends_stay_in_their_version_and_begin_anew_over_a_marker,
            many_versions_are_deleted_at_once_and_then_the_bucket]
