import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer as bytesOf } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { systemClock } from '../../../src/base/clock.ts';
import { Limiter } from '../../../src/base/limiter.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { MiB } from '../../../src/base/units.ts';
import { BufferPool } from '../../../src/http/buffer-pool.ts';
import { BlobAnswers, blobIn } from '../../../src/p2p/peer/blob-answers.ts';
import { UploadSlots } from '../../../src/p2p/peer/upload-slots.ts';
import { MemoryShelf } from '../../support/piece-rig.ts';
import { sampleBlob } from '../../support/store-conformance.ts';

const blob = sampleBlob(2 * MiB + 5);
const PATH = `/v1/blobs/${blob.digest}`;

/** A server that has nothing but these answers; what cannot be asked is a 400, what breaks off is cut. */
async function start(t: Test) {
  const shelf = new MemoryShelf();
  shelf.blobs.set(blob.digest, blob.bytes);
  const slots = new UploadSlots(1);
  const answers = new BlobAnswers({
    shelves: [shelf],
    incoming: { openPart: async () => undefined },
    slots,
    limiter: new Limiter({ bytesPerSecond: undefined, clock: systemClock }),
    pool: new BufferPool(16 * MiB),
    metrics: new Metrics(),
  });
  const faults: string[] = [];
  const server = createServer((request, response) => {
    answers.serve(request, response).then(
      (isSound) => void (isSound || response.writeHead(400).end()),
      (error: Error) => {
        faults.push(error.message);
        response.destroy();
      },
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const ask = async (path: string, options: RequestOptions = {}, body?: string) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, agent: false, ...options }).end(body);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return { status: response.statusCode, headers: response.headers, body: await bytesOf(response) };
  };
  return { ask, shelf, slots, faults };
}

t.test('whole, a range, or what it would be', async (t) => {
  const { ask, shelf, slots } = await start(t);
  const whole = await ask(PATH);
  t.equal(whole.status, 200);
  t.ok(whole.body.equals(blob.bytes));
  const part = await ask(PATH, { headers: { range: `bytes=${MiB}-` } });
  t.equal(part.status, 206);
  t.ok(part.body.equals(blob.bytes.subarray(MiB)));
  t.equal(part.headers['content-range'], `bytes ${MiB}-${2 * MiB + 4}/${2 * MiB + 5}`);
  const head = await ask(PATH, { method: 'HEAD' });
  t.match(head, { status: 200, headers: { 'content-length': String(2 * MiB + 5) }, body: { length: 0 } });
  t.equal(shelf.openCount, 0);
  t.equal(slots.used, 0);
});

t.test('what it has not, what lies behind the end, and no slot', async (t) => {
  const { ask, shelf, slots } = await start(t);
  t.equal((await ask(`/v1/blobs/${sampleBlob(1, 'other').digest}`)).status, 404);
  t.equal((await ask(PATH, { headers: { range: 'bytes=9000000-' } })).status, 416);
  const taken = [slots.take({ onePiece: false }), slots.take({ onePiece: false })];
  t.match(await ask(PATH), { status: 503, headers: { 'x-hawker-reason': 'busy', 'content-length': '0' } });
  t.equal((await ask(PATH, { method: 'HEAD' })).status, 200, 'which takes none');
  taken[0]!();
  t.equal((await ask(PATH)).status, 200);
  const none = Object.assign(new Error('no descriptors'), { code: 'EMFILE' });
  shelf.open = () => Promise.reject(none);
  t.equal((await ask(PATH)).status, 503, 'which passes too');
  t.equal(shelf.openCount, 0);
});

t.test('what cannot be asked', async (t) => {
  const { ask } = await start(t);
  t.equal((await ask('/v1/blobs/nonsense')).status, 400);
  t.equal((await ask(`${PATH}?x=1`)).status, 400);
  t.equal((await ask(PATH, { method: 'DELETE' })).status, 400);
  t.equal((await ask(PATH, { headers: { range: 'bytes=0-1,5-6' } })).status, 400);
  t.equal((await ask(PATH, { headers: { range: 'pages=1-2' } })).status, 400);
  t.equal((await ask(PATH, { method: 'GET', headers: { 'content-length': '2' } }, 'no')).status, 400);
});

t.test('a body that cannot be read breaks off, and gives back all that it took', async (t) => {
  const { ask, shelf, slots, faults } = await start(t);
  shelf.failFrom = MiB;
  await t.rejects(ask(PATH));
  t.same(faults, ['the disk is gone']);
  t.equal(slots.used, 0);
  t.equal(shelf.openCount, 0);
});

t.test('the blob that a request names', (t) => {
  t.equal(blobIn({ url: PATH }), blob.digest);
  t.equal(blobIn({ url: '/v1/blobs/sha256:zz' }), undefined);
  t.equal(blobIn({ url: '/v1/whoami?nonce=1234567890123456' }), undefined);
  t.equal(blobIn({}), undefined);
  t.end();
});
