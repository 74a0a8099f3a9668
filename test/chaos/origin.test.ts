/**
 * The registry, or what lies between, breaks off, stalls, and has its own idea of ranges. Invariants I1 and I2: as long as another
 * try can give the bytes, the client gets them on the same response.
 */
import t from 'tap';
import { catalogue } from './support/catalogue.ts';
import { NEXT_TRY, NOBODY, requests, upstreamBy } from './support/claims.ts';
import { pull } from './support/pull.ts';
import type { Row } from './support/row.ts';
import { strike } from './support/strike.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const WHOLE = { kind: 'whole', source: 'origin' } as const;

const BREAKS: Row[] = [
  {
    id: 'origin/cut',
    fault: 'the connection ends (FIN) in the middle of a blob: five blobs, each at another byte',
    seen: WHOLE,
    codes: ['ORIGIN_CUT'],
    moved: [requests(206, 5)],
    blamed: upstreamBy('ORIGIN_CUT'),
    without: NEXT_TRY,
    run: (scene) =>
      strike(scene, {
        layers: [3 * MiB, 2 * MiB + 1, MiB + 1, MiB, 200_000],
        before({ registry, image }, layer) {
          registry.faults.cut = { bytes: scene.between(1, image.layers[layer]!.bytes.length), times: 1 };
        },
      }),
  },
  {
    id: 'origin/reset-thrice',
    fault: 'the connection is reset (RST), three times in one blob',
    seen: WHOLE,
    codes: ['ORIGIN_CUT'],
    moved: [
      requests(206, { atLeast: 1, atMost: 3 }),
      { name: 'hawker_origin_bytes_total', by: { atLeast: 3 * MiB, atMost: 3 * MiB + 4 * KiB } },
    ],
    blamed: upstreamBy('ORIGIN_CUT'),
    without: {
      taken: 'asking for the rest alone, by range',
      edits: [
        {
          file: 'registry/blob-fetch.js',
          find: 'this.#rangesWork ? rangeHeader(progress)',
          replace: 'false ? rangeHeader(progress)',
        },
      ],
    },
    run: (scene) =>
      strike(scene, {
        layers: [3 * MiB],
        before({ registry }) {
          registry.faults.cut = { bytes: scene.between(100 * KiB, MiB), times: 3, reset: true };
        },
      }),
  },
  {
    id: 'origin/cut-before-headers',
    fault: 'the connection is closed without an answer, six times running',
    seen: WHOLE,
    codes: ['ORIGIN_CUT'],
    moved: [requests('error', 6), requests(200, 1)],
    blamed: upstreamBy('ORIGIN_CUT'),
    without: {
      taken: 'the second try at once, on another connection',
      edits: [
        {
          file: 'registry/blob-fetch.js',
          find: 'const MAX_IMMEDIATE_RETRIES = 2',
          replace: 'const MAX_IMMEDIATE_RETRIES = 0',
        },
        {
          file: 'p2p/peer/origin-reads.js',
          find: 'MAX_TRIES_WITHOUT_PROGRESS = 8',
          replace: 'MAX_TRIES_WITHOUT_PROGRESS = 2',
        },
      ],
    },
    run: (scene) =>
      strike(scene, {
        before({ registry }) {
          registry.faults.drop = { times: 6 };
        },
      }),
  },
  {
    id: 'origin/drops-reused',
    fault: 'kept-alive connections are closed just as they are used again',
    seen: WHOLE,
    codes: [],
    moved: [requests('error', 3), requests(200, 4)],
    blamed: NOBODY,
    without: {
      taken: 'the second try at once, on another connection',
      edits: [
        {
          file: 'registry/blob-fetch.js',
          find: 'const MAX_IMMEDIATE_RETRIES = 2',
          replace: 'const MAX_IMMEDIATE_RETRIES = 0',
        },
      ],
    },
    run: (scene) =>
      strike(scene, {
        layers: [2 * MiB, 300_000, 100_000, 50_000],
        before({ registry }) {
          registry.faults.dropReused = { times: 1 };
        },
      }),
  },
  {
    id: 'origin/stall-before-headers',
    fault: 'no answer to the request for a blob, the connection stays open',
    seen: WHOLE,
    codes: ['ORIGIN_TIMEOUT'],
    moved: [requests('error', 1), requests(200, 1)],
    blamed: upstreamBy('ORIGIN_TIMEOUT'),
    without: {
      taken: 'the time limit for headers',
      edits: [{ file: 'registry/limits.js', find: 'headersMs: 15_000', replace: 'headersMs: 150_000' }],
    },
    run: (scene) =>
      strike(scene, {
        before({ registry }) {
          registry.faults.stall = { bytes: -1, times: 1 };
        },
      }),
  },
  {
    id: 'origin/stall-after-headers',
    fault: 'a blob stops coming in the middle, the connection stays open',
    seen: WHOLE,
    codes: ['ORIGIN_STALLED'],
    moved: [requests(200, 1), requests(206, 1)],
    blamed: upstreamBy('ORIGIN_STALLED'),
    without: {
      taken: 'the watch for silence',
      edits: [{ file: 'registry/limits.js', find: 'stallMs: 10_000', replace: 'stallMs: 100_000' }],
    },
    run: (scene) =>
      strike(scene, {
        before({ registry, layer }) {
          registry.faults.stall = { bytes: scene.between(1, layer.bytes.length), times: 1 };
        },
      }),
  },
  {
    id: 'origin/stall-for-one-of-two',
    fault: 'one node’s way to the registry falls silent in the middle of a blob; another node can read it',
    seen: WHOLE,
    codes: [],
    moved: [{ name: 'hawker_peer_bytes_total', labels: { direction: 'in' }, by: { atLeast: MiB } }],
    blamed: NOBODY,
    without: {
      taken: 'leasing to others what somebody does not get on with',
      edits: [
        { file: 'p2p/supernode/limits.js', find: 'LEASE_SILENT_MS = 2000', replace: 'LEASE_SILENT_MS = 60_000' },
        {
          file: 'p2p/supernode/leases.js',
          find: 'else if (!this.#finder.unclaimed(wish) && !early)\n            this.#finder.half(wish);',
          replace: 'else\n            this.#finder.unclaimed(wish);',
        },
      ],
    },
    async run(scene) {
      const layers = [24 * MiB];
      const [far, near] = [await scene.origin({ layers }), await scene.origin({ layers })];
      const swarm = await scene.swarm(far.registry.url);
      const node = await scene.join(swarm, 'stalled', far.registry.url);
      const other = await scene.join(swarm, 'other', near.registry.url);
      await Promise.all([scene.resolve(node, far), scene.resolve(other, near)]);
      // In the middle of a piece: one of which nothing has come is given to another at once.
      far.registry.faults.stall = { bytes: 2.5 * MiB, times: Infinity };
      const pulling = pull(node, far.layer);
      await far.registry.until(() => far.registry.blobBytes() >= 2.5 * MiB);
      const [mine] = await Promise.all([pulling, pull(other, near.layer)]);
      return { node, pulls: [mine] };
    },
  },
  {
    id: 'origin/slow',
    fault: 'the registry gives 1 MB/s, so that a blob takes longer than any silence may',
    seen: WHOLE,
    codes: [],
    moved: [requests(200, 1), requests(206, 0)],
    blamed: NOBODY,
    without: {
      taken: 'that each byte begins the wait anew',
      edits: [
        {
          file: 'registry/http-read.js',
          find: 'if (this.#over)\n            return;\n        this.#progressAt = this.#context.clock.monotonic();',
          replace: 'if (this.#over)\n            return;',
        },
      ],
    },
    run: (scene) =>
      strike(scene, {
        layers: [12 * MiB],
        before({ registry }) {
          registry.faults.bytesPerSecond = 1_000_000;
        },
      }),
  },
];

const RANGES: Row[] = [
  {
    id: 'origin/ignores-range',
    fault: 'a blob breaks off, and the request for its rest is answered 200 with all of it',
    seen: WHOLE,
    codes: ['ORIGIN_CUT'],
    moved: [requests(200, 2), requests(206, 0)],
    blamed: upstreamBy('ORIGIN_CUT'),
    without: {
      taken: 'skipping what is here already',
      edits: [{ file: 'registry/blob-body.js', find: 'skip: position, stopAtEnd', replace: 'skip: 0, stopAtEnd' }],
    },
    run: (scene) => cutOnce(scene, ({ registry }) => (registry.faults.ignoreRange = true)),
  },
  {
    id: 'origin/wrong-content-range',
    fault: 'a blob breaks off, and the 206 with its rest says that it begins elsewhere',
    seen: WHOLE,
    codes: ['ORIGIN_CUT', 'ORIGIN_BAD_RESPONSE'],
    moved: [requests(206, 1), requests(200, 2)],
    blamed: upstreamBy('ORIGIN_BAD_RESPONSE'),
    without: {
      taken: 'the look at where a part begins',
      edits: [{ file: 'registry/blob-body.js', find: 'part.start !== position', replace: 'false' }],
    },
    run: (scene) =>
      cutOnce(scene, ({ registry }) => {
        registry.faults.contentRange = 'wrong';
        // What goes beyond the end of the blob could not be right in any case.
        registry.faults.maxRange = 1000;
      }),
  },
  {
    id: 'origin/no-content-range',
    fault: 'a blob breaks off, and the 206 with its rest has no Content-Range',
    seen: WHOLE,
    codes: ['ORIGIN_CUT', 'ORIGIN_BAD_RESPONSE'],
    moved: [requests(206, 1), requests(200, 2)],
    blamed: upstreamBy('ORIGIN_BAD_RESPONSE'),
    without: {
      taken: 'asking for the whole where ranges are answered wrongly',
      edits: [{ file: 'registry/blob-fetch.js', find: 'this.#rangesWork = false', replace: 'this.#rangesWork = true' }],
    },
    run: (scene) => cutOnce(scene, ({ registry }) => (registry.faults.contentRange = 'missing')),
  },
];

function cutOnce(scene: Parameters<Row['run']>[0], more: Parameters<typeof strike>[1]['before']) {
  return strike(scene, {
    before(origin, layer) {
      origin.registry.faults.cut = { bytes: scene.between(1, origin.layer.bytes.length - 2000), times: 1 };
      more(origin, layer);
    },
  });
}

catalogue(t, [...BREAKS, ...RANGES]);
