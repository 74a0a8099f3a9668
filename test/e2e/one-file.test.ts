/**
 * All nodes of a cluster by one settings file, on machines of network namespaces: each advertises the address by which it is connected with
 * its supernode, a node in the supernode's own process what its supernode is named by. Where no address can be known, it is said (I6).
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { PROGRAMS } from '../../scripts/faults/needs.ts';
import { digestOn } from '../../scripts/netns/digest.ts';
import type { Host } from '../../scripts/netns/host.ts';
import { Network } from '../../scripts/netns/network.ts';
import { blobPath, Registry } from '../../scripts/netns/origin.ts';
import { getOn, must, runOn, startOn, type Daemon } from '../../scripts/netns/programs.ts';
import { MiB } from '../../src/base/units.ts';
import { MAIN } from './support/hawker.ts';
import { e2e, type Rig } from './support/rig.ts';
import { until } from './support/wait.ts';

const BOUND_MS = 60_000;
const BLOB_BYTES = 3 * MiB + 4321;
const MIRROR = 'http://127.0.0.1:65001';
const API = 'http://127.0.0.1:65003';

/** What `hawker peers --json` says. */
interface Peers {
  readonly peers: readonly {
    readonly host: string;
    readonly addresses: string[];
    readonly state: string;
    readonly reason: string;
  }[];
}

/** Machines on one network, with a registry, and one settings file for all. */
class Scene {
  readonly network: Network;
  readonly registry: Registry;
  readonly #rig: Rig;
  readonly #file: string;

  private constructor(rig: Rig, network: Network, registry: Registry) {
    this.#rig = rig;
    this.network = network;
    this.registry = registry;
    this.#file = join(rig.dir, 'hawker.json');
  }

  static async create(rig: Rig, settings: object): Promise<Scene> {
    const network = await Network.create();
    rig.onClosed(() => network.close());
    const registry = new Registry(await network.host('origin', '10.88.0.2'), join(rig.dir, 'origin'));
    await registry.start();
    rig.onClose(() => registry.stop());
    const scene = new Scene(rig, network, registry);
    const secretFile = join(rig.dir, 'join-secret');
    await writeFile(secretFile, `${'s'.repeat(43)}\n`, { mode: 0o600 });
    const shared = {
      supernode: { listen: '0.0.0.0:6789', heartbeat: '500ms' },
      peer: { listen: '0.0.0.0:65002' },
      cluster: { secretFile },
      proxy: { defaultUpstream: 'registry.test' },
      upstreams: { '*': false, 'registry.test': { url: registry.url } },
      log: { format: 'json' },
      ...settings,
    };
    await writeFile(scene.#file, JSON.stringify(shared));
    return scene;
  }

  /** The store alone is a directory of its own, as on another machine. */
  start(host: Host, command: 'up' | 'proxy' | 'supernode'): Daemon {
    const env = { HAWKER_STORE_DIR: this.#storeOf(host) };
    const log = join(this.#rig.dir, `${host.name}-${command}.log`);
    const daemon = startOn(host, process.execPath, [MAIN, command, '--config', this.#file], log, env);
    this.#rig.onClose(() => daemon.stop(BOUND_MS));
    return daemon;
  }

  ask(host: Host, ...words: string[]): ReturnType<typeof runOn> {
    const env = `HAWKER_STORE_DIR=${this.#storeOf(host)}`;
    return runOn(host, 'env', [env, process.execPath, MAIN, ...words, '--config', this.#file], BOUND_MS);
  }

  async peers(host: Host): Promise<Peers['peers']> {
    const { code, stdout } = await this.ask(host, 'peers', '--json');
    return code === 0 ? (JSON.parse(stdout) as Peers).peers : [];
  }

  /** Until those addresses are ready, as asked on a host; nobody else is there. */
  async ready(host: Host, addresses: readonly string[]): Promise<void> {
    await until(`ready are ${addresses.join(', ')}`, BOUND_MS, async () => {
      const peers = await this.peers(host);
      const ready = peers.filter(({ state }) => state === 'ready').map((peer) => peer.addresses.join());
      return peers.length === addresses.length && ready.toSorted().join() === addresses.toSorted().join();
    });
  }

  /** A blob that everybody pulls one after the other: whom its bytes are from is known by the registry. */
  async pullOneByOne(hosts: readonly Host[]): Promise<number> {
    const digest = await this.registry.push(BLOB_BYTES);
    for (const host of hosts) {
      const got = await digestOn(host, `${MIRROR}${blobPath(digest)}`, BOUND_MS);
      if (got !== digest) throw new Error(`${host.name} got ${got}`);
    }
    const requests = await this.registry.blobRequests(digest);
    return requests.filter(({ method }) => method === 'GET').reduce((sum, { written }) => sum + written, 0);
  }

  #storeOf({ name }: Host): string {
    return join(this.#rig.dir, `store-${name}`);
  }
}

e2e(
  t,
  'a supernode and two proxies; the one on its machine is reached from elsewhere, too',
  PROGRAMS,
  async (t, rig) => {
    const scene = await Scene.create(rig, { supernodes: ['http://10.88.0.11:6789'] });
    const [one, two] = [
      await scene.network.host('one-a', '10.88.0.11'),
      await scene.network.host('one-b', '10.88.0.12'),
    ];
    // As where docker runs: the same on every machine, and of no use to any other.
    for (const { name } of [one, two]) await bridge(name, '172.17.0.1');
    scene.start(one, 'supernode');
    scene.start(one, 'proxy');
    scene.start(two, 'proxy');
    await scene.ready(two, ['10.88.0.11:65002', '10.88.0.12:65002']);
    t.equal(
      await scene.pullOneByOne([one, two]),
      BLOB_BYTES,
      'one fetched it from the registry, the other from that one',
    );
    t.equal(await scene.pullOneByOne([two, one]), BLOB_BYTES, 'and the other way');
    for (const host of [one, two]) {
      const doctor = await scene.ask(host, 'doctor');
      t.match(doctor.stdout, `has reached ${host.address}:65002`);
      t.same(doctor.stdout.match(/^FAILED.*$/gm), null, doctor.stdout);
      t.match((await scene.ask(host, 'status')).stdout, `pieces     at ${host.address}:65002`);
    }
  },
);

e2e(t, '`hawker up` on the one machine, `hawker proxy` on the other', PROGRAMS, async (t, rig) => {
  const scene = await Scene.create(rig, { supernodes: ['http://10.88.0.11:6789'] });
  const [one, two] = [await scene.network.host('one-a', '10.88.0.11'), await scene.network.host('one-b', '10.88.0.12')];
  await bridge('one-a', '172.17.0.1');
  scene.start(one, 'up');
  const proxy = scene.start(two, 'proxy');
  await scene.ready(one, ['10.88.0.11:65002', '10.88.0.12:65002']);
  t.equal(await scene.pullOneByOne([one, two]), BLOB_BYTES);

  // Another address, as by DHCP: the session breaks, and the next one has it.
  await must('ip', ['-n', 'one-b', 'address', 'delete', '10.88.0.12/16', 'dev', 'eth0']);
  await must('ip', ['-n', 'one-b', 'address', 'add', '10.88.0.99/16', 'dev', 'eth0']);
  await scene.ready(one, ['10.88.0.11:65002', '10.88.0.99:65002']);
  t.ok(proxy.running);

  await proxy.stop(BOUND_MS);
  const doctor = await scene.ask(two, 'doctor');
  t.match(doctor.stdout, 'doctor listened in its place; http://10.88.0.11:6789 has reached 10.88.0.99:65002');
});

e2e(t, 'no address, or more than one, in the process of the supernode', PROGRAMS, async (t, rig) => {
  const scene = await Scene.create(rig, {});
  const one = await scene.network.host('one-a', '10.88.0.11');
  await bridge('one-a', '172.17.0.1');
  const up = scene.start(one, 'up');
  await until('it is there without an address', BOUND_MS, async () => {
    const [peer] = await scene.peers(one);
    return peer?.state === 'unreachable' && peer.reason === 'it advertises no address' && peer.addresses.length === 0;
  });
  const why = /it has more than one IPv4 address: .*10\.88\.0\.11 \(eth0\).*172\.17\.0\.1 \(docker0\)|172.*10\.88/;
  t.match(up.log(), /"level":"warn"[^\n]*"code":"OWN_ADDRESS_UNKNOWN"[^\n]*"todo":"set peer\.advertise/);
  t.match(up.log(), why);
  t.equal(up.log().split('"OWN_ADDRESS_UNKNOWN"').length, 2, 'said once');
  const status = await scene.ask(one, 'status');
  t.match(status.stdout, /pieces +OWN_ADDRESS_UNKNOWN: no address is advertised.*\n +to do +set peer\.advertise/);
  const doctor = await scene.ask(one, 'doctor');
  t.match(doctor.stdout, /FAILED +dial-back[^]*DIAL_BACK_FAILED[^\n]*it has more than one IPv4 address/);
  t.equal(doctor.code, 1);
  const digest = await scene.registry.push(BLOB_BYTES);
  t.equal(await digestOn(one, `${MIRROR}${blobPath(digest)}`, BOUND_MS), digest, 'pulls go on');

  await must('ip', ['-n', 'one-a', 'link', 'delete', 'docker0']);
  await scene.ready(one, ['10.88.0.11:65002']);
  await must('ip', ['-n', 'one-a', 'address', 'delete', '10.88.0.11/16', 'dev', 'eth0']);
  await until('its address is gone', BOUND_MS, async () => (await scene.peers(one))[0]?.state === 'unreachable');
  await must('ip', ['-n', 'one-a', 'address', 'add', '10.88.0.12/16', 'dev', 'eth0']);
  await scene.ready(one, ['10.88.0.12:65002']);
  t.match(JSON.parse((await getOn(one, `${API}/api/v1/status`))!), {
    advertised: { addresses: ['10.88.0.12:65002'], code: '' },
  });
});

/** An interface of that machine alone, with somebody at its other end. */
async function bridge(host: string, address: string): Promise<void> {
  await must('ip', ['-n', host, 'link', 'add', 'docker0', 'type', 'veth', 'peer', 'name', 'container']);
  await must('ip', ['-n', host, 'address', 'add', `${address}/16`, 'dev', 'docker0']);
  for (const end of ['docker0', 'container']) await must('ip', ['-n', host, 'link', 'set', end, 'up']);
}
