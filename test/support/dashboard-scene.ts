import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { digestOf } from '../../src/base/digest.ts';
import { silentLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import { loadAssets } from '../../src/dashboard/assets.ts';
import { dashboardRoutes } from '../../src/dashboard/routes.ts';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import { packPieces } from '../../src/p2p/protocol/packed.ts';
import type { Supernode } from '../../src/p2p/supernode/supernode.ts';
import { ManualClock } from './manual-clock.ts';
import { Client, type HelloFields } from './session-client.ts';
import { askFrom, makeSupernode, SECRET, serve, until, type Phonebook } from './swarm-rig.ts';

const TICK_MS = 5000;

interface SceneOptions {
  readonly behindMs?: number;
  readonly heartbeatMs?: number;
  /** Of the supernode. */
  readonly version?: string;
}

/** A supernode with its dashboard, whose time is the test's, and proxies that say what a test tells them to. */
export class DashboardScene {
  readonly url: string;
  readonly supernode: Supernode;
  readonly clock: ManualClock;
  readonly #t: Test;
  readonly #book: Phonebook;
  #joined = 0;
  #wishes = 0;

  private constructor(t: Test, parts: { url: string; supernode: Supernode; clock: ManualClock; book: Phonebook }) {
    this.#t = t;
    this.url = parts.url;
    this.supernode = parts.supernode;
    this.clock = parts.clock;
    this.#book = parts.book;
  }

  /** The supernode's clock begins so far behind this machine's. Without `heartbeatMs` nobody grows stale. */
  static async start(t: Test, { behindMs = 0, ...options }: SceneOptions = {}): Promise<DashboardScene> {
    const clock = new ManualClock(Date.now() - behindMs);
    const book: Phonebook = new Map();
    const supernode = makeSupernode(clock, {
      ask: askFrom(book, new Membership(SECRET)),
      ...options,
    });
    const assets = await loadAssets();
    const { url } = await serve(t, supernode, {
      more: (app) => dashboardRoutes(app, { supernode, assets, clock: systemClock, log: silentLogger }),
    });
    return new DashboardScene(t, { url, supernode, clock, book });
  }

  /** A proxy that has registered, and can be reached unless `reachable` is false. */
  async join(
    host: string,
    { reachable = true, ...fields }: HelloFields & { reachable?: boolean } = {},
  ): Promise<Client> {
    this.#joined += 1;
    const peer = `peer-${String(this.#joined).padStart(4, '0')}`;
    const instance = `${peer}-first`;
    const address = `10.0.${Math.floor(this.#joined / 250)}.${this.#joined % 250}:65002`;
    if (reachable) this.#book.set(address, { peer, instance });
    const client = new Client(this.#t, this.url);
    await client.open({ peer, instance, addresses: [address], host, time: this.clock.now(), ...fields });
    await until(`${host} is known`, () => this.stateOf(peer) === (reachable ? 'ready' : 'unreachable'));
    return client;
  }

  stateOf(peer: string): string | undefined {
    return this.supernode.peers().peers.find(({ id }) => id === peer)?.state;
  }

  /** Downloads `pieces` MiB of which it has `have`. */
  want(client: Client, name: string, pieces: number, have: number): string {
    const digest = digestOf(name);
    const held = packPieces(
      Array.from({ length: have }, (_, piece) => piece),
      pieces,
    );
    this.#wishes += 1;
    const w = this.#wishes;
    const { epoch } = this.supernode;
    client.say({ t: 'want', epoch, w, digest, size: pieces * MiB, held, awaited: [] });
    return digest;
  }

  /** It has the whole. */
  announce(client: Client, name: string, pieces: number): string {
    const digest = digestOf(name);
    client.say({ t: 'announce', epoch: this.supernode.epoch, blobs: [[digest, pieces * MiB, '']] });
    return digest;
  }

  /** A beat with the bytes since its start, and the time to the next one. */
  async beat(clients: readonly (readonly [client: Client, bytes: readonly number[]])[]): Promise<void> {
    const answered = clients.map(([client, bytes], index) => {
      const n = Math.floor(this.clock.monotonic()) + index;
      client.say({ t: 'beat', n, time: this.clock.now(), bytes });
      return until('the beat is answered', () => client.got.some((one) => one.t === 'beat' && one.n === n));
    });
    await Promise.all(answered);
    await this.clock.advance(TICK_MS);
  }
}
