import { once } from 'node:events';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { pino } from 'pino';
import type { Test } from 'tap';
import type { Audit } from '../../src/base/audit.ts';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { BufferPool } from '../../src/http/buffer-pool.ts';
import { Downloads } from '../../src/p2p/peer/downloads.ts';
import { SoloCoordinator } from '../../src/p2p/peer/solo-coordinator.ts';
import { AccessRules, type RuleSettings } from '../../src/proxy/access-rules.ts';
import { Logins } from '../../src/proxy/logins.ts';
import { createMirror, type Mirror } from '../../src/proxy/mirror.ts';
import type { MirrorTls } from '../../src/proxy/mirror-tls.ts';
import type { Users } from '../../src/proxy/users.ts';
import type { Preheating, StoreRoom } from '../../src/proxy/preheating.ts';
import type { Vouchers } from '../../src/p2p/peer/vouchers.ts';
import { Upstreams, type UpstreamSettings } from '../../src/registry/upstreams.ts';
import type { BlobStore } from '../../src/store/blob-store.ts';
import { Refs } from '../../src/store/refs.ts';
import { ShownBlobs } from '../../src/store/shown-blobs.ts';
import { HostileRegistry } from '../support/hostile-registry.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { PATIENCE_MS } from '../support/patience.ts';

/** The name under which the mirrors of these tests know the hostile registry. */
export const REGISTRY = 'origin.test';

/** A store that takes everything. */
export const PLENTY: StoreRoom = {
  usage: () => ({ quota: Number.MAX_SAFE_INTEGER }),
  disk: async () => ({ roomBytes: Number.MAX_SAFE_INTEGER, reserveBytes: 0, failure: undefined }),
};

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The response ended as its length said. */
  readonly whole: boolean;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly port?: number;
  readonly host?: string;
}

export interface RigOptions {
  readonly origin?: HostileRegistry;
  readonly upstream?: Partial<UpstreamSettings>;
  readonly store?: BlobStore;
  readonly refsDir?: string;
  readonly clock?: Clock;
  readonly listenHost?: string;
  readonly staleTagsMs?: number;
  readonly vouchers?: Vouchers;
  readonly names?: readonly string[];
  readonly audit?: Audit;
  readonly rules?: readonly RuleSettings[];
  readonly users?: Users;
  readonly tls?: MirrorTls;
  readonly room?: StoreRoom;
  /** Further registries: URLs by host. */
  readonly others?: Readonly<Record<string, string>>;
}

/** A mirror in this process with everything real behind it but for the origin (hostile) and the disk (in memory). */
export class Rig {
  readonly origin: HostileRegistry;
  readonly store: BlobStore;
  readonly refs: Refs;
  readonly metrics = new Metrics();
  /** Every line that was logged. */
  readonly lines: string[] = [];
  readonly mirror: Mirror;
  readonly rules: AccessRules;
  readonly logins: Logins | undefined;
  readonly #upstreams: Upstreams;
  readonly #downloads: Downloads;
  readonly #shownBlobs: ShownBlobs;
  /** Ports of the shared listener, and of one that is bound to the registry; */
  port = 0;
  boundPort = 0;
  /** Of one that asks for logins, and of one that speaks plain HTTP whatever the others do. */
  loginPort = 0;
  plainPort = 0;
  #closed = false;

  private constructor(options: RigOptions & { origin: HostileRegistry; refs: Refs; shownBlobs: ShownBlobs }) {
    const clock = options.clock ?? new ShiftedClock();
    const { metrics } = this;
    const log = pino({ level: 'debug' }, { write: (line: string) => void this.lines.push(line) });
    this.origin = options.origin;
    this.store = options.store ?? new MemoryStore();
    this.refs = options.refs;
    const settings = { url: this.origin.url, insecure: false, allow: ['127.0.0.0/8'], ...options.upstream };
    const others = Object.entries(options.others ?? {}).map(([host, url]) => [host, { ...settings, url }] as const);
    const upstreams = { [REGISTRY]: settings, 'docker.io': settings, ...Object.fromEntries(others) };
    this.#upstreams = new Upstreams(upstreams, { log, metrics, clock });
    const pool = new BufferPool();
    const { store } = this;
    const { shownBlobs } = options;
    this.#shownBlobs = shownBlobs;
    const solo = new SoloCoordinator({ clock, log });
    this.#downloads = new Downloads({ store, coordinator: solo, solo, shownBlobs, pool, clock, log, metrics });
    const listen = { host: options.listenHost ?? '127.0.0.1', port: 0 };
    this.rules = new AccessRules(options.rules ?? []);
    this.logins = options.users && new Logins({ clock, users: options.users });
    const more = { listen, upstream: undefined, login: false, tls: true };
    this.mirror = createMirror({
      rules: this.rules,
      logins: this.logins,
      tls: options.tls,
      settings: {
        listen,
        login: false,
        listeners: [
          { ...more, upstream: REGISTRY },
          { ...more, login: true },
          { ...more, tls: false },
        ],
        defaultUpstream: 'docker.io',
        staleTagsMs: options.staleTagsMs ?? 86_400_000,
        ...(options.names && { names: options.names }),
      },
      upstreams: this.#upstreams,
      downloads: this.#downloads,
      refs: this.refs,
      room: options.room ?? PLENTY,
      vouchers: options.vouchers,
      audit: options.audit,
      pool,
      log,
      metrics,
      clock,
    });
  }

  get preheating(): Preheating {
    return this.mirror.preheating;
  }

  static async start(t: Test, options: RigOptions = {}): Promise<Rig> {
    const origin = options.origin ?? (await HostileRegistry.start());
    const dir = options.refsDir ?? t.testdir();
    const clock = options.clock ?? new ShiftedClock();
    const refs = await Refs.open({ dir, log: pino({ level: 'silent' }), clock });
    const rig = new Rig({ ...options, origin, refs, shownBlobs: ShownBlobs.open(dir) });
    const [shared, bound, login, plain] = await rig.mirror.listen();
    rig.port = shared!.port;
    rig.boundPort = bound!.port;
    rig.loginPort = login!.port;
    rig.plainPort = plain!.port;
    t.teardown(async () => {
      await rig.close();
      await origin.close();
    });
    return rig;
  }

  /** As when the configuration is read again. */
  changeUpstream(more: Partial<UpstreamSettings>): void {
    const settings = { url: this.origin.url, insecure: false, allow: ['127.0.0.0/8'], ...more };
    this.#upstreams.change({ [REGISTRY]: settings, 'docker.io': settings });
  }

  /** As when the process ends, in order. */
  async close(drainMs = 0): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.mirror.close(drainMs);
    await this.#downloads.close();
    await this.#upstreams.close();
    await this.refs.close();
    await this.#shownBlobs.settled();
  }

  /** Begins a request, on a connection of its own; resolves with the head of its response. */
  async open(path: string, options: AskOptions = {}): Promise<IncomingMessage> {
    const { method = 'GET', headers = {}, port = this.port, host = '127.0.0.1' } = options;
    const request = httpRequest({ host, port, path, method, headers, agent: false });
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    request.on('error', () => undefined);
    return response;
  }

  async ask(path: string, options: AskOptions = {}): Promise<Answer> {
    const response = await this.open(path, options);
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    await new Promise((resolve) => response.once('close', resolve).once('error', () => undefined));
    const { statusCode, headers, complete } = response;
    return { status: statusCode!, headers, body: Buffer.concat(chunks), whole: complete };
  }

  /** Sends bytes as they are; resolves with all that comes back until the mirror ends the connection. */
  async raw(bytes: string | Buffer, port = this.port): Promise<string> {
    const socket = connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    socket.write(bytes);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('latin1');
  }

  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const values = (await this.metrics.registry.getSingleMetric(name)!.get()).values as {
      value: number;
      labels: Record<string, string | number>;
    }[];
    return values
      .filter((v) => Object.entries(labels).every(([key, value]) => String(v.labels[key]) === value))
      .reduce((sum, v) => sum + v.value, 0);
  }
}

export interface OciError {
  readonly code: string;
  readonly message: string;
  readonly detail: { readonly code: string; readonly seen: string; readonly todo: string };
}

/** The system's clock, moved on at will: what is remembered with a time ages; timers stay. Waits between retries are cut short. */
export class ShiftedClock implements Clock {
  #shiftMs = 0;
  readonly sleep = (ms: number, signal?: AbortSignal): Promise<void> => systemClock.sleep(ms / 50, signal);
  readonly after = (ms: number, callback: () => void): (() => void) => systemClock.after(ms, callback);

  shift(ms: number): void {
    this.#shiftMs += ms;
  }

  now(): number {
    return systemClock.now() + this.#shiftMs;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#shiftMs;
  }
}

/** The one error in an OCI error body. */
export function errorIn(answer: Answer): OciError {
  return (JSON.parse(answer.body.toString()) as { errors: [OciError] }).errors[0];
}

/** Waits until `condition` holds, with a bound. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await condition());) {
    if (performance.now() > end) throw new Error(`it did not come to this: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
