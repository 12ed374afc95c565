"""oss2, alibabacloud-oss-v2 and the SDKs of RAM and STS, unmodified, against a running server.

Everything comes by environment: OSSIA_PORT, OSSIA_ACCESS_KEY_ID, OSSIA_ACCESS_KEY_SECRET, OSSIA_DOMAIN (a base
domain that the server knows), OSSIA_CNAME_HOST and OSSIA_CNAME_BUCKET (a name that the server binds to a bucket).
"""
import sys

import harness

harness.resolve_test_names_to_loopback()

import oss2_suite  # noqa: E402  the resolver stands first
import ram_suite  # noqa: E402
import rights_suite  # noqa: E402
import v2_suite  # noqa: E402

if __name__ == '__main__':
    oss2_suite.run()
    v2_suite.run()
    ram_suite.run()
    rights_suite.run()
    sys.exit(harness.close())
