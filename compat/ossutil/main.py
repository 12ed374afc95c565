"""ossutil, unmodified, against a running server: what people do with a folder of files.

Everything comes by environment: OSSIA_PORT, OSSIA_ACCESS_KEY_ID, OSSIA_ACCESS_KEY_SECRET, and OSSIA_OSSUTIL, the program.
"""
import filecmp
import http.client
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

PORT = os.environ['OSSIA_PORT']
PROGRAM = os.environ['OSSIA_OSSUTIL']
FILES = 1000
KIB = 1024

counts = {'passed': 0, 'failed': 0}


def announce(label, name):
    """Tells the server's log which case comes next, so that it says what each case did."""
    connection = http.client.HTTPConnection('127.0.0.1', int(PORT), timeout=60)
    connection.request('GET', '/_ossia/health', headers={'User-Agent': f'case: {label} / {name}'})
    connection.getresponse().read()
    connection.close()


def equal(got, want):
    if got != want:
        raise AssertionError(f'expected {want!r}, got {got!r}')


def same_tree(left, right):
    """The same files with the same bytes."""
    def names(root):
        return sorted(os.path.relpath(os.path.join(folder, name), root)
                      for folder, _, files in os.walk(root) for name in files)
    equal(names(left), names(right))
    _, mismatch, errors = filecmp.cmpfiles(left, right, names(left), shallow=False)
    equal((mismatch, errors), ([], []))


class Room:
    """ossutil with one signature version, in a folder of its own."""

    def __init__(self, signature, folder):
        self.label = f'ossutil {signature} path'
        self.bucket = f'oss://compat-ossutil-{signature}'
        self.folder = folder
        self.signature = signature

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, content):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def start(self, *arguments):
        command = [PROGRAM, *arguments]
        if arguments[0] != 'hash':
            command += ['-e', f'http://127.0.0.1:{PORT}', '-i', os.environ['OSSIA_ACCESS_KEY_ID'],
                        '-k', os.environ['OSSIA_ACCESS_KEY_SECRET'],
                        '--sign-version', self.signature, '--region', 'cn-hangzhou']
        # Its configuration, checkpoints and reports stay in the folder.
        environment = {**os.environ, 'HOME': self.folder}
        return subprocess.run(command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=300, check=False)

    def do(self, *arguments):
        """Runs it, expects success, and gives what it printed."""
        done = self.start(*arguments)
        out = done.stdout.decode(errors='replace')
        if done.returncode != 0 or 'Error' in out:
            raise AssertionError(f'{arguments}: {done.returncode} {out} {done.stderr.decode(errors="replace")}')
        return out

    def refused(self, words, *arguments):
        done = self.start(*arguments)
        out = (done.stdout + done.stderr).decode(errors='replace')
        if done.returncode == 0 or not all(word in out for word in words):
            raise AssertionError(f'{arguments}: expected {words}, got {done.returncode} {out}')

    def get(self, key):
        """The object's bytes, downloaded."""
        path = self.path('got')
        self.do('cp', f'{self.bucket}/{key}', path, '-f')
        with open(path, 'rb') as file:
            return file.read()

    def run(self, case):
        name = case.__name__.replace('_', ' ')
        announce(self.label, name)
        try:
            case()
        except Exception as error:  # a case may fail in any way, and the next ones still run
            counts['failed'] += 1
            print(f'not ok - {self.label} / {name}: {" ".join(str(error).split())[:2000]}', flush=True)
        else:
            counts['passed'] += 1
            print(f'ok - {self.label} / {name}', flush=True)


def cases(room, files):
    bucket, do = room.bucket, room.do
    some = random.Random(7)
    big = some.randbytes(3 * 1024 * KIB + 77)

    def a_bucket_is_made_told_and_listed():
        do('mb', bucket)
        if bucket not in do('ls', '-s'):
            raise AssertionError('the bucket is not listed')
        told = do('stat', bucket)
        equal(re.search(r'ACL\s*: (\S+)', told)[1], 'private')
        do('set-acl', bucket, 'public-read', '-b')
        equal(re.search(r'ACL\s*: (\S+)', do('stat', bucket))[1], 'public-read')
        do('set-acl', bucket, 'private', '-b')

    def a_folder_goes_up_and_comes_back_byte_for_byte():
        # Small files, some empty, names with spaces and beyond ASCII, folders within folders.
        for number in range(files):
            name = f'up/{number % 10}/{"ünï 日本" if number % 7 == 0 else "f"}/file {number}+%.bin'
            room.write(name, some.randbytes(number % 700))
        do('cp', '-r', '-f', '-j', '8', '--disable-dir-object', room.path('up') + '/', f'{bucket}/tree/')
        equal(int(re.search(r'Object Number is: (\d+)', do('ls', f'{bucket}/tree/', '-s'))[1]), files)
        do('cp', '-r', '-f', '-j', '8', f'{bucket}/tree/', room.path('down') + '/')
        same_tree(room.path('up'), room.path('down'))

    def a_folder_is_kept_in_step_both_ways():
        gone = next(iter(os.listdir(room.path('up', '3', 'f'))))
        os.remove(room.path('up', '3', 'f', gone))
        room.write('up/new/file', b'new')
        room.write('up/1/f/changed', b'changed')
        do('sync', room.path('up') + '/', f'{bucket}/tree/', '--delete', '-f', '-u')
        os.makedirs(room.path('synced'), exist_ok=True)
        do('sync', f'{bucket}/tree/', room.path('synced') + '/', '--delete', '-f', '--backup-dir', room.path('backup'))
        same_tree(room.path('up'), room.path('synced'))

    def a_big_file_goes_in_parts_with_a_checkpoint():
        path = room.write('big.bin', big)
        parts = ['--bigfile-threshold', str(1024 * KIB), '--part-size', str(512 * KIB), '--parallel', '3',
                 '--checkpoint-dir', room.path('checkpoints')]
        do('cp', path, f'{bucket}/big.bin', '-f', *parts)
        do('cp', f'{bucket}/big.bin', room.path('big.back'), '-f', *parts)
        with open(room.path('big.back'), 'rb') as file:
            equal(file.read() == big, True)
        told = do('stat', f'{bucket}/big.bin')
        equal(re.search(r'X-Oss-Object-Type\s*: (\S+)', told)[1], 'Multipart')
        crc = re.search(r'CRC64-ECMA\s*: (\d+)', do('hash', path, '--type=crc64'))[1]
        equal(re.search(r'X-Oss-Hash-Crc64ecma\s*: (\d+)', told)[1], crc)
        do('cp', f'{bucket}/big.bin', f'{bucket}/big.copy', '-f', *parts)
        equal(re.search(r'X-Oss-Hash-Crc64ecma\s*: (\d+)', do('stat', f'{bucket}/big.copy'))[1], crc)
        do('cp', f'{bucket}/big.bin', room.path('range'), '-f', '--range', '10-19')
        with open(room.path('range'), 'rb') as file:
            equal(file.read(), big[10:20])

    def files_are_appended():
        for name, text in [('one', 'hello '), ('two', 'world')]:
            do('appendfromfile', room.write(name, text), f'{bucket}/log')
        equal('hello world' in do('cat', f'{bucket}/log'), True)
        equal(room.get('log'), b'hello world')
        told = do('stat', f'{bucket}/log')
        equal(re.search(r'X-Oss-Object-Type\s*: (\S+)', told)[1], 'Appendable')
        do('cp', room.path('one'), f'{bucket}/normal', '-f')
        room.refused(['ObjectNotAppendable'], 'appendfromfile', room.path('one'), f'{bucket}/normal')

    def metadata_acl_tags_and_links_are_set_and_told():
        do('cp', room.write('small', 'small'), f'{bucket}/small', '-f', '--meta', 'x-oss-meta-a:1#Cache-Control:no-cache')
        do('set-meta', f'{bucket}/small', 'x-oss-meta-b:2', '--update', '-f')
        do('set-acl', f'{bucket}/small', 'public-read')
        told = do('stat', f'{bucket}/small')
        for line in ['X-Oss-Meta-A', 'X-Oss-Meta-B', 'Cache-Control', 'public-read']:
            equal(line in told, True)
        do('object-tagging', '--method', 'put', f'{bucket}/small', 'k#v')
        equal('"v"' in do('object-tagging', '--method', 'get', f'{bucket}/small'), True)
        do('object-tagging', '--method', 'delete', f'{bucket}/small')
        do('create-symlink', f'{bucket}/link', 'small')
        equal(re.search(r'X-Oss-Symlink-Target\s*: (\S+)', do('read-symlink', f'{bucket}/link'))[1], 'small')
        equal(room.get('link'), b'small')

    def sizes_are_summed_folders_made_and_urls_signed():
        do('mkdir', f'{bucket}/empty')
        equal(f'{bucket}/empty/' in do('ls', f'{bucket}/', '-d', '-s'), True)
        equal(re.search(r'object count:\s*(\d+)\s+object sum size:\s*(\d+)', do('du', f'{bucket}/big'))[2],
              str(2 * len(big)))
        url = re.search(r'http\S+', do('sign', f'{bucket}/small'))[0]
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection('127.0.0.1', int(PORT), timeout=60)
        connection.request('GET', f'{parts.path}?{parts.query}')
        equal(connection.getresponse().read(), b'small')

    def the_bucket_is_configured():
        cors = room.write('cors.xml', '<CORSConfiguration><CORSRule><AllowedOrigin>http://page.test</AllowedOrigin>'
                                      '<AllowedMethod>PUT</AllowedMethod></CORSRule></CORSConfiguration>')
        do('cors', '--method', 'put', bucket, cors)
        equal('http://page.test' in do('cors', '--method', 'get', bucket), True)
        asked = do('cors-options', '--acr-method', 'put', '--origin', 'http://page.test', bucket)
        equal('Access-Control-Allow-Origin' in asked, True)
        do('cors', '--method', 'delete', bucket)
        rules = room.write('rules.xml', '<LifecycleConfiguration><Rule><ID>a</ID><Prefix>old/</Prefix><Status>Enabled'
                                        '</Status><Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>')
        site = room.write('site.xml', '<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument>'
                                      '</WebsiteConfiguration>')
        policy = room.write('policy.json', '{"Version":"1","Statement":[{"Effect":"Allow","Action":["oss:GetObject"],'
                                           f'"Principal":["27"],"Resource":["acs:oss:*:*:{bucket[6:]}/*"]}}]}}')
        for command, body, told in [('lifecycle', rules, '<Days>3</Days>'), ('website', site, 'index.html'),
                                    ('bucket-policy', policy, 'oss:GetObject')]:
            do(command, '--method', 'put', bucket, body)
            equal(told in do(command, '--method', 'get', bucket), True)
            do(command, '--method', 'delete', bucket)
        do('bucket-tagging', '--method', 'put', bucket, 'k#v')
        equal('"v"' in do('bucket-tagging', '--method', 'get', bucket), True)
        do('bucket-tagging', '--method', 'delete', bucket)
        do('referer', '--method', 'put', bucket, 'http://a.test')
        equal('http://a.test' in do('referer', '--method', 'get', bucket), True)
        do('referer', '--method', 'delete', bucket)
        do('request-payment', '--method', 'put', bucket, 'BucketOwner')
        equal('BucketOwner' in do('request-payment', '--method', 'get', bucket), True)

    def everything_is_removed():
        do('rm', bucket, '-a', '-r', '-f', '-b')
        room.refused(['NoSuchBucket'], 'ls', bucket)

    return [a_bucket_is_made_told_and_listed, a_folder_goes_up_and_comes_back_byte_for_byte,
            a_folder_is_kept_in_step_both_ways, a_big_file_goes_in_parts_with_a_checkpoint, files_are_appended,
            metadata_acl_tags_and_links_are_set_and_told, sizes_are_summed_folders_made_and_urls_signed,
            the_bucket_is_configured, everything_is_removed]


def main():
    # The folder of 1,000 files once; the newer signature with fewer.
    for signature, files in [('v1', FILES), ('v4', 60)]:
        folder = tempfile.mkdtemp(prefix='ossia-compat-ossutil-')
        try:
            room = Room(signature, folder)
            for case in cases(room, files):
                room.run(case)
        finally:
            shutil.rmtree(folder)
    print(f'{counts["passed"]} passed, {counts["failed"]} failed, 0 skipped', flush=True)
    return 0 if counts['failed'] == 0 and counts['passed'] > 0 else 1


if __name__ == '__main__':
    sys.exit(main())
