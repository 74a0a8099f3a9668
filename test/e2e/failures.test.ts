/**
 * What breaks while a real client pulls: the origin in the middle of a large layer, the mirror itself by `kill -9`, the mirror's
 * end by SIGTERM. Invariant I2: a client does not notice, as long as the origin can still give the bytes.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { hashFile } from './support/clients/client.ts';
import { skopeo } from './support/clients/skopeo.ts';
import { Hawker } from './support/hawker.ts';
import { publishLarge, type Published } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { type Finished, run } from './support/programs.ts';
import { Relay } from './support/relay.ts';
import { e2e, type Rig } from './support/rig.ts';
import { until, within } from './support/wait.ts';

const MiB = 1024 * 1024;
const PULL_BOUND_MS = 180_000;
const STEP_BOUND_MS = 20_000;
/** What may be read again after a break: the piece that was under way, and what the sockets between held. */
const SLACK_BYTES = 8 * MiB;

interface Scene {
  readonly rig: Rig;
  readonly hawker: Hawker;
  readonly relay: Relay;
  readonly image: Published;
  readonly layer: string;
  readonly size: number;
}

async function scene(rig: Rig, bytes: number): Promise<Scene> {
  const origin = await Origin.start(rig);
  const image = await publishLarge(rig, origin, 'library/large', bytes);
  const relay = await Relay.start(origin.url);
  rig.onClose(() => relay.close());
  const hawker = await Hawker.start(rig, 'hawker', relay.url);
  const layer = image.native.layers[0]!;
  return { rig, hawker, relay, image, layer, size: image.native.blobs.get(layer)! };
}

/** Starts a download of the layer by curl. */
function download({ rig, hawker, image, layer }: Scene): { file: string; ended: Promise<Finished> } {
  const file = join(rig.dir, 'layer');
  const url = `${hawker.url}/v2/${image.repository}/blobs/${layer}`;
  const args = ['--silent', '--show-error', '--fail', '--output', file, url];
  return { file, ended: run('curl', args, { boundMs: PULL_BOUND_MS }) };
}

async function arrivesWhole(t: Test, at: Scene, { file, ended }: ReturnType<typeof download>): Promise<void> {
  const { code, stderr } = await ended;
  t.equal(code, 0, `curl noticed nothing ${stderr}`);
  t.equal(await hashFile(file), at.layer, `its ${at.size} bytes are right`);
}

const sizeNow = async (file: string) => (await stat(file).catch(() => undefined))?.size ?? 0;

e2e(t, 'a layer of 1 GiB, the origin cut off at half of it', [...ORIGIN_PROGRAMS, 'curl', 'skopeo'], async (t, rig) => {
  const at = await scene(rig, 1024 * MiB);
  const { relay, hawker, image, layer, size } = at;

  relay.cutOnce(`/blobs/${layer}`, size / 2);
  await arrivesWhole(t, at, download(at));
  const byCurl = relay.gets(`/blobs/${layer}`);
  t.equal(byCurl[0]?.bytes, Math.floor(size / 2), 'the origin did break off');
  t.match(byCurl[1]?.range, /^bytes=\d+-/, 'the rest was asked for by range');
  t.ok(relay.bytesOf(layer) <= size + SLACK_BYTES, `the rest alone: ${relay.bytesOf(layer)} of ${size} bytes in all`);

  await hawker.restartEmpty();
  relay.exchanges.length = 0;
  relay.cutOnce(`/blobs/${layer}`, size / 2);
  const client = skopeo(rig, hawker);
  t.same(
    await client.pull(image, 'docker.io'),
    client.expected(image),
    'skopeo, which resumes nothing, noticed nothing',
  );
  t.ok(relay.gets(`/blobs/${layer}`).length > 1, 'the origin did break off');
  t.ok(relay.bytesOf(layer) <= size + SLACK_BYTES, `the rest alone: ${relay.bytesOf(layer)} of ${size} bytes in all`);
});

e2e(t, 'the origin goes away in the middle and comes back', [...ORIGIN_PROGRAMS, 'curl'], async (t, rig) => {
  const at = await scene(rig, 48 * MiB);
  const hold = at.relay.holdOnce(`/blobs/${at.layer}`, 16 * MiB);
  const pull = download(at);
  await within('16 MiB have left the origin', STEP_BOUND_MS, hold.reached);
  await at.relay.down();
  hold.release();
  await at.relay.up();
  await arrivesWhole(t, at, pull);
  t.ok(at.relay.bytesOf(at.layer) <= at.size + SLACK_BYTES, 'the rest alone was read again');
});

e2e(t, 'kill -9 in the middle of a download', [...ORIGIN_PROGRAMS, 'curl'], async (t, rig) => {
  const at = await scene(rig, 96 * MiB);
  const { relay, hawker, layer, size } = at;
  const arrived = 64 * MiB;
  const hold = relay.holdOnce(`/blobs/${layer}`, arrived);
  const first = download(at);
  await within('64 MiB have left the origin', STEP_BOUND_MS, hold.reached);
  await until(
    'most of it is at the client',
    STEP_BOUND_MS,
    async () => (await sizeNow(first.file)) > arrived - 4 * MiB,
  );
  await hawker.kill9();
  hold.release();
  t.not((await first.ended).code, 0, 'that client cannot but notice');

  await hawker.start();
  await arrivesWhole(t, at, download(at));
  const [, resumed] = relay.gets(`/blobs/${layer}`);
  t.match(resumed?.range, /^bytes=\d+-/, 'it went on, by range');
  t.ok(
    (resumed?.bytes ?? 0) <= size - arrived + SLACK_BYTES,
    `it read the rest alone: ${resumed?.bytes} bytes of ${size}`,
  );
});

e2e(t, 'SIGTERM in the middle of a pull', [...ORIGIN_PROGRAMS, 'curl'], async (t, rig) => {
  const at = await scene(rig, 24 * MiB);
  const { relay, hawker, layer } = at;
  const hold = relay.holdOnce(`/blobs/${layer}`, 8 * MiB);
  const pull = download(at);
  await until('some of it is at the client', STEP_BOUND_MS, async () => (await sizeNow(pull.file)) > MiB);
  hawker.terminate();
  await until(
    'new connections are refused',
    STEP_BOUND_MS,
    async () => !(await fetch(`${hawker.url}/v2/`).catch(() => undefined)),
  );
  t.ok(hawker.running, 'it stays for the pull that is under way');
  hold.release();
  await arrivesWhole(t, at, pull);
  t.equal(await hawker.ended(STEP_BOUND_MS), 0, 'then it ends, with exit code 0');
});
