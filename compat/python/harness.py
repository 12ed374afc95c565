"""Runs cases one after another and prints a line for each, in the form that `cargo xtask` reads.

    ok - SDK SIGNATURE ADDRESSING / case
    not ok - SDK SIGNATURE ADDRESSING / case: why
    skip - SDK SIGNATURE ADDRESSING / case: why
"""
import http.client
import os
import socket
import urllib.parse

PORT = os.environ['OSSIA_PORT']
KEY_ID = os.environ['OSSIA_ACCESS_KEY_ID']
KEY_SECRET = os.environ['OSSIA_ACCESS_KEY_SECRET']
DOMAIN = os.environ['OSSIA_DOMAIN']
CNAME_HOST = os.environ['OSSIA_CNAME_HOST']
CNAME_BUCKET = os.environ['OSSIA_CNAME_BUCKET']
# The scheme of every request; with `https` the SDKs find their trust by the environment.
SCHEME = os.environ.get('OSSIA_SCHEME', 'http')
REGION = os.environ.get('OSSIA_REGION', 'cn-hangzhou')

# CRC-64/XZ of the text.
CRC_HELLO = 11177612005948864433
CRC_HELLO_WORLD = 5981764153023615706

ODD_KEYS = [
    'plain/with/slashes.txt',
    'space and+plus.txt',
    'percent%20and%2Fslash',
    'query?and#hash&amp;=x',
    'quotes\'"<>&.xml',
    "bare!'()*~-_.txt",
    'double//slash//x',
    'ünïcode/日本語/😀.log',
]

_counts = {'passed': 0, 'failed': 0, 'skipped': 0}


def resolve_test_names_to_loopback():
    """The system's resolver knows neither `bucket.localhost` nor `.test`, and no request may leave this machine."""
    real = socket.getaddrinfo

    def resolve(host, port, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name.endswith('.localhost') or name.endswith('.test') or name == 'localhost':
            name = '127.0.0.1'
        if name != '127.0.0.1':
            raise socket.gaierror(socket.EAI_NONAME, f'not a test name: {name}')
        return real(name, port, *args, **kwargs)

    socket.getaddrinfo = resolve
    # The C library offers others; urllib3 uses only the one above.
    socket.setdefaulttimeout(60)


def _explain(error):
    return ' '.join(f'{type(error).__name__} {error}'.split())[:2000]


class Room:
    """One SDK in one signature version and one way of addressing."""

    def __init__(self, sdk, signature, addressing):
        self.label = f'{sdk} {signature} {addressing}'

    def run(self, name, body):
        # Tells the server's log which case comes next, so that it says what each case did.
        fetch(f'{SCHEME}://127.0.0.1:{PORT}/_ossia/health', headers={'User-Agent': f'case: {self.label} / {name}'})
        try:
            body()
        except Exception as error:  # a case may fail in any way, and the next ones still run
            _counts['failed'] += 1
            print(f'not ok - {self.label} / {name}: {_explain(error)}', flush=True)
        else:
            _counts['passed'] += 1
            print(f'ok - {self.label} / {name}', flush=True)

    def skip(self, name, why):
        _counts['skipped'] += 1
        print(f'skip - {self.label} / {name}: {why}', flush=True)

    def run_all(self, cases):
        """Runs each function; its name with spaces is the name of the case."""
        for case in cases:
            self.run(case.__name__.replace('_', ' '), case)


def close():
    print('{passed} passed, {failed} failed, {skipped} skipped'.format(**_counts), flush=True)
    return 0 if _counts['failed'] == 0 and _counts['passed'] > 0 else 1


def equal(left, right):
    if left != right:
        raise AssertionError(f'expected {right!r}, got {left!r}')


def check(condition, about):
    if not condition:
        raise AssertionError(about)


def fetch(url, method='GET', headers=None, body=None):
    """One plain request, for signed URLs: no SDK between the test and the wire."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == 'https' else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=60)
    try:
        target = parts.path + ('?' + parts.query if parts.query else '')
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()
