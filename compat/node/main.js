'use strict';
// ali-oss, unmodified, against a running server. Everything it needs comes by environment:
// OSSIA_PORT, OSSIA_ACCESS_KEY_ID, OSSIA_ACCESS_KEY_SECRET, OSSIA_CNAME_HOST, OSSIA_CNAME_BUCKET.

const { resolveTestNamesToLoopback, run, skip, close } = require('./harness');
resolveTestNamesToLoopback();

const fs = require('fs');
const os = require('os');
const path = require('path');
const { client, addressings, cnameBucket } = require('./clients');

const groups = [
  require('./append'),
  require('./objects'),
  require('./multipart'),
  require('./lists'),
  require('./buckets'),
  require('./configs'),
  require('./versions'),
  require('./posts'),
  require('./lifetimes'),
  require('./signed'),
  require('./sts'),
  require('./rights')
];

async function emptyAndDelete(oss, bucket) {
  for (;;) {
    const page = await oss.listV2({ 'max-keys': 1000 });
    if (page.objects.length > 0) await oss.deleteMulti(page.objects.map(object => object.name), { quiet: true });
    if (!page.isTruncated) break;
  }
  await oss.deleteBucket(bucket);
}

async function combination(signature, addressing, folder) {
  const label = `ali-oss ${signature} ${addressing}`;
  const bucket = addressing === 'cname' ? cnameBucket : `compat-node-${signature}-${addressing}`;
  // A custom domain serves one bucket and no service, so that bucket is made and removed by another way in.
  const admin = addressing === 'cname' ? client(signature, 'path', bucket) : client(signature, addressing, bucket);
  await run(label, 'creates a bucket', () => admin.putBucket(bucket));
  const room = {
    signature,
    addressing,
    bucket,
    folder,
    oss: client(signature, addressing, bucket),
    client: overrides => client(signature, addressing, bucket, overrides),
    run: (name, body) => run(label, name, body),
    skip: (name, why) => skip(label, name, why)
  };
  for (const group of groups) await group(room);
  await run(label, 'empties and deletes the bucket', () => emptyAndDelete(admin, bucket));
}

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ossia-compat-node-'));
  try {
    for (const signature of ['v1', 'v4']) {
      for (const addressing of addressings) await combination(signature, addressing, folder);
      skip(
        `ali-oss ${signature} path`,
        'sldEnable on an IP endpoint',
        'ali-oss sends the bucket in Host and in the path and signs it once, so no server can verify it'
      );
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
  return close();
}

main().then(
  code => process.exit(code),
  error => {
    console.log(`not ok - ali-oss all all / the program itself: ${error.stack.replace(/\s+/g, ' ')}`);
    process.exit(2);
  }
);
