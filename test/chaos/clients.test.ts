/**
 * Clients that hang up, dawdle, or come in crowds. Invariants I3 and I5: memory and descriptors are bounded, whoever behaves well gets
 * its bytes meanwhile, and the registry is read once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Hawker } from '../e2e/support/hawker.ts';
import { within } from '../e2e/support/wait.ts';
import type { TestBlob } from '../support/hostile-registry.ts';
import { whenClosed } from '../support/when-closed.ts';
import { beside } from './support/beside.ts';
import { catalogue } from './support/catalogue.ts';
import { NOBODY } from './support/claims.ts';
import { Footprint } from './support/footprint.ts';
import { metricsOf } from './support/metrics.ts';
import { pull, REPOSITORY } from './support/pull.ts';
import { RawClient } from './support/raw-client.ts';
import type { Moved, Row } from './support/row.ts';
import type { Origin, Scene } from './support/scene.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** What a process may keep: 48 MiB of buffers, and heaps grow in steps. */
const KEPT_BYTES = 128 * MiB;
/** One waits for time limits, the other keeps two cores busy. */
const JOBS = 2;
/** For a row that keeps two cores busy, on a machine that has other things to do. */
const HEAVY_BOUND_MS = 150_000;

const WHOLE = { kind: 'whole', source: /origin|mixed|store/ } as const;
/** One copy, however many ask. */
const oneCopy = (bytes: number): Moved => ({ name: 'hawker_origin_bytes_total', by: bytes });

async function stage(scene: Scene, size: number): Promise<Origin & { node: Hawker; before: string }> {
  const origin = await scene.origin({ layers: [size] });
  const node = await scene.node(origin.registry.url);
  await scene.resolve(node, origin);
  return { ...origin, node, before: await metricsOf(node) };
}

function requestOf({ digest }: TestBlob, headers = ''): string {
  return `GET /v2/${REPOSITORY}/blobs/${digest} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`;
}

/** Asks for a blob, and is gone after so many bytes of the answer. */
async function hangUpAfter(node: Hawker, blob: TestBlob, bytes: number, how: 'fin' | 'reset'): Promise<void> {
  const client = await RawClient.open(node, { keeps: false });
  client.send(requestOf(blob));
  const { socket } = client;
  await new Promise<void>((resolve) => {
    const look = () => (client.bytes >= bytes ? resolve() : undefined);
    socket.on('data', look).once('close', () => resolve());
    look();
  });
  client.hangUp(how);
}

const ROWS: Row[] = [
  {
    id: 'clients/slowloris',
    fault: '500 clients that give a header a byte at a time, and never end it',
    seen: { kind: 'whole', source: /origin|mixed|store/ },
    codes: [],
    moved: [oneCopy(MiB)],
    blamed: NOBODY,
    boundMs: 150_000,
    without: {
      taken: 'the time limit for the head of a request',
      edits: [
        { file: 'proxy/http-server.js', find: 'headersTimeout: HEADERS_MS', replace: 'headersTimeout: 0' },
        { file: 'proxy/http-server.js', find: 'requestTimeout: REQUEST_MS', replace: 'requestTimeout: 0' },
      ],
    },
    async run(scene) {
      const { node, layer, before } = await stage(scene, MiB);
      const footprint = new Footprint(node);
      const clients = await Promise.all(Array.from({ length: 500 }, () => RawClient.open(node)));
      const startedAt = performance.now();
      for (const client of clients) client.send('GET /v2/ HTTP/1.1\r\nX-Slow: ');
      const drip = setInterval(() => {
        for (const { socket } of clients) if (socket.writable) socket.write('a');
      }, 1000);
      const ended = within(
        'the node closes them',
        130_000,
        Promise.all(clients.map(({ socket }) => whenClosed(socket))),
      );
      const { pulls } = await beside(node, layer, ended, 500);
      clearInterval(drip);
      const faults: string[] = [];
      const unanswered = clients.filter(({ received }) => !received.toString().startsWith('HTTP/1.1 408 ')).length;
      if (unanswered > 0) faults.push(`${unanswered} had no 408`);
      faults.push(...footprint.peakFaults(KEPT_BYTES), ...(await footprint.backFaults(KEPT_BYTES)));
      return { node, before, pulls, faults, seconds: (performance.now() - startedAt) / 1000 };
    },
  },
  {
    id: 'clients/hang-up',
    fault: '200 clients of one blob that hang up at any byte (FIN or RST), while it comes in and when it is stored',
    seen: WHOLE,
    codes: [],
    moved: [oneCopy(8 * MiB + 1)],
    blamed: NOBODY,
    boundMs: HEAVY_BOUND_MS,
    without: {
      taken: 'going on with a download for those who stay',
      edits: [
        {
          file: 'p2p/peer/download.js',
          find: 'if (!this.isIdle)\n            this.needsChanged();',
          replace: 'if (!this.isIdle)\n            this.#fail(new DownloadsClosed({}));',
        },
      ],
    },
    async run(scene) {
      const { node, layer, registry, before } = await stage(scene, 8 * MiB + 1);
      registry.faults.bytesPerSecond = 8 * MiB;
      const footprint = new Footprint(node);
      const crowd = () =>
        Promise.all(
          Array.from({ length: 100 }, () =>
            hangUpAfter(node, layer, scene.between(0, layer.bytes.length), scene.random() < 0.5 ? 'fin' : 'reset'),
          ),
        );
      const cold = await beside(node, layer, crowd());
      const stored = await beside(node, layer, crowd());
      const faults = [...footprint.peakFaults(160 * MiB), ...(await footprint.backFaults(KEPT_BYTES))];
      return { node, before, pulls: [...cold.pulls, ...stored.pulls], faults };
    },
  },
  {
    id: 'clients/slow',
    fault: '40 clients that read a blob at 10 KB/s',
    seen: WHOLE,
    codes: [],
    moved: [oneCopy(24 * MiB)],
    blamed: NOBODY,
    boundMs: HEAVY_BOUND_MS,
    without: {
      taken: 'reading on only when a buffer is free',
      edits: [
        {
          file: 'http/body-out.js',
          find: 'this.#idle.pop() ?? this.#take()',
          replace: 'Buffer.alloc(1048576)',
        },
      ],
    },
    async run(scene) {
      const { node, layer, before } = await stage(scene, 24 * MiB);
      const footprint = new Footprint(node);
      const clients = await Promise.all(Array.from({ length: 40 }, () => RawClient.open(node, { keeps: false })));
      for (const client of clients) {
        client.socket.pause();
        client.send(requestOf(layer));
      }
      const drip = setInterval(() => {
        for (const { socket } of clients) socket.read(10_000);
      }, 1000);
      const { pulls } = await beside(node, layer, sleep(6000));
      clearInterval(drip);
      const peak = footprint.peakFaults(160 * MiB);
      for (const client of clients) client.hangUp();
      return { node, before, pulls, faults: [...peak, ...(await footprint.backFaults(KEPT_BYTES))] };
    },
  },
  {
    id: 'clients/500-at-once',
    fault: '500 clients that ask for the same cold blob at the same moment',
    seen: WHOLE,
    codes: [],
    moved: [oneCopy(MiB + 100 * KiB)],
    blamed: NOBODY,
    boundMs: HEAVY_BOUND_MS,
    without: {
      taken: 'one download for all who ask for a blob',
      edits: [
        {
          file: 'p2p/peer/downloads.js',
          find: 'this.#table.get(request.digest) ?? this.#begin(request)',
          replace: 'this.#begin(request)',
        },
      ],
    },
    async run(scene) {
      const { node, layer, before } = await stage(scene, MiB + 100 * KiB);
      const footprint = new Footprint(node);
      const pulls = await within(
        '500 answers',
        HEAVY_BOUND_MS,
        Promise.all(Array.from({ length: 500 }, () => pull(node, layer))),
      );
      return {
        node,
        before,
        pulls,
        faults: [...footprint.peakFaults(256 * MiB), ...(await footprint.backFaults(KEPT_BYTES))],
      };
    },
  },
];

catalogue(t, ROWS, JOBS);
