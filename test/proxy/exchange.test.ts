import t from 'tap';
import { MiB } from '../../src/base/units.ts';
import { FIRST_BYTE_MS } from '../../src/proxy/exchange.ts';
import { makeImage, randomBytes, testBlob } from '../support/hostile-registry.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { errorIn, REGISTRY, Rig, until } from './rig.ts';

const NS = `?ns=${REGISTRY}`;

t.test('with no byte in time a client is sent on to the origin', async (t) => {
  const clock = new ManualClock();
  const rig = await Rig.start(t, { clock });
  const image = makeImage({ seed: 3, layers: [2 * MiB] });
  rig.origin.addImage('org/app', 'latest', image);
  t.equal((await rig.ask(`/v2/org/app/manifests/${image.manifests[0]!.digest}${NS}`)).status, 200);
  rig.origin.faults.stall = { bytes: -1, times: Infinity };
  const asked = rig.ask(`/v2/org/app/blobs/${image.layers[0]!.digest}${NS}`);
  await until(() => rig.origin.of('blob').length > 0);
  await clock.advance(FIRST_BYTE_MS);
  const answer = await asked;
  t.equal(answer.status, 404);
  t.match(errorIn(answer), {
    code: 'BLOB_UNKNOWN',
    detail: { code: 'FIRST_BYTE_LATE', seen: `no byte came within ${FIRST_BYTE_MS / 1000} s`, todo: String },
  });
});

t.test('a body may take as long as it takes', async (t) => {
  const clock = new ManualClock();
  const rig = await Rig.start(t, { clock });
  const blob = testBlob(randomBytes(4, 3 * MiB));
  rig.origin.addBlob('org/app', blob);
  rig.origin.faults.stall = { bytes: 2 * MiB, times: 1 };
  const response = await rig.open(`/v2/org/app/blobs/${blob.digest}${NS}`);
  const chunks: Buffer[] = [];
  const length = () => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  response.on('data', (chunk: Buffer) => chunks.push(chunk));
  await until(() => length() > 0);
  await clock.advance(FIRST_BYTE_MS);
  // The registry is silent meanwhile; what it owes is asked for again, after a while.
  await until(async () => {
    await clock.advance(1000);
    return response.closed;
  });
  t.ok(Buffer.concat(chunks).equals(blob.bytes), 'though that is longer than a first byte may take');
});

t.test('a client that goes while it waits leaves nothing behind', async (t) => {
  const rig = await Rig.start(t);
  rig.origin.faults.on = ['manifest'];
  rig.origin.faults.stall = { bytes: -1, times: 1 };
  const controller = new AbortController();
  const asked = fetch(`http://127.0.0.1:${rig.port}/v2/org/app/manifests/latest${NS}`, { signal: controller.signal });
  await until(() => rig.origin.of('manifest').length === 1);
  controller.abort();
  await t.rejects(asked);
  await until(() => rig.lines.some((line) => line.includes('"whole":false')));
  t.notOk(rig.lines.some((line) => /INTERNAL|CLIENT_GONE/.test(line)));
});
