"""oss2, Alibaba's first Python SDK: signatures V1, V2 and V4, path style, virtual hosts and a CNAME."""
import io
import os
import tempfile
import threading

import oss2
from oss2 import exceptions
from oss2.headers import OSS_OBJECT_TAGGING

from harness import (CNAME_BUCKET, CNAME_HOST, CRC_HELLO, CRC_HELLO_WORLD, DOMAIN, KEY_ID, KEY_SECRET, ODD_KEYS,
                     PORT, REGION, SCHEME, Room, check, equal, fetch)
from callbacks import oss2_cases
from oss2_configs import config_cases
from oss2_versions import version_cases
from oss2_lifetimes import lifetime_cases

AUTHS = {'v1': oss2.Auth, 'v2': oss2.AuthV2, 'v4': oss2.AuthV4}


def run():
    with tempfile.TemporaryDirectory(prefix='ossia-compat-python-') as folder:
        for signature in AUTHS:
            for addressing in ('path', 'virtual', 'cname'):
                _combination(signature, addressing, folder)


def _bucket(signature, addressing, name, key_id=KEY_ID, secret=KEY_SECRET):
    # oss2 takes `localhost` and addresses for path style by itself, so virtual hosts need another name.
    endpoint = {
        'path': f'{SCHEME}://127.0.0.1:{PORT}',
        'virtual': f'{SCHEME}://{DOMAIN}:{PORT}',
        'cname': f'{SCHEME}://{CNAME_HOST}:{PORT}',
    }[addressing]
    return oss2.Bucket(AUTHS[signature](key_id, secret), endpoint, name, region=REGION,
                       is_cname=addressing == 'cname', is_path_style=addressing == 'path')


def _service(signature, addressing):
    endpoint = f'{SCHEME}://{DOMAIN}:{PORT}' if addressing == 'virtual' else f'{SCHEME}://127.0.0.1:{PORT}'
    return oss2.Service(AUTHS[signature](KEY_ID, KEY_SECRET), endpoint, region=REGION,
                        is_path_style=addressing == 'path')


def _combination(signature, addressing, folder):
    room = Room('oss2', signature, addressing)
    name = CNAME_BUCKET if addressing == 'cname' else f'compat-oss2-{signature}-{addressing}'
    # A custom domain serves one bucket and no service, so that bucket is made and removed by another way in.
    admin = _bucket(signature, 'path' if addressing == 'cname' else addressing, name)
    room.run('creates a bucket', lambda: admin.create_bucket())
    bucket = _bucket(signature, addressing, name)
    room.run_all(_append_cases(bucket, folder))
    room.run_all(_object_cases(bucket, folder))
    room.run_all(_list_cases(bucket))
    room.run_all(_multipart_cases(bucket, folder))
    room.run_all(_signed_cases(bucket, signature))
    room.run_all(_error_cases(bucket, signature, addressing))
    if addressing != 'cname':
        service = _service(signature, addressing)
        room.run_all(_bucket_cases(bucket, service))
        room.run_all(config_cases(bucket, service, refused))
        name = f'compat-oss2-versions-{signature}-{addressing}'
        room.run_all(version_cases(_bucket(signature, addressing, name), refused))
        room.run_all(oss2_cases(bucket))
        room.run_all(lifetime_cases(bucket, refused, refused_code))
    room.run('empties and deletes the bucket', lambda: _empty_and_delete(bucket, admin))


def _empty_and_delete(bucket, admin):
    bucket.batch_delete_objects([entry.key for entry in bucket.list_objects_v2(max_keys=1000).object_list])
    admin.delete_bucket()
    refused(exceptions.NoSuchBucket, admin.get_bucket_info)


def refused(kind, call, *args, **kwargs):
    """Expects the SDK's own exception for an error code, and gives it back for closer looks."""
    try:
        answer = call(*args, **kwargs)
    except exceptions.OssError as error:
        if not isinstance(error, kind):
            raise
        equal(len(error.request_id), 24)
        return error
    raise AssertionError(f'expected {kind.__name__}, got {answer!r}')


def refused_code(status, code, call, *args, **kwargs):
    """The same for codes that oss2 has no class for."""
    error = refused(exceptions.ServerError, call, *args, **kwargs)
    equal((error.status, error.code), (status, code))
    return error


def _append_cases(bucket, folder):
    def appends_bytes_text_and_files_with_init_crc():
        first = bucket.append_object('crc.log', 0, b'hello', init_crc=0)
        equal((first.next_position, first.crc), (5, CRC_HELLO))
        second = bucket.append_object('crc.log', first.next_position, ' world', init_crc=first.crc)
        equal((second.next_position, second.crc), (11, CRC_HELLO_WORLD))
        path = os.path.join(folder, 'part.txt')
        with open(path, 'wb') as file:
            file.write(b'!' * 100_000)
        with open(path, 'rb') as file:
            third = bucket.append_object('crc.log', second.next_position, file, init_crc=second.crc)
        equal(third.next_position, 100_011)
        equal(bucket.get_object('crc.log').read(), b'hello world' + b'!' * 100_000)

    def appends_iterators_and_unsized_streams_in_chunked_transfer():
        first = bucket.append_object('chunked.log', 0, iter([b'one ', b'two ', b'three']), init_crc=0)
        equal(first.next_position, 13)

        class Unsized:
            """A reader without a length: nothing tells requests how much will come."""

            def __init__(self):
                self._source = io.BytesIO(b'+' * 300_000)

            def read(self, size=-1):
                return self._source.read(size)

        second = bucket.append_object('chunked.log', first.next_position, Unsized(), init_crc=first.crc)
        equal(second.next_position, 300_013)
        third = bucket.append_object('chunked.log', second.next_position, (b'%d' % i for i in range(10)),
                                     init_crc=second.crc)
        equal(bucket.get_object('chunked.log').read(), b'one two three' + b'+' * 300_000 + b'0123456789')
        equal(third.next_position, 300_023)

    def the_sdk_compares_the_running_crc_with_the_servers():
        bucket.append_object('crc-wrong.log', 0, b'hello', init_crc=0)
        try:
            bucket.append_object('crc-wrong.log', 5, b' world', init_crc=12345)
        except exceptions.InconsistentError:
            return
        raise AssertionError('a wrong init_crc went unnoticed')

    def an_empty_append_creates_and_then_changes_nothing():
        first = bucket.append_object('empty.log', 0, b'', init_crc=0)
        equal((first.next_position, first.crc), (0, 0))
        second = bucket.append_object('empty.log', 0, b'abc', init_crc=0)
        again = bucket.append_object('empty.log', 3, b'', init_crc=second.crc)
        equal((again.next_position, again.crc), (3, second.crc))

    def a_wrong_position_is_PositionNotEqualToLength_with_next_position():
        bucket.append_object('position.log', 0, b'hello')
        for position in (0, 4, 6):
            error = refused(exceptions.PositionNotEqualToLength, bucket.append_object, 'position.log', position, b'x')
            equal(error.next_position, 5)
            equal(error.message, 'Position is not equal to file length')
            equal(error.ec, '0026-00000016')
        absent = refused(exceptions.PositionNotEqualToLength, bucket.append_object, 'absent.log', 5, b'x')
        equal(absent.next_position, 0)
        big = refused(exceptions.PositionNotEqualToLength, bucket.append_object, 'position.log', 1, b'x' * 2_000_000)
        equal(big.next_position, 5)
        chunked = refused(exceptions.PositionNotEqualToLength, bucket.append_object, 'position.log', 1,
                          iter([b'x' * 65536] * 16))
        equal(chunked.next_position, 5)
        equal(bucket.append_object('position.log', 5, b'!').next_position, 6)

    def a_normal_object_is_ObjectNotAppendable():
        bucket.put_object('normal.txt', b'hello')
        for position in (0, 5):
            error = refused(exceptions.ObjectNotAppendable, bucket.append_object, 'normal.txt', position, b'x')
            equal(error.ec, '0026-00000017')
        equal(bucket.get_object('normal.txt').read(), b'hello')

    def tags_count_on_the_first_append_only():
        def tags(count):
            return {OSS_OBJECT_TAGGING: '&'.join(f'key{i}=value{i}' for i in range(count))}

        error = refused(exceptions.ServerError, bucket.append_object, 'tags.log', 0, b'x', headers=tags(11))
        equal(error.status, 400)
        check(not bucket.object_exists('tags.log'), 'a refused first append left an object')
        bucket.append_object('tags.log', 0, b'x', headers=tags(10))
        equal(bucket.append_object('tags.log', 1, b'y', headers=tags(15)).next_position, 2)

    def what_the_first_append_set_is_kept():
        bucket.append_object('meta.log', 0, b'a', headers={'x-oss-meta-colour': 'red', 'Content-Type': 'text/x-first'})
        bucket.append_object('meta.log', 1, b'b', headers={'x-oss-meta-colour': 'blue', 'x-oss-meta-taste': 'sour',
                                                           'Content-Type': 'text/x-second'})
        head = bucket.head_object('meta.log')
        equal(head.headers['x-oss-meta-colour'], 'red')
        check('x-oss-meta-taste' not in head.headers, 'a later append added metadata')
        equal(head.content_type, 'text/x-first')

    def a_content_md5_is_compared():
        md5 = oss2.utils.content_md5(b'hello')
        bucket.append_object('md5.log', 0, b'hello', headers={'Content-MD5': md5})
        refused_code(400, 'InvalidDigest', bucket.append_object, 'md5.log', 5, b'other', headers={'Content-MD5': md5})
        equal(bucket.head_object('md5.log').content_length, 5)

    def head_tells_an_appendable():
        bucket.append_object('head.log', 0, b'hello')
        head = bucket.head_object('head.log')
        equal(head.object_type, 'Appendable')
        equal(head.headers['x-oss-next-append-position'], '5')
        equal(head.headers['x-oss-hash-crc64ecma'], str(CRC_HELLO))
        meta = bucket.get_object_meta('head.log')
        equal(meta.content_length, 5)

    def ten_appends_racing_at_one_position_have_one_winner():
        bucket.append_object('race.log', 0, b'hello')
        outcomes = []

        def append(data):
            try:
                outcomes.append(bucket.append_object('race.log', 5, data).next_position)
            except exceptions.PositionNotEqualToLength as error:
                outcomes.append((error.code, error.next_position))

        threads = [threading.Thread(target=append, args=(b' %d' % i,)) for i in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(outcomes.count(7), 1)
        equal(outcomes.count(('PositionNotEqualToLength', 7)), 9)

    return [appends_bytes_text_and_files_with_init_crc, appends_iterators_and_unsized_streams_in_chunked_transfer,
            the_sdk_compares_the_running_crc_with_the_servers, an_empty_append_creates_and_then_changes_nothing,
            a_wrong_position_is_PositionNotEqualToLength_with_next_position, a_normal_object_is_ObjectNotAppendable,
            tags_count_on_the_first_append_only, what_the_first_append_set_is_kept, a_content_md5_is_compared,
            head_tells_an_appendable, ten_appends_racing_at_one_position_have_one_winner]


def _multipart_cases(bucket, folder):
    part_size = 102_400
    whole = bytes(range(256)) * 1_000  # 256,000 bytes: two full parts and a shorter one

    def a_resumable_upload_makes_a_multipart_object():
        path = os.path.join(folder, 'resumable.bin')
        with open(path, 'wb') as file:
            file.write(whole)
        store = oss2.ResumableStore(root=folder)
        done = oss2.resumable_upload(bucket, 'resumable.bin', path, store=store, multipart_threshold=part_size,
                                     part_size=part_size, num_threads=2)
        check(done.etag.endswith('-3'), done.etag)
        got = bucket.get_object('resumable.bin')
        equal(got.read(), whole)
        equal(got.client_crc, got.server_crc)
        equal(bucket.head_object('resumable.bin').object_type, 'Multipart')

    def parts_are_listed_replaced_and_completed():
        key = 'parts/a b+c.bin'
        started = bucket.init_multipart_upload(key, headers={'x-oss-meta-colour': 'red'})
        parts = []
        for number, part in enumerate((whole[:part_size], b'wrong', b'end'), 1):
            sent = bucket.upload_part(key, started.upload_id, number, part)
            parts.append(oss2.models.PartInfo(number, sent.etag, size=len(part), part_crc=sent.crc))
        parts[1] = oss2.models.PartInfo(2, bucket.upload_part_copy(
            bucket.bucket_name, 'resumable.bin', (0, part_size - 1), key, started.upload_id, 2).etag)
        listed = bucket.list_parts(key, started.upload_id, max_parts=2)
        equal([(part.part_number, part.size) for part in listed.parts], [(1, part_size), (2, part_size)])
        equal((listed.is_truncated, listed.next_marker), (True, '2'))
        equal([upload.key for upload in oss2.MultipartUploadIterator(bucket, prefix='parts/')], [key])
        done = bucket.complete_multipart_upload(key, started.upload_id, parts[::-1])
        check(done.etag.endswith('-3'), done.etag)
        equal(bucket.get_object(key).read(), whole[:part_size] * 2 + b'end')
        equal(bucket.head_object(key).headers['x-oss-meta-colour'], 'red')
        refused(exceptions.NoSuchUpload, bucket.list_parts, key, started.upload_id)

    def complete_all_takes_every_part():
        started = bucket.init_multipart_upload('all.bin')
        bucket.upload_part('all.bin', started.upload_id, 7, b'hello')
        done = bucket.complete_multipart_upload('all.bin', started.upload_id, None,
                                                headers={'x-oss-complete-all': 'yes'})
        equal(done.crc, CRC_HELLO)

    def wrong_parts_are_refused_and_an_abort_is_told_once():
        started = bucket.init_multipart_upload('abort.bin')
        sent = bucket.upload_part('abort.bin', started.upload_id, 1, b'hello')
        part = oss2.models.PartInfo
        two = bucket.upload_part('abort.bin', started.upload_id, 2, b'world')
        for code, parts in (('InvalidPart', [part(1, two.etag)]), ('InvalidPart', [part(3, sent.etag)]),
                            ('EntityTooSmall', [part(1, sent.etag), part(2, two.etag)])):
            refused_code(400, code, bucket.complete_multipart_upload, 'abort.bin', started.upload_id, parts)
        bucket.abort_multipart_upload('abort.bin', started.upload_id)
        refused(exceptions.NoSuchUpload, bucket.abort_multipart_upload, 'abort.bin', started.upload_id)
        equal(list(oss2.MultipartUploadIterator(bucket)), [])

    return (a_resumable_upload_makes_a_multipart_object, parts_are_listed_replaced_and_completed,
            complete_all_takes_every_part, wrong_parts_are_refused_and_an_abort_is_told_once)


def _object_cases(bucket, folder):
    def puts_and_gets_with_the_crc_of_both_sides():
        put = bucket.put_object('put.txt', b'hello')
        equal((put.etag, put.crc), ('5D41402ABC4B2A76B9719D911017C592', CRC_HELLO))
        got = bucket.get_object('put.txt')
        equal(got.read(), b'hello')
        equal((got.client_crc, got.server_crc), (CRC_HELLO, CRC_HELLO))
        bucket.put_object('put-iterator.txt', iter([b'hello', b' world']))
        bucket.append_object('get.log', 0, b'hello')
        bucket.append_object('get.log', 5, b' world')
        path = os.path.join(folder, 'got.log')
        bucket.get_object_to_file('get.log', path)
        with open(path, 'rb') as file:
            equal(file.read(), b'hello world')
        bucket.put_object_from_file('from-file.log', path)
        equal(bucket.get_object('from-file.log').read(), bucket.get_object('put-iterator.txt').read())

    def progress_is_told_while_bodies_move():
        seen = []
        bucket.put_object('progress.txt', b'x' * 100_000, progress_callback=lambda done, total: seen.append((done, total)))
        equal(seen[-1], (100_000, 100_000))
        seen.clear()
        bucket.append_object('progress.log', 0, b'x' * 100_000,
                             progress_callback=lambda done, total: seen.append((done, total)))
        equal(seen[-1], (100_000, 100_000))

    def ranges_give_their_part():
        bucket.append_object('range.log', 0, b'01234')
        bucket.append_object('range.log', 5, b'56789')
        middle = bucket.get_object('range.log', byte_range=(3, 6))
        equal((middle.status, middle.read()), (206, b'3456'))
        equal(bucket.get_object('range.log', byte_range=(7, None)).read(), b'789')
        equal(bucket.get_object('range.log', byte_range=(None, 2)).read(), b'89')
        whole = bucket.get_object('range.log', byte_range=(20, 30))
        equal((whole.status, whole.read()), (200, b'0123456789'))
        strict = {'x-oss-range-behavior': 'standard'}
        refused_code(416, 'InvalidRange', bucket.get_object, 'range.log', byte_range=(20, 30), headers=strict)

    def conditions_are_kept():
        etag = bucket.put_object('condition.txt', b'hello').etag
        refused(exceptions.PreconditionFailed, bucket.get_object, 'condition.txt', headers={'If-Match': 'wrong'})
        refused(exceptions.NotModified, bucket.get_object, 'condition.txt', headers={'If-None-Match': f'"{etag}"'})
        equal(bucket.get_object('condition.txt', headers={'If-Match': f'"{etag}"'}).read(), b'hello')

    def responses_are_overridden_on_request():
        bucket.put_object('override.txt', b'x', headers={'Content-Type': 'text/plain'})
        got = bucket.get_object('override.txt', params={'response-content-type': 'text/x-other',
                                                        'response-cache-control': 'no-store'})
        equal((got.headers['content-type'], got.headers['cache-control']), ('text/x-other', 'no-store'))

    def normal_objects_are_copied_and_appendables_are_not():
        bucket.put_object('copy source+ü.txt', b'hello', headers={'x-oss-meta-colour': 'red'})
        copied = bucket.copy_object(bucket.bucket_name, 'copy source+ü.txt', 'copied.txt')
        equal(copied.etag, '5D41402ABC4B2A76B9719D911017C592')
        equal(bucket.head_object('copied.txt').headers['x-oss-meta-colour'], 'red')
        bucket.append_object('copy-source.log', 0, b'hello')
        refused_code(400, 'OperationNotSupported', bucket.copy_object, bucket.bucket_name, 'copy-source.log', 'no.log')
        refused_code(400, 'OperationNotSupported', bucket.update_object_meta, 'copy-source.log', {'x-oss-meta-a': 'b'})
        check(not bucket.object_exists('no.log'), 'a refused copy left an object')
        bucket.update_object_meta('copied.txt', {'x-oss-meta-taste': 'sour'})
        head = bucket.head_object('copied.txt')
        equal(head.headers['x-oss-meta-taste'], 'sour')
        check('x-oss-meta-colour' not in head.headers, 'metadata was kept on replacement')

    def existence_is_told():
        bucket.put_object('exists.txt', b'')
        equal([bucket.object_exists('exists.txt'), bucket.object_exists('absent.txt')], [True, False])

    def keys_of_every_kind_survive():
        for key in ODD_KEYS:
            bucket.put_object(f'odd/{key}', key.encode())
            equal(bucket.get_object(f'odd/{key}').read(), key.encode())
            bucket.append_object(f'odd-log/{key}', 0, b'x')
            equal(bucket.append_object(f'odd-log/{key}', 1, b'y').next_position, 2)
            bucket.copy_object(bucket.bucket_name, f'odd/{key}', f'odd-copy/{key}')
            equal(bucket.head_object(f'odd-copy/{key}').content_length, len(key.encode()))
            equal(bucket.delete_object(f'odd-copy/{key}').status, 204)
            check(not bucket.object_exists(f'odd-copy/{key}'), f'{key} is still there')
        listed = [entry.key for entry in oss2.ObjectIterator(bucket, prefix='odd/')]
        equal(sorted(listed), sorted(f'odd/{key}' for key in ODD_KEYS))
        gone = bucket.batch_delete_objects([f'odd/{key}' for key in ODD_KEYS])
        equal(sorted(gone.deleted_keys), sorted(f'odd/{key}' for key in ODD_KEYS))
        equal(list(oss2.ObjectIterator(bucket, prefix='odd/')), [])

    return [puts_and_gets_with_the_crc_of_both_sides, progress_is_told_while_bodies_move, ranges_give_their_part,
            conditions_are_kept, responses_are_overridden_on_request,
            normal_objects_are_copied_and_appendables_are_not, existence_is_told, keys_of_every_kind_survive]


def _list_cases(bucket):
    keys = ['list/a.txt', 'list/b/1.txt', 'list/b/2.txt', 'list/c d.txt', 'list/line\nbreak.txt', 'list/z.log']

    def object_iterators_walk_all_pages():
        for key in keys:
            if key.endswith('.log'):
                bucket.append_object(key, 0, b'12345')
            else:
                bucket.put_object(key, b'12345')
        for entries in (list(oss2.ObjectIterator(bucket, prefix='list/', max_keys=2)),
                        list(oss2.ObjectIteratorV2(bucket, prefix='list/', max_keys=2))):
            equal([entry.key for entry in entries], keys)
            equal({entry.size for entry in entries}, {5})
            equal([entry.type for entry in entries], ['Normal'] * 5 + ['Appendable'])
            check(all(entry.last_modified > 1_600_000_000 for entry in entries), 'no time of last change')

    def object_iterators_fold_at_a_delimiter():
        for walk in (oss2.ObjectIterator, oss2.ObjectIteratorV2):
            entries = [(entry.key, entry.is_prefix()) for entry in walk(bucket, prefix='list/', delimiter='/', max_keys=1)]
            equal(entries, [('list/a.txt', False), ('list/b/', True), ('list/c d.txt', False),
                            ('list/line\nbreak.txt', False), ('list/z.log', False)])

    def a_v2_list_starts_after_a_key_and_names_owners():
        page = bucket.list_objects_v2(prefix='list/', start_after='list/c d.txt', fetch_owner=True)
        equal([entry.key for entry in page.object_list], keys[4:])
        check(all(entry.owner.id for entry in page.object_list), 'no owner')
        equal(page.is_truncated, False)

    def a_batch_delete_takes_control_characters_and_absent_keys():
        gone = bucket.batch_delete_objects(keys + ['list/absent'])
        equal(sorted(gone.deleted_keys), sorted(keys + ['list/absent']))
        equal(list(oss2.ObjectIterator(bucket, prefix='list/')), [])

    return [object_iterators_walk_all_pages, object_iterators_fold_at_a_delimiter,
            a_v2_list_starts_after_a_key_and_names_owners, a_batch_delete_takes_control_characters_and_absent_keys]


def _signed_cases(bucket, signature):
    def signed_urls_read_write_and_append():
        headers = {'Content-Type': 'text/plain', 'x-oss-meta-colour': 'red'}
        for slash_safe in (False, True):
            put = bucket.sign_url('PUT', 'signed/ü +.txt', 60, headers=dict(headers), slash_safe=slash_safe)
            status, _, body = fetch(put, 'PUT', headers, b'hello')
            equal((status, body), (200, b''))
            status, got, body = fetch(bucket.sign_url('GET', 'signed/ü +.txt', 60, slash_safe=slash_safe,
                                                      params={'response-content-language': 'de'}))
            equal((status, body, got.get('content-language')), (200, b'hello', 'de'))
            equal(got['x-oss-meta-colour'], 'red')
        post = bucket.sign_url('POST', 'signed.log', 60, params={'append': '', 'position': '0'})
        status, got, body = fetch(post, 'POST', body=b'hello')
        equal((status, body), (200, b''))
        equal(got['x-oss-next-append-position'], '5')
        status, got, _ = fetch(bucket.sign_url('HEAD', 'signed.log', 60), 'HEAD')
        equal((status, got['x-oss-object-type']), (200, 'Appendable'))

    def signed_urls_that_are_altered_or_late_are_refused():
        bucket.put_object('signed.txt', b'hello')
        url = bucket.sign_url('GET', 'signed.txt', 60)
        status, _, body = fetch(url.replace('signed.txt', 'signed2.txt'))
        check(status == 403 and b'<Code>SignatureDoesNotMatch</Code>' in body, body)
        status, _, _ = fetch(url, 'DELETE')
        equal(status, 403)
        if signature == 'v4':
            return  # a V4 URL of no validity is malformed, not late
        status, _, body = fetch(bucket.sign_url('GET', 'signed.txt', -60))
        check(status == 403 and b'<Message>Request has expired.</Message>' in body, body)

    return [signed_urls_read_write_and_append, signed_urls_that_are_altered_or_late_are_refused]


def _error_cases(bucket, signature, addressing):
    def missing_keys_are_NoSuchKey():
        error = refused(exceptions.NoSuchKey, bucket.get_object, 'absent.txt')
        equal((error.status, error.ec, error.message), (404, '0026-00000001', 'The specified key does not exist.'))
        refused(exceptions.NotFound, bucket.head_object, 'absent.txt')
        refused(exceptions.NoSuchKey, bucket.get_object_meta, 'absent.txt')
        equal(bucket.delete_object('absent.txt').status, 204)

    def wrong_secrets_and_unknown_keys_are_refused():
        forged = _bucket(signature, addressing, bucket.bucket_name, secret='not-the-secret')
        refused(exceptions.SignatureDoesNotMatch, forged.append_object, 'x', 0, b'x')
        unknown = _bucket(signature, addressing, bucket.bucket_name, key_id='NoSuchKeyId')
        refused_code(403, 'InvalidAccessKeyId', unknown.append_object, 'x', 0, b'x')

    def missing_buckets_are_NoSuchBucket():
        if addressing == 'cname':
            return  # the domain names the bucket, so none can be missing
        name = f'{bucket.bucket_name}-absent'
        absent = _bucket(signature, addressing, name)
        error = refused(exceptions.NoSuchBucket, absent.append_object, 'x', 0, b'x')
        equal((error.status, error.ec, error.message),
              (404, '0015-00000101', 'The specified bucket does not exist.'))
        refused(exceptions.NoSuchBucket, absent.list_objects)
        refused(exceptions.NoSuchBucket, absent.delete_bucket)
        refused(exceptions.NoSuchBucket, bucket.copy_object, name, 'x', 'y')
        # Existence probes rely on this order: the bucket is missed before the key id.
        refused(exceptions.NoSuchBucket, _bucket(signature, addressing, name, key_id='NoSuchKeyId').get_object, 'x')

    return [missing_keys_are_NoSuchKey, wrong_secrets_and_unknown_keys_are_refused, missing_buckets_are_NoSuchBucket]


def _bucket_cases(bucket, service):
    def buckets_are_described():
        info = bucket.get_bucket_info()
        equal(info.name, bucket.bucket_name)
        equal(info.location, f'oss-{REGION}')
        equal(info.acl.grant, 'private')
        equal(info.storage_class, 'Standard')
        # With a base domain given, the server advertises it; the port is what a client on this machine needs.
        equal(info.extranet_endpoint, f'{DOMAIN}:{PORT}')
        check(info.owner.id, 'no owner')

    def buckets_are_listed_by_pages():
        names = [f'{bucket.bucket_name}-{i}' for i in 'abc']
        auth, endpoint = service.auth, service.endpoint
        for name in names:
            oss2.Bucket(auth, endpoint, name, region=REGION).create_bucket()
        listed = [entry.name for entry in oss2.BucketIterator(service, prefix=bucket.bucket_name, max_keys=2)]
        equal(listed, [bucket.bucket_name] + names)
        for name in names:
            oss2.Bucket(auth, endpoint, name, region=REGION).delete_bucket()
        rest = [entry.name for entry in oss2.BucketIterator(service, prefix=bucket.bucket_name)]
        equal(rest, [bucket.bucket_name])

    def a_bucket_that_holds_an_object_is_not_deleted():
        bucket.put_object('keeps-the-bucket.txt', b'x')
        refused(exceptions.BucketNotEmpty, bucket.delete_bucket)
        bucket.delete_object('keeps-the-bucket.txt')

    return [buckets_are_described, buckets_are_listed_by_pages, a_bucket_that_holds_an_object_is_not_deleted]
