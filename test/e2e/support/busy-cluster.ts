import type { Test } from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { DashboardScene } from '../../support/dashboard-scene.ts';
import { Client, type HelloFields } from '../../support/session-client.ts';
import { until } from './wait.ts';

const BOUND_MS = 20_000;
const BEAT_MS = 5000;
/** A quarter of an hour of beats, and a few more. */
const STEPS = 186;
/** The last beats, which the stale one does not send. */
const SILENT_STEPS = 5;
const OTHER_SECRET = 'a secret of another cluster, which is long enough';
const ZONES = ['fra-1', 'fra-2', 'ams-1'];

/** A cluster that pulls an image, with everything on it that a dashboard may have to show: the pictures of docs/images are of it. */
export async function busyCluster(t: Test): Promise<DashboardScene> {
  const version = '0.1.0';
  const scene = await DashboardScene.start(t, { behindMs: STEPS * BEAT_MS, heartbeatMs: BEAT_MS, version });
  const ready: Client[] = [];
  for (let number = 1; number <= 6; number += 1)
    ready.push(await scene.join(`node-0${number}`, { version, zone: ZONES[number % 3]! }));
  const unreachable = await scene.join('node-07', { version, zone: 'ams-1', reachable: false });
  const stale = await scene.join('node-08', { version, zone: 'fra-2' });
  const leaver = await scene.join('node-09', { version, zone: 'fra-1' });
  await turnAway(t, scene, { protocol: '9.0', host: 'node-21', peer: 'peer-0021' });
  await turnAway(t, scene, { protocol: '9.0', host: 'node-21', peer: 'peer-0021' });
  await turnAway(t, scene, { host: 'node-22', peer: 'peer-0022' }, new Membership(OTHER_SECRET));
  const clients = [...ready, unreachable, stale, leaver];
  const sums = clients.map(() => [0, 0, 0, 0]);
  for (let step = 0; step < STEPS; step += 1) {
    const isBurst = step % 47 < 9;
    const load = 1 + Math.sin(step / 9) + (isBurst ? 2.5 : 0);
    for (const [index, sum] of sums.entries()) {
      const share = (load * (1 + ((index * 7 + step) % 5))) / 5;
      const origin = Math.round(share * (isBurst ? 7 : 0.4) * MiB);
      sum[0]! += Math.round(share * 22 * MiB);
      sum[1]! += Math.round(share * (isBurst ? 60 : 12) * MiB);
      sum[2]! += origin;
      sum[3]! += origin;
    }
    const isLate = step >= STEPS - SILENT_STEPS;
    if (step === STEPS - 20) leaver.ws.terminate();
    const beating = clients.filter(
      (client) => !(isLate && client === stale) && client.ws.readyState === client.ws.OPEN,
    );
    await scene.beat(beating.map((client) => [client, [...sums[clients.indexOf(client)]!]] as const));
  }
  for (const [index, client] of ready.entries()) {
    for (let blob = 0; blob < 3 + (index % 4); blob += 1) scene.announce(client, `old ${blob}`, 12);
    if (index < 2) scene.announce(client, 'layer 1', 96);
    else scene.want(client, 'layer 1', 96, 8 + ((index * 29) % 84));
    scene.want(client, 'layer 2', 40, (index * 11) % 40);
    if (index > 2) scene.want(client, 'layer 3', 220, index * 31);
  }
  scene.want(unreachable, 'layer 1', 96, 17);
  await until('all of it is known', BOUND_MS, () => scene.supernode.activeBlobs(10).length === 3);
  return scene;
}

async function turnAway(t: Test, { url }: DashboardScene, fields: HelloFields, secret?: Membership): Promise<void> {
  const stranger = new Client(t, url);
  await stranger.hello(fields, secret);
  await until('it is refused', BOUND_MS, () => stranger.closedWith !== undefined);
}
