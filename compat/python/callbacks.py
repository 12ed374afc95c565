"""Callbacks, through both SDKs, to an application server of this test."""
import base64
import http.server
import json
import threading

import alibabacloud_oss_v2 as oss

from harness import equal

ANSWER = json.dumps({'Status': 'OK'}).encode()


class Application:
    """An application server on loopback, which the server under test is told it may call."""

    def __init__(self):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append(self.rfile.read(int(self.headers['Content-Length'])).decode())
                fails = self.path == '/fail'
                self.send_response(500 if fails else 200)
                self.send_header('Content-Length', str(len(ANSWER)))
                self.end_headers()
                self.wfile.write(ANSWER)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def callback(self, path='/ok'):
        url = 'http://127.0.0.1:%d%s' % (self.server.server_port, path)
        body = {'callbackUrl': url, 'callbackBody': '{"o":${object},"s":${size},"w":${x:who}}',
                'callbackBodyType': 'application/json'}
        return encoded(body), encoded({'x:who': 'me'})

    def told(self):
        return json.loads(self.asked.pop())


def encoded(document):
    return base64.b64encode(json.dumps(document).encode()).decode()


def oss2_cases(bucket):
    application = Application()
    callback, variables = application.callback()
    headers = {'x-oss-callback': callback, 'x-oss-callback-var': variables}

    def the_callback_of_a_put_an_append_and_an_upload_is_made():
        put = bucket.put_object('callbacks/oss2 put', b'12345', headers=headers)
        equal((put.status, put.resp.read()), (200, ANSWER))
        equal(application.told(), {'o': 'callbacks/oss2 put', 's': 5, 'w': 'me'})
        appended = bucket.append_object('callbacks/oss2.log', 0, b'123', headers=headers)
        equal(appended.next_position, 3)
        equal(application.told()['s'], 3)
        upload = bucket.init_multipart_upload('callbacks/parts').upload_id
        bucket.upload_part('callbacks/parts', upload, 1, b'1234')
        headers_all = dict(headers, **{'x-oss-complete-all': 'yes'})
        done = bucket.complete_multipart_upload('callbacks/parts', upload, None, headers=headers_all)
        equal(done.resp.read(), ANSWER)
        equal(application.told()['s'], 4)

    return [the_callback_of_a_put_an_append_and_an_upload_is_made]


def v2_cases(client, bucket):
    application = Application()

    def the_callback_of_a_put_is_made_and_a_failure_is_told():
        callback, variables = application.callback()
        put = client.put_object(oss.PutObjectRequest(
            bucket=bucket, key='callbacks/v2', body=b'12345', callback=callback, callback_var=variables))
        equal(put.callback_result, ANSWER.decode())
        equal(application.told(), {'o': 'callbacks/v2', 's': 5, 'w': 'me'})
        callback, variables = application.callback('/fail')
        # The SDK takes 203 for a success, and gives the error's document as the result.
        failed = client.put_object(oss.PutObjectRequest(
            bucket=bucket, key='callbacks/v2', body=b'1', callback=callback, callback_var=variables))
        equal((failed.status_code, '<Code>CallbackFailed</Code>' in failed.callback_result), (203, True))
        equal(client.head_object(oss.HeadObjectRequest(bucket=bucket, key='callbacks/v2')).content_length, 1)

    return [the_callback_of_a_put_is_made_and_a_failure_is_told]
