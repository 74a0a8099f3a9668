import { silentLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { Inventory } from '../../src/p2p/peer/inventory.ts';
import { SupernodeRefused, SupernodeUnreachable } from '../../src/p2p/peer/session-errors.ts';
import { PeerSession } from '../../src/p2p/peer/session.ts';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import { socketPair, type SessionSocket } from '../../src/p2p/protocol/socket.ts';
import { Supernode } from '../../src/p2p/supernode/supernode.ts';
import { randomFrom } from '../support/random.ts';
import { VirtualClock } from './virtual-clock.ts';

/** In which registrations are counted to find the worst instant. */
export const BUCKET_MS = 100;
const HEARTBEAT_MS = 5000;
/** Until everybody has a good session behind it. */
const CALM_MS = 15_000;
/** Who is not back by then will not be. */
const LIMIT_MS = 120_000;
const SECRET = 'a secret that nobody needs to keep';

/** One run: so many proxies whose supernode goes away for a time and comes back. Times in milliseconds. */
export interface Herd {
  readonly proxies: number;
  readonly outageMs: number;
  /** Without it all wait for the same time. */
  readonly jitter: boolean;
  /** What a registration costs the supernode: those that come meanwhile wait for their turn. 0: nothing. */
  readonly helloMs: number;
  readonly seed: number;
}

export interface HerdOutcome {
  /** From the supernode's return to each proxy's session, in order. */
  readonly times: readonly number[];
  readonly missing: number;
  /** The most connections, and the most `hello`, within 100 ms after its return; and all `hello`, of which each proxy needs one. */
  readonly worstConnections: number;
  readonly worstHellos: number;
  readonly hellos: number;
  /** The most connections within 100 ms that were refused while it was away. */
  readonly worstRefused: number;
  /** Connections for which it had no room just then. */
  readonly turnedAway: number;
  /** CPU time of both sides and the simulation for each that has come back, in milliseconds. */
  readonly cpuMs: number;
}

/** Counts what happens, in stretches of 100 ms. */
class Counter {
  total = 0;
  worst = 0;
  readonly #buckets = new Map<number, number>();

  add(now: number): void {
    const bucket = Math.floor(now / BUCKET_MS);
    const count = (this.#buckets.get(bucket) ?? 0) + 1;
    this.#buckets.set(bucket, count);
    this.total += 1;
    this.worst = Math.max(this.worst, count);
  }
}

/** Runs the proxies' and the supernode's own session code over sockets in memory, in virtual time. */
export async function runHerd(herd: Herd): Promise<HerdOutcome> {
  const clock = new VirtualClock();
  const random = herd.jitter ? randomFrom(herd.seed) : () => 0.5;
  const membership = new Membership(SECRET);
  const make = (): Supernode =>
    new Supernode({
      membership,
      heartbeatMs: HEARTBEAT_MS,
      version: '0.0.0',
      clock,
      log: silentLogger,
      metrics: new Metrics(),
    });
  let supernode: Supernode | undefined = make();
  let connections = new Counter();
  let hellos = new Counter();
  const refused = new Counter();
  const turnedAway = new Counter();
  let isFreeAt = 0;
  /** Registrations wait for their turn. */
  const queued = (socket: SessionSocket): SessionSocket => ({
    get backlog() {
      return socket.backlog;
    },
    listen: (listener) => socket.listen(listener),
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
    send(text) {
      if (!text.startsWith('{"t":"hello"')) {
        socket.send(text);
        return;
      }
      hellos.add(clock.monotonic());
      isFreeAt = Math.max(isFreeAt, clock.monotonic()) + herd.helloMs;
      if (isFreeAt <= clock.monotonic()) socket.send(text);
      else clock.after(isFreeAt - clock.monotonic(), () => socket.send(text));
    },
  });
  const open = async (): Promise<SessionSocket> => {
    if (!supernode) {
      refused.add(clock.monotonic());
      throw new SupernodeUnreachable({ address: 'supernode:6789', why: 'ECONNREFUSED' });
    }
    connections.add(clock.monotonic());
    if (!supernode.hasRoom) {
      turnedAway.add(clock.monotonic());
      throw new SupernodeRefused({ code: 'FULL', message: 'no room', address: 'supernode:6789', step: 'upgrade' });
    }
    const [near, far] = socketPair();
    supernode.accept(far, 'herd');
    return queued(near);
  };
  const candidates = async () => [{ address: 'supernode:6789', open }];
  const backAt = new Map<number, number>();
  const metrics = new Metrics();
  const sessions = Array.from({ length: herd.proxies }, (_none, n) => {
    const session = new PeerSession({
      urls: ['http://supernode:6789'],
      candidates,
      self: () => ({
        peer: `peer-${String(n).padStart(8, '0')}`,
        instance: 'instance-1',
        version: '0.0.0',
        host: `node-${n}`,
        addresses: [],
        zone: '',
      }),
      membership,
      inventory: new Inventory({ shelves: [] }),
      clock,
      log: silentLogger,
      metrics,
      random,
    });
    const user = {
      opened: () => void backAt.set(n, clock.monotonic()),
      heard: () => undefined,
      assigned: () => undefined,
      lost: () => undefined,
    };
    // They have been started over some time, as machines are.
    clock.after((n / herd.proxies) * HEARTBEAT_MS, () => session.start(user));
    return session;
  });
  const all = () => backAt.size === herd.proxies;
  await clock.runUntil(all);
  await clock.runUntil(() => false, CALM_MS);
  supernode.close();
  supernode = undefined;
  await clock.runUntil(() => false, herd.outageMs);
  backAt.clear();
  connections = new Counter();
  hellos = new Counter();
  isFreeAt = 0;
  const returnedAt = clock.monotonic();
  const cpu = process.cpuUsage();
  supernode = make();
  await clock.runUntil(all, LIMIT_MS);
  const { user, system } = process.cpuUsage(cpu);
  for (const session of sessions) session.close();
  supernode.close();
  return {
    times: [...backAt.values()].map((at) => at - returnedAt).sort((a, b) => a - b),
    missing: herd.proxies - backAt.size,
    worstConnections: connections.worst,
    worstHellos: hellos.worst,
    hellos: hellos.total,
    worstRefused: refused.worst,
    turnedAway: turnedAway.total,
    cpuMs: (user + system) / 1000 / herd.proxies,
  };
}
