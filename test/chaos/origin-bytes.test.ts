/**
 * The registry gives other bytes than the digest asks for, fewer, more, encoded, or without saying how many. Invariant I1: no wrong
 * byte completes an answer.
 */
import t from 'tap';
import type { HostileRegistry } from '../support/hostile-registry.ts';
import { catalogue } from './support/catalogue.ts';
import { NOBODY, requests, upstreamBy } from './support/claims.ts';
import { pullFaults, wholeFaults } from './support/judge.ts';
import { pull, REPOSITORY } from './support/pull.ts';
import type { Row } from './support/row.ts';
import { strike } from './support/strike.ts';

const MiB = 1024 * 1024;
const WHOLE = { kind: 'whole', source: 'origin' } as const;
const REFUSED = { kind: 'refused', code: 'BLOB_UNAVAILABLE' } as const;

/** The registry gives these bytes for the digest of the blob. */
function replace(registry: HostileRegistry, blob: Parameters<HostileRegistry['addBlob']>[1], bytes: Buffer): void {
  registry.addBlob(REPOSITORY, { ...blob, bytes });
}

const LOOK_AT_SIZE = {
  taken: 'the look at the size',
  edits: [{ file: 'p2p/peer/download.js', find: 'else if (total !== size)', replace: 'else if (false)' }],
};

const ROWS: Row[] = [
  {
    id: 'origin/wrong-byte',
    fault: 'right length, but one byte is wrong whenever the blob is read; a blob of 3 MiB, and one of 1 MiB',
    seen: { kind: 'cut' },
    codes: ['BLOB_DISPUTED', 'BLOB_DIGEST_MISMATCH'],
    moved: [{ name: 'hawker_http_requests_total', labels: { handler: 'blobs', status: '404' }, by: 1 }],
    blamed: { who: 'the upstream (in the text of `BLOB_DIGEST_MISMATCH`)' },
    without: {
      taken: 'the look at the digest',
      edits: [{ file: 'p2p/peer/download.js', find: 'if (actual === (this.content ?? actual))', replace: 'if (true)' }],
    },
    async run(scene) {
      const { node, image, before, pulls } = await strike(scene, {
        layers: [3 * MiB, MiB],
        before({ registry, layer }) {
          registry.faults.flip = { offset: scene.between(0, Math.min(MiB, layer.bytes.length)), times: Infinity };
        },
      });
      const [large, small] = pulls;
      const named = node.log().includes(`came from docker.io/${REPOSITORY} hash to`);
      const again = await pull(node, image.layers[0]!);
      return {
        node,
        before,
        pulls: [large!, again],
        faults: [
          ...pullFaults({ kind: 'refused', code: 'BLOB_DIGEST_MISMATCH' }, small!),
          ...(named ? [] : ['the log does not name the registry']),
        ],
      };
    },
  },
  {
    id: 'origin/wrong-byte-once',
    fault: 'right length, but one byte is wrong the first time that a blob is read',
    seen: WHOLE,
    codes: ['BLOB_DISPUTED', 'BLOB_DIGEST_MISMATCH'],
    moved: [requests(200, 2)],
    blamed: { who: 'the upstream (in the text of `BLOB_DIGEST_MISMATCH`)' },
    without: {
      taken: 'the second fetch of wrong bytes that have reached nobody',
      edits: [
        {
          file: 'p2p/peer/downloads.js',
          find: 'if (wasWrong || !(error instanceof BlobDigestMismatch))',
          replace: 'if (true)',
        },
      ],
    },
    run: (scene) =>
      strike(scene, {
        layers: [MiB],
        before({ registry, layer }) {
          registry.faults.flip = { offset: scene.between(0, layer.bytes.length), times: 1 };
        },
      }),
  },
  {
    id: 'origin/too-short',
    fault: 'the blob is shorter than its manifest says, and Content-Length agrees with that',
    seen: REFUSED,
    codes: ['BLOB_WRONG_SIZE'],
    moved: [requests(200, 3)],
    blamed: upstreamBy('BLOB_WRONG_SIZE'),
    without: LOOK_AT_SIZE,
    run: (scene) =>
      strike(scene, {
        before: ({ registry, layer }) =>
          replace(registry, layer, layer.bytes.subarray(0, scene.between(1, layer.bytes.length))),
      }),
  },
  {
    id: 'origin/too-short-once',
    fault: 'a chunked blob ends early, as if that were all; its rest can be read',
    seen: WHOLE,
    codes: ['BLOB_INCOMPLETE'],
    moved: [requests(206, 1)],
    blamed: upstreamBy('BLOB_INCOMPLETE'),
    without: {
      taken: 'noticing that a read has ended early',
      edits: [{ file: 'p2p/peer/origins.js', find: 'if (writer.position >= writer.stopAt', replace: 'if (true' }],
    },
    run: (scene) =>
      strike(scene, {
        before({ registry, layer }) {
          registry.faults.chunked = true;
          registry.faults.shorten = { bytes: scene.between(1, layer.bytes.length), times: 1 };
        },
      }),
  },
  {
    id: 'origin/too-long',
    fault: 'the blob is longer than its manifest says, and Content-Length agrees with that',
    seen: REFUSED,
    codes: ['BLOB_WRONG_SIZE'],
    moved: [requests(200, 3)],
    blamed: upstreamBy('BLOB_WRONG_SIZE'),
    without: LOOK_AT_SIZE,
    run: (scene) =>
      strike(scene, {
        before: ({ registry, layer }) => replace(registry, layer, Buffer.concat([layer.bytes, Buffer.alloc(1000)])),
      }),
  },
  {
    id: 'origin/too-long-chunked',
    fault: 'a chunked blob goes on after the size that its manifest says',
    seen: WHOLE,
    codes: [],
    moved: [requests(200, 1)],
    blamed: NOBODY,
    without: {
      taken: 'the end of a read where the blob ends',
      edits: [
        {
          file: 'p2p/peer/run-writer.js',
          find: 'if (this.#position >= this.#stopAt)\n                break;',
          replace: 'if (this.#position >= this.#stopAt) { this.#stopAt = Infinity; }',
        },
      ],
    },
    run: (scene) =>
      strike(scene, {
        before({ registry, layer }) {
          registry.faults.chunked = true;
          replace(registry, layer, Buffer.concat([layer.bytes, Buffer.alloc(MiB)]));
        },
      }),
  },
  {
    id: 'origin/chunked',
    fault: 'nobody says how long the blob is: no manifest was read, HEAD and GET give no Content-Length',
    seen: WHOLE,
    codes: [],
    moved: [requests(200, 1)],
    blamed: NOBODY,
    boundMs: 30_000,
    without: {
      taken: 'the end of the body as the end of the blob',
      edits: [{ file: 'p2p/peer/fetcher.js', find: 'this.#target.endedAt(writer.position)', replace: 'void 0' }],
    },
    async run(scene) {
      const { registry, layer } = await scene.origin();
      const node = await scene.node(registry.url);
      registry.faults.chunked = true;
      return { node, pulls: [await pull(node, layer)] };
    },
  },
  {
    id: 'origin/gzip',
    fault: 'the blob comes with Content-Encoding: gzip, which nobody asked for',
    seen: WHOLE,
    codes: [],
    moved: [requests(200, 1)],
    blamed: NOBODY,
    without: {
      taken: 'decoding',
      edits: [
        {
          file: 'registry/blob-body.js',
          find: 'const coding = this.#codingOf(headers);',
          replace: 'const coding = undefined;',
        },
      ],
    },
    run: (scene) =>
      strike(scene, {
        before({ registry }) {
          registry.faults.gzip = true;
        },
      }),
  },
  {
    id: 'origin/html-once',
    fault: 'status 200 with a web page once: a proxy is just being restarted',
    seen: WHOLE,
    codes: ['ORIGIN_BAD_RESPONSE'],
    moved: [requests(200, 2)],
    blamed: upstreamBy('ORIGIN_BAD_RESPONSE'),
    without: {
      taken: 'another try after one odd answer',
      edits: [{ file: 'p2p/peer/origins.js', find: 'MAX_ODD_ANSWERS = 3', replace: 'MAX_ODD_ANSWERS = 1' }],
    },
    run: (scene) =>
      strike(scene, {
        before({ registry }) {
          Object.assign(registry.faults, { html: true, htmlTimes: 1 });
        },
      }),
  },
  {
    id: 'origin/html',
    fault: 'status 200 with a web page each time: a login page, or the error page of a proxy',
    seen: REFUSED,
    codes: ['ORIGIN_BAD_RESPONSE'],
    moved: [requests(200, 4)],
    blamed: upstreamBy('ORIGIN_BAD_RESPONSE'),
    without: {
      taken: 'telling a web page from a blob',
      edits: [{ file: 'registry/blob-body.js', find: 'if (isHtmlType(mediaType))', replace: 'if (false)' }],
    },
    async run(scene) {
      const all = await strike(scene, {
        before({ registry }) {
          registry.faults.html = true;
        },
      });
      // Nothing of it is kept: once the page is gone, so is the fault.
      all.registry.faults.html = false;
      return { ...all, faults: wholeFaults(WHOLE, await pull(all.node, all.layer)) };
    },
  },
];

catalogue(t, ROWS);
