import t from 'tap';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { MiB } from '../../src/base/units.ts';
import { FIRST_BYTE_MS } from '../../src/proxy/exchange.ts';
import { makeImage, randomBytes, testBlob } from '../support/hostile-registry.ts';
import { errorIn, REGISTRY, Rig, until } from './rig.ts';

const NS = `?ns=${REGISTRY}`;
const FASTER = 100;
/** Timers a hundred times faster: 25 s are over in a quarter of one. */
const fast: Clock = { ...systemClock, after: (ms, callback) => systemClock.after(ms / FASTER, callback) };

t.test('with no byte in time a client is sent on to the origin', async (t) => {
  const rig = await Rig.start(t, { clock: fast });
  const image = makeImage({ seed: 3, layers: [2 * MiB] });
  rig.origin.addImage('org/app', 'latest', image);
  await rig.ask(`/v2/org/app/manifests/${image.manifests[0]!.digest}${NS}`);
  rig.origin.faults.stall = { bytes: -1, times: Infinity };
  const answer = await rig.ask(`/v2/org/app/blobs/${image.layers[0]!.digest}${NS}`);
  t.equal(answer.status, 404);
  t.match(errorIn(answer), {
    code: 'BLOB_UNKNOWN',
    detail: { code: 'FIRST_BYTE_LATE', seen: `no byte came within ${FIRST_BYTE_MS / 1000} s`, todo: String },
  });
});

t.test('a body may take as long as it takes', async (t) => {
  const rig = await Rig.start(t, { clock: fast });
  const blob = testBlob(randomBytes(4, 2 * MiB));
  rig.origin.addBlob('org/app', blob);
  rig.origin.faults.bytesPerSecond = 4 * MiB;
  const answer = await rig.ask(`/v2/org/app/blobs/${blob.digest}${NS}`);
  t.ok(answer.body.equals(blob.bytes), 'though that is longer than a first byte may take');
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
