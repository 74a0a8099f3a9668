/**
 * A rolling upgrade: a supernode and three proxies under constant pulls, of which one after the other is replaced by a release of
 * another minor protocol version, loses no pull (I2). Another major version is refused, said on both sides, and pulls go on.
 */
import { hostname } from 'node:os';
import t, { type Test } from 'tap';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import type { Hawker } from './support/hawker.ts';
import { publishLarge, type Published } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { Puller } from './support/puller.ts';
import { Relay } from './support/relay.ts';
import { BUILT, makeRelease } from './support/release.ts';
import { e2e, type Rig } from './support/rig.ts';
import { Swarm } from './support/swarm.ts';
import { until } from './support/wait.ts';

const MiB = 1024 * 1024;
const STEP_BOUND_MS = 30_000;
/** Of the origin's link: an image takes a while, so that processes are replaced in the middle of pulls. */
const ORIGIN_RATE = 12 * MiB;
const IMAGE_BYTES = 12 * MiB;
/**
 * Copies of the images that may leave the origin; three nodes that know nothing of each other would take three. At the worst each of
 * the three restarts falls into a read, of which all is then read twice (three images of five once more), and all three nodes go on
 * alone while the supernode is replaced, with the one image that is coming in (twice more).
 */
const MOST_COPIES = 1 + 3 / 5 + 2 / 5;
/** Two of the three images may be read once more by the one that is turned away. */
const MOST_COPIES_WITH_OUTSIDER = MOST_COPIES + 2 / 3;
const MINOR = { version: '0.2.0', protocol: '1.1' };
const MAJOR = { version: '1.0.0', protocol: '2.0' };

/** A cluster of the built program, and a client at each proxy that never rests. */
class Scene {
  readonly swarm: Swarm;
  readonly relay: Relay;
  readonly proxies: readonly Hawker[];
  readonly pullers: readonly Puller[];
  readonly #rig: Rig;
  readonly #origin: Origin;
  readonly #images: Published[];

  private constructor(parts: {
    rig: Rig;
    origin: Origin;
    relay: Relay;
    swarm: Swarm;
    proxies: Hawker[];
    images: Published[];
  }) {
    this.#rig = parts.rig;
    this.#origin = parts.origin;
    this.relay = parts.relay;
    this.swarm = parts.swarm;
    this.proxies = parts.proxies;
    this.#images = parts.images;
    this.pullers = parts.proxies.map((proxy) => new Puller(proxy, this.#images));
  }

  static async start(rig: Rig): Promise<Scene> {
    const origin = await Origin.start(rig);
    const relay = await Relay.start(origin.url);
    rig.onClose(() => relay.close());
    const swarm = await Swarm.start(rig, relay.url, BUILT);
    const proxies = await Promise.all(['a', 'b', 'c'].map((name) => swarm.join(`node-${name}`, {}, BUILT)));
    const images = [await publishLarge(rig, origin, 'library/first', IMAGE_BYTES)];
    relay.paceTo(ORIGIN_RATE);
    const scene = new Scene({ rig, origin, relay, swarm, proxies, images });
    rig.onClose(() => scene.rest());
    return scene;
  }

  /** Does `step` while an image that nobody has is being pulled by all; waits until all have it. */
  async while(name: string, step: () => Promise<void>): Promise<void> {
    const image = await publishLarge(this.#rig, this.#origin, `library/${name}`, IMAGE_BYTES);
    this.#images.push(image);
    const layer = image.native.layers[0]!;
    await until(`${name}: it is coming in`, STEP_BOUND_MS, () => this.relay.bytesOf(`/blobs/${layer}`) > MiB);
    await step();
    await until(`${name}: everybody has it`, STEP_BOUND_MS, () => this.pullers.every((puller) => puller.has(image)));
  }

  /** Drains a proxy and starts another release in its place. */
  async replace(proxy: Hawker, main: string): Promise<void> {
    const puller = this.pullers[this.proxies.indexOf(proxy)]!;
    puller.isRestarting = true;
    proxy.main = main;
    await proxy.restart();
    puller.isRestarting = false;
  }

  async replaceSupernode(main: string): Promise<void> {
    await this.swarm.stopSupernode();
    await this.swarm.startSupernode(main);
  }

  async rest(): Promise<void> {
    await Promise.all(this.pullers.map((puller) => puller.stop()));
  }

  /** No pull has failed; what left the origin. */
  check(t: Test, mostCopies: number): void {
    for (const { pulls, failures, unanswered } of this.pullers) {
      t.same(failures, [], `${pulls} pulls, ${unanswered} requests while the mirror was restarted`);
      t.ok(pulls > this.#images.length);
    }
    const sizes = this.#images.flatMap(({ native }) => [...native.blobs]);
    const total = sizes.reduce((sum, [, size]) => sum + size, 0);
    const bytes = sizes.reduce((sum, [digest]) => sum + this.relay.bytesOf(`/blobs/${digest}`), 0);
    t.ok(bytes <= mostCopies * total, `${(bytes / total).toFixed(3)} copies of ${this.#images.length} images`);
  }
}

e2e(t, 'a rolling upgrade loses no pull', [...ORIGIN_PROGRAMS], async (t, rig) => {
  const minor = await makeRelease(rig, MINOR);
  const scene = await Scene.start(rig);
  const { swarm, proxies } = scene;
  const [a, b, c] = proxies as [Hawker, Hawker, Hawker];
  const protocols = async () => (await swarm.peers()).peers.map(({ protocol }) => protocol).toSorted();

  await scene.while('one', () => scene.replace(a, minor));
  await swarm.ready('a is back', proxies);
  t.same(await protocols(), ['1.0', '1.0', '1.1']);
  const { stdout } = await swarm.ask('peers');
  t.match(
    stdout,
    /^3 peers .*: 3 ready\.[^]*PROTOCOL[^]*Versions differ: 2 0\.1\.0, 1 0\.2\.0\.\n/,
    'peers shows the mix',
  );
  t.match(a.log(), /"level":"warn".*"code":"PROTOCOL_VERSION_DIFFERS".*upgrade the supernode soon/);

  await scene.while('two', () => scene.replaceSupernode(minor));
  await swarm.ready('all are known to the new supernode', proxies);
  t.match(b.log(), /"code":"PROTOCOL_VERSION_DIFFERS".*upgrade the proxy soon/);

  await scene.while('three', () => scene.replace(b, minor));
  await scene.while('four', () => scene.replace(c, minor));
  await swarm.ready('the upgrade is done', proxies);
  t.same(await protocols(), ['1.1', '1.1', '1.1']);
  const after = await swarm.ask('peers');
  t.match(after.stdout, /^3 peers .*: 3 ready\./);
  t.notMatch(after.stdout, /Versions differ|PROTOCOL|Rejected/);
  await scene.rest();
  scene.check(t, MOST_COPIES);
});

e2e(
  t,
  'another major version is refused, shown on both sides, and pulls go on',
  [...ORIGIN_PROGRAMS],
  async (t, rig) => {
    const major = await makeRelease(rig, MAJOR);
    const scene = await Scene.start(rig);
    const { swarm, proxies } = scene;
    const [, , c] = proxies as [Hawker, Hawker, Hawker];

    await scene.while('one', () => scene.replace(c, major));
    const message = 'the proxy speaks protocol 2.0, the supernode 1.0: upgrade the supernode';
    const refused = await until('it is listed as rejected', STEP_BOUND_MS, async () => {
      return (await swarm.peers()).rejected.find(({ code }) => code === 'PROTOCOL_VERSION');
    });
    t.match(refused, { host: hostname(), message });
    const { stdout } = await swarm.ask('peers');
    t.match(stdout, new RegExp(`Rejected registrations:[^]*${hostname()}[^]*PROTOCOL_VERSION[^]*${message}`));
    const status = (await (await fetch(`http://${c.api}/api/v1/status`)).json()) as object;
    t.match(status, { supernodes: [{ state: 'failed', code: 'PROTOCOL_VERSION', message: new RegExp(message) }] });

    await scene.while('two', async () => {});
    await swarm.ready('the others are', proxies.slice(0, 2));
    await scene.rest();
    scene.check(t, MOST_COPIES_WITH_OUTSIDER);
  },
);
