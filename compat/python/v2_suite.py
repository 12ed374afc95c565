"""alibabacloud-oss-v2, Alibaba's second Python SDK: signatures V1 and V4, path style, virtual hosts and a CNAME."""
import datetime
import io
import os
import tempfile
import time

import alibabacloud_oss_v2 as oss
from alibabacloud_oss_v2 import exceptions
from alibabacloud_oss_v2.filelike import PathError

from harness import (CNAME_BUCKET, CNAME_HOST, CRC_HELLO, CRC_HELLO_WORLD, DOMAIN, KEY_ID, KEY_SECRET, ODD_KEYS,
                     PORT, REGION, SCHEME, Room, check, equal, fetch)
from callbacks import v2_cases
from v2_configs import config_cases
from v2_lifetimes import lifetime_cases
from v2_versions import version_cases


def run():
    with tempfile.TemporaryDirectory(prefix='ossia-compat-python-') as folder:
        for signature in ('v1', 'v4'):
            for addressing in ('path', 'virtual', 'cname'):
                _combination(signature, addressing, folder)


def _client(signature, addressing, key_id=KEY_ID, secret=KEY_SECRET):
    # No certificate may stand for every name below a top level one.
    own = DOMAIN if SCHEME == 'https' and addressing == 'virtual' else 'localhost'
    host = CNAME_HOST if addressing == 'cname' else own
    return oss.Client(oss.Config(
        region=REGION,
        endpoint=f'{SCHEME}://{host}:{PORT}',
        signature_version=signature,
        credentials_provider=oss.credentials.StaticCredentialsProvider(key_id, secret),
        use_path_style=addressing == 'path',
        use_cname=addressing == 'cname',
        # The least that still works: get_object_to_file makes one attempt fewer than it is told.
        retry_max_attempts=2,
    ))


def _combination(signature, addressing, folder):
    room = Room('alibabacloud-oss-v2', signature, addressing)
    bucket = CNAME_BUCKET if addressing == 'cname' else f'compat-py2-{signature}-{addressing}'
    client = _client(signature, addressing)
    # A custom domain serves one bucket and no service, so that bucket is made and removed by another way in.
    admin = _client(signature, 'path') if addressing == 'cname' else client
    room.run('creates a bucket', lambda: admin.put_bucket(oss.PutBucketRequest(bucket=bucket)))
    room.run_all(_append_cases(client, bucket))
    room.run_all(_append_file_cases(client, bucket))
    room.run_all(_seal_cases(client, bucket))
    room.run_all(_object_cases(client, bucket, folder))
    room.run_all(_list_cases(client, bucket))
    room.run_all(_multipart_cases(client, bucket, folder))
    room.run_all(_signed_cases(client, bucket))
    room.run_all(_error_cases(client, bucket, signature, addressing))
    if addressing != 'cname':
        room.run_all(_bucket_cases(client, bucket))
        room.run_all(config_cases(client, bucket, refused))
        room.run_all(version_cases(client, f'compat-v2-versions-{signature}-{addressing}', refused))
        room.run_all(v2_cases(client, bucket))
        room.run_all(lifetime_cases(client, bucket, refused, f'{signature}-{addressing}'))
    room.run('empties and deletes the bucket', lambda: _empty_and_delete(client, admin, bucket))


def _empty_and_delete(client, admin, bucket):
    for page in client.list_objects_v2_paginator().iter_page(oss.ListObjectsV2Request(bucket=bucket)):
        keys = [oss.DeleteObject(key=entry.key) for entry in page.contents or []]
        if keys:
            client.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(bucket=bucket, objects=keys, quiet=True))
    equal(admin.delete_bucket(oss.DeleteBucketRequest(bucket=bucket)).status_code, 204)


def refused(status, code, call, *args, **kwargs):
    """Expects an error of the service, and gives it back for closer looks."""
    try:
        answer = call(*args, **kwargs)
    except exceptions.OperationError as error:
        service = error.unwrap()
        if not isinstance(service, exceptions.ServiceError) or (service.status_code, service.code) != (status, code):
            raise
        equal(len(service.request_id), 24)
        return service
    raise AssertionError(f'expected {status} {code}, got {answer!r}')


def _append(client, bucket, key, position, body, **headers):
    return client.append_object(oss.AppendObjectRequest(bucket=bucket, key=key, position=position, body=body, **headers))


def _read(client, bucket, key):
    return client.get_object(oss.GetObjectRequest(bucket=bucket, key=key)).body.read()


def _head(client, bucket, key):
    return client.head_object(oss.HeadObjectRequest(bucket=bucket, key=key))


def _append_cases(client, bucket):
    def appends_bytes_text_streams_and_iterators():
        first = _append(client, bucket, 'append.log', 0, b'hello')
        equal((first.status_code, first.next_position, first.hash_crc64), (200, 5, str(CRC_HELLO)))
        equal(first.version_id, None)
        second = _append(client, bucket, 'append.log', first.next_position, ' world')
        equal((second.next_position, second.hash_crc64), (11, str(CRC_HELLO_WORLD)))
        third = _append(client, bucket, 'append.log', second.next_position, io.BytesIO(b'!' * 100_000))
        fourth = _append(client, bucket, 'append.log', third.next_position, iter([b'one ', b'two']))
        equal(fourth.next_position, 100_018)
        equal(_read(client, bucket, 'append.log'), b'hello world' + b'!' * 100_000 + b'one two')

    def an_empty_append_creates_an_empty_appendable():
        answer = _append(client, bucket, 'empty.log', 0, b'')
        equal((answer.next_position, answer.hash_crc64), (0, '0'))
        equal(_head(client, bucket, 'empty.log').object_type, 'Appendable')

    def a_wrong_position_is_refused():
        _append(client, bucket, 'position.log', 0, b'hello')
        for position in (0, 4, 6):
            error = refused(409, 'PositionNotEqualToLength', _append, client, bucket, 'position.log', position, b'x')
            equal(error.message, 'Position is not equal to file length')
            equal(error.ec, '0026-00000016')
            equal(error.headers['x-oss-next-append-position'], '5')
        error = refused(409, 'PositionNotEqualToLength', _append, client, bucket, 'position.log', 1, b'x' * 2_000_000)
        equal(error.headers['x-oss-next-append-position'], '5')
        equal(_append(client, bucket, 'position.log', 5, b'!').next_position, 6)

    def a_normal_object_is_not_appendable():
        client.put_object(oss.PutObjectRequest(bucket=bucket, key='normal.txt', body=b'hello'))
        error = refused(409, 'ObjectNotAppendable', _append, client, bucket, 'normal.txt', 5, b'x')
        equal((error.message, error.ec), ('The object is not appendable.', '0026-00000017'))

    def what_the_first_append_set_is_kept():
        _append(client, bucket, 'meta.log', 0, b'a', metadata={'colour': 'red'}, content_type='text/x-first',
                cache_control='no-cache')
        _append(client, bucket, 'meta.log', 1, b'b', metadata={'colour': 'blue', 'taste': 'sour'},
                content_type='text/x-second', tagging='&'.join(f'k{i}=v' for i in range(15)))
        head = _head(client, bucket, 'meta.log')
        equal(dict(head.metadata), {'colour': 'red'})
        equal((head.content_type, head.cache_control), ('text/x-first', 'no-cache'))

    def head_tells_an_appendable():
        _append(client, bucket, 'head.log', 0, b'hello')
        head = _head(client, bucket, 'head.log')
        equal((head.object_type, head.next_append_position, head.hash_crc64), ('Appendable', 5, str(CRC_HELLO)))
        equal((head.content_length, head.content_md5, head.sealed_time), (5, None, None))
        meta = client.get_object_meta(oss.GetObjectMetaRequest(bucket=bucket, key='head.log'))
        equal(meta.content_length, 5)

    return [appends_bytes_text_streams_and_iterators, an_empty_append_creates_an_empty_appendable,
            a_wrong_position_is_refused, a_normal_object_is_not_appendable, what_the_first_append_set_is_kept,
            head_tells_an_appendable]


def _append_file_cases(client, bucket):
    def append_file_creates_and_resumes():
        create = oss.AppendObjectRequest(metadata={'colour': 'red'}, content_type='text/x-created')
        with client.append_file(bucket, 'file.log', create_parameter=create) as file:
            equal(file.tell(), 0)
            equal(file.write(b'hello'), 5)
            equal(file.write_from(io.BytesIO(b' world')), 6)
            equal(file.tell(), 11)
        with client.append_file(bucket, 'file.log', create_parameter=create) as file:
            equal(file.tell(), 11)
            equal(file.write(b'!'), 1)
        equal(_read(client, bucket, 'file.log'), b'hello world!')
        head = _head(client, bucket, 'file.log')
        equal((dict(head.metadata), head.content_type), ({'colour': 'red'}, 'text/x-created'))
        with client.open_file(bucket, 'file.log') as file:
            file.seek(6)
            equal(file.read(5), b'world')

    def append_file_flushed_without_a_write_is_an_empty_appendable():
        with client.append_file(bucket, 'flushed.log') as file:
            file.flush()
        head = _head(client, bucket, 'flushed.log')
        equal((head.object_type, head.content_length), ('Appendable', 0))

    def append_file_refuses_a_normal_object():
        client.put_object(oss.PutObjectRequest(bucket=bucket, key='file-normal.txt', body=b'hello'))
        try:
            client.append_file(bucket, 'file-normal.txt')
        except PathError as error:
            check('Not a appendable file' in str(error), str(error))
            return
        raise AssertionError('a normal object was opened for appending')

    def append_file_takes_a_lost_answer_for_its_own_write():
        with client.append_file(bucket, 'lost.log') as file:
            equal(file.write(b'12345'), 5)
            # As if the file's own next write had been applied and its answer lost.
            _append(client, bucket, 'lost.log', 5, b'67890')
            equal(file.write(b'67890'), 5)
            equal(file.tell(), 10)
            _append(client, bucket, 'lost.log', 10, b'more than one write')
            try:
                file.write(b'x')
            except PathError as error:
                check('PositionNotEqualToLength' in str(error), str(error))
                return
            raise AssertionError('a foreign append went unnoticed')

    return [append_file_creates_and_resumes, append_file_flushed_without_a_write_is_an_empty_appendable,
            append_file_refuses_a_normal_object, append_file_takes_a_lost_answer_for_its_own_write]


def _seal_cases(client, bucket):
    def seal(key, position):
        return client.seal_append_object(oss.SealAppendObjectRequest(bucket=bucket, key=key, position=position))

    def a_sealed_object_takes_no_append_and_keeps_its_time():
        _append(client, bucket, 'sealed.log', 0, b'hello')
        refused(409, 'PositionNotEqualToLength', seal, 'sealed.log', 4)
        first = seal('sealed.log', 5).sealed_time
        sealed_at = datetime.datetime.strptime(first, '%a, %d %b %Y %H:%M:%S GMT')
        for position in (0, 5):
            refused(400, 'AppendSealedObjectNotAllowed', _append, client, bucket, 'sealed.log', position, b'x')
        # Sealed times are whole seconds: only a later second can show that the first one was kept.
        deadline = time.monotonic() + 10
        while datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) < sealed_at + datetime.timedelta(seconds=1):
            check(time.monotonic() < deadline, f'sealed in the future: {first}')
            time.sleep(0.05)
        equal(seal('sealed.log', 5).sealed_time, first)
        refused(409, 'PositionNotEqualToLength', seal, 'sealed.log', 4)
        head = _head(client, bucket, 'sealed.log')
        equal((head.sealed_time, head.object_type, head.content_length), (first, 'Appendable', 5))
        equal(_read(client, bucket, 'sealed.log'), b'hello')

    def only_an_existing_appendable_is_sealed():
        refused(404, 'NoSuchKey', seal, 'seal-absent.log', 0)
        client.put_object(oss.PutObjectRequest(bucket=bucket, key='seal-normal.txt', body=b'hello'))
        refused(409, 'ObjectNotAppendable', seal, 'seal-normal.txt', 5)

    def a_sealed_object_is_deleted_and_begun_anew():
        _append(client, bucket, 'seal-again.log', 0, b'hello')
        seal('seal-again.log', 5)
        client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key='seal-again.log'))
        equal(_append(client, bucket, 'seal-again.log', 0, b'abc').next_position, 3)
        equal(_head(client, bucket, 'seal-again.log').sealed_time, None)

    return [a_sealed_object_takes_no_append_and_keeps_its_time, only_an_existing_appendable_is_sealed,
            a_sealed_object_is_deleted_and_begun_anew]


def _multipart_cases(client, bucket, folder):
    part_size = 102_400
    whole = bytes(range(256)) * 1_000

    def the_uploader_sends_parts_and_resumes():
        path = os.path.join(folder, 'uploader.bin')
        with open(path, 'wb') as file:
            file.write(whole)
        uploader = client.uploader(part_size=part_size, parallel_num=2, enable_checkpoint=True, checkpoint_dir=folder)
        done = uploader.upload_file(oss.PutObjectRequest(bucket=bucket, key='uploader.bin'), path)
        check(done.etag.strip('"').endswith('-3'), done.etag)
        head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key='uploader.bin'))
        equal((head.object_type, head.content_length), ('Multipart', len(whole)))
        equal(client.get_object(oss.GetObjectRequest(bucket=bucket, key='uploader.bin')).body.read(), whole)

    def parts_and_uploads_are_listed_and_aborted():
        key = 'parts/a b+c.bin'
        started = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket=bucket, key=key))
        upload = started.upload_id
        for number in (2, 1):
            client.upload_part(oss.UploadPartRequest(bucket=bucket, key=key, upload_id=upload, part_number=number,
                                                     body=b'hello'))
        listed = client.list_parts(oss.ListPartsRequest(bucket=bucket, key=key, upload_id=upload))
        equal([(part.part_number, part.hash_crc64) for part in listed.parts], [(1, str(CRC_HELLO)), (2, str(CRC_HELLO))])
        pages = client.list_multipart_uploads_paginator().iter_page(
            oss.ListMultipartUploadsRequest(bucket=bucket, prefix='parts/', max_uploads=1))
        equal([entry.key for page in pages for entry in page.uploads or []], [key])
        abort = oss.AbortMultipartUploadRequest(bucket=bucket, key=key, upload_id=upload)
        equal(client.abort_multipart_upload(abort).status_code, 204)
        refused(404, 'NoSuchUpload', client.abort_multipart_upload, abort)

    return the_uploader_sends_parts_and_resumes, parts_and_uploads_are_listed_and_aborted


def _object_cases(client, bucket, folder):
    def put(key, body, **headers):
        return client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body, **headers))

    def puts_gets_and_files():
        answer = put('put.txt', b'hello', metadata={'colour': 'red'})
        equal((answer.etag, answer.hash_crc64), ('"5D41402ABC4B2A76B9719D911017C592"', str(CRC_HELLO)))
        put('put-chunked.txt', iter([b'hello', b' world']))
        path = os.path.join(folder, 'file.bin')
        with open(path, 'wb') as file:
            file.write(b'0123456789' * 50_000)
        client.put_object_from_file(oss.PutObjectRequest(bucket=bucket, key='put-file.bin'), path)
        back = os.path.join(folder, 'back.bin')
        client.get_object_to_file(oss.GetObjectRequest(bucket=bucket, key='put-file.bin'), back)
        with open(path, 'rb') as left, open(back, 'rb') as right:
            equal(left.read() == right.read(), True)
        got = client.get_object(oss.GetObjectRequest(bucket=bucket, key='put.txt', range_header='bytes=1-3'))
        equal((got.status_code, got.body.read(), got.content_range), (206, b'ell', 'bytes 1-3/5'))
        head = _head(client, bucket, 'put.txt')
        equal((head.object_type, dict(head.metadata), head.storage_class), ('Normal', {'colour': 'red'}, 'Standard'))

    def conditions_are_kept():
        etag = put('condition.txt', b'hello').etag
        refused(412, 'PreconditionFailed', client.get_object,
                oss.GetObjectRequest(bucket=bucket, key='condition.txt', if_match='"wrong"'))
        equal(client.get_object(oss.GetObjectRequest(bucket=bucket, key='condition.txt', if_match=etag)).body.read(), b'hello')
        try:
            client.head_object(oss.HeadObjectRequest(bucket=bucket, key='condition.txt', if_none_match=etag))
        except exceptions.OperationError as error:
            equal(error.unwrap().status_code, 304)
        else:
            raise AssertionError('an unchanged object was sent again')
        put('forbid.txt', b'first')
        refused(409, 'FileAlreadyExists', put, 'forbid.txt', b'second', forbid_overwrite=True)

    def normal_objects_are_copied_and_appendables_are_not():
        def copy(source, key):
            return client.copy_object(oss.CopyObjectRequest(bucket=bucket, key=key, source_bucket=bucket, source_key=source))

        put('copy source+ü.txt', b'hello')
        copied = copy('copy source+ü.txt', 'copied.txt')
        equal(copied.etag, '"5D41402ABC4B2A76B9719D911017C592"')
        equal(_read(client, bucket, 'copied.txt'), b'hello')
        _append(client, bucket, 'copy-source.log', 0, b'hello')
        refused(400, 'OperationNotSupported', copy, 'copy-source.log', 'no.log')
        equal(client.is_object_exist(bucket, 'no.log'), False)

    def existence_is_told():
        put('exists.txt', b'')
        equal([client.is_object_exist(bucket, key) for key in ('exists.txt', 'absent.txt')], [True, False])

    def keys_of_every_kind_survive():
        for key in ODD_KEYS:
            put(f'odd/{key}', key.encode())
            equal(_read(client, bucket, f'odd/{key}'), key.encode())
            _append(client, bucket, f'odd-log/{key}', 0, b'x')
            equal(_append(client, bucket, f'odd-log/{key}', 1, b'y').next_position, 2)
        page = client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, prefix='odd/'))
        equal(sorted(entry.key for entry in page.contents), sorted(f'odd/{key}' for key in ODD_KEYS))
        gone = client.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(
            bucket=bucket, objects=[oss.DeleteObject(key=f'odd/{key}') for key in ODD_KEYS]))
        equal(sorted(entry.key for entry in gone.deleted_objects), sorted(f'odd/{key}' for key in ODD_KEYS))
        for key in ODD_KEYS:
            equal(client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key=f'odd-log/{key}')).status_code, 204)
            equal(client.is_object_exist(bucket, f'odd-log/{key}'), False)

    return [puts_gets_and_files, conditions_are_kept, normal_objects_are_copied_and_appendables_are_not,
            existence_is_told, keys_of_every_kind_survive]


def _list_cases(client, bucket):
    keys = ['list/a.txt', 'list/b/1.txt', 'list/b/2.txt', 'list/c d.txt', 'list/z.log']

    def paginators_walk_all_pages():
        for key in keys:
            if key.endswith('.log'):
                _append(client, bucket, key, 0, b'12345')
            else:
                client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=b'12345'))
        pages = list(client.list_objects_v2_paginator(limit=2).iter_page(
            oss.ListObjectsV2Request(bucket=bucket, prefix='list/')))
        equal([len(page.contents) for page in pages], [2, 2, 1])
        entries = [entry for page in pages for entry in page.contents]
        equal([entry.key for entry in entries], keys)
        equal([entry.object_type for entry in entries], ['Normal'] * 4 + ['Appendable'])
        equal({(entry.size, entry.storage_class) for entry in entries}, {(5, 'Standard')})
        first = list(client.list_objects_paginator(limit=2).iter_page(
            oss.ListObjectsRequest(bucket=bucket, prefix='list/')))
        equal([entry.key for page in first for entry in page.contents], keys)
        check(all(entry.owner.id for page in first for entry in page.contents), 'no owner')

    def lists_fold_start_after_and_name_owners():
        page = client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, prefix='list/', delimiter='/'))
        equal([prefix.prefix for prefix in page.common_prefixes], ['list/b/'])
        equal((page.key_count, page.is_truncated), (4, False))
        page = client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, prefix='list/', start_after='list/b/2.txt',
                                                               fetch_owner=True))
        equal([entry.key for entry in page.contents], keys[3:])
        check(all(entry.owner.id for entry in page.contents), 'no owner')
        page = client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, prefix='no-such-prefix/'))
        equal((page.contents, page.key_count), (None, 0))

    return [paginators_walk_all_pages, lists_fold_start_after_and_name_owners]


def _signed_cases(client, bucket):
    def presigned_urls_read_and_write():
        put = client.presign(oss.PutObjectRequest(bucket=bucket, key='signed ü+.txt', content_type='text/plain',
                                                  metadata={'colour': 'red'}), expires=datetime.timedelta(seconds=60))
        status, _, body = fetch(put.url, put.method, dict(put.signed_headers), b'hello')
        equal((status, body), (200, b''))
        get = client.presign(oss.GetObjectRequest(bucket=bucket, key='signed ü+.txt', response_content_language='de'))
        status, headers, body = fetch(get.url, get.method)
        equal((status, body, headers.get('content-language')), (200, b'hello', 'de'))
        equal(headers['x-oss-meta-colour'], 'red')
        status, _, body = fetch(get.url.replace('signed', 'Signed', 1))
        check(status == 403 and b'<Code>SignatureDoesNotMatch</Code>' in body, body)
        head = client.presign(oss.HeadObjectRequest(bucket=bucket, key='signed ü+.txt'))
        equal(fetch(head.url, head.method)[0], 200)

    return [presigned_urls_read_and_write]


def _error_cases(client, bucket, signature, addressing):
    def missing_keys_are_NoSuchKey():
        error = refused(404, 'NoSuchKey', client.get_object, oss.GetObjectRequest(bucket=bucket, key='absent.txt'))
        equal((error.message, error.ec), ('The specified key does not exist.', '0026-00000001'))
        refused(404, 'NoSuchKey', _head, client, bucket, 'absent.txt')

    def wrong_secrets_and_unknown_keys_are_refused():
        forged = _client(signature, addressing, secret='not-the-secret')
        refused(403, 'SignatureDoesNotMatch', _append, forged, bucket, 'x', 0, b'x')
        unknown = _client(signature, addressing, key_id='NoSuchKeyId')
        refused(403, 'InvalidAccessKeyId', _append, unknown, bucket, 'x', 0, b'x')

    def missing_buckets_are_NoSuchBucket():
        if addressing == 'cname':
            return  # the domain names the bucket, so none can be missing
        absent = f'{bucket}-absent'
        error = refused(404, 'NoSuchBucket', _append, client, absent, 'x', 0, b'x')
        equal((error.message, error.ec), ('The specified bucket does not exist.', '0015-00000101'))
        refused(404, 'NoSuchBucket', _head, client, absent, 'x')
        refused(404, 'NoSuchBucket', client.list_objects_v2, oss.ListObjectsV2Request(bucket=absent))
        equal([client.is_bucket_exist(bucket), client.is_bucket_exist(absent)], [True, False])
        # Existence probes rely on this order: the bucket is missed before the key id.
        equal(_client(signature, addressing, key_id='NoSuchKeyId').is_bucket_exist(absent), False)

    return [missing_keys_are_NoSuchKey, wrong_secrets_and_unknown_keys_are_refused, missing_buckets_are_NoSuchBucket]


def _bucket_cases(client, bucket):
    def buckets_are_described_and_listed():
        info = client.get_bucket_info(oss.GetBucketInfoRequest(bucket=bucket)).bucket_info
        equal((info.name, info.location, info.acl, info.storage_class),
              (bucket, f'oss-{REGION}', 'private', 'Standard'))
        equal(info.extranet_endpoint, f'{DOMAIN}:{PORT}')
        names = [bucket, f'{bucket}-a', f'{bucket}-b']
        for name in names[1:]:
            client.put_bucket(oss.PutBucketRequest(bucket=name))
        pages = client.list_buckets_paginator(limit=2).iter_page(oss.ListBucketsRequest(prefix=bucket))
        equal([entry.name for page in pages for entry in page.buckets], names)
        for name in names[1:]:
            client.delete_bucket(oss.DeleteBucketRequest(bucket=name))

    def a_bucket_that_holds_an_object_is_not_deleted():
        _append(client, bucket, 'keeps-the-bucket.log', 0, b'x')
        refused(409, 'BucketNotEmpty', client.delete_bucket, oss.DeleteBucketRequest(bucket=bucket))

    return [buckets_are_described_and_listed, a_bucket_that_holds_an_object_is_not_deleted]
