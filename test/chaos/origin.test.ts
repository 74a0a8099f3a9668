/**
 * The registry, or what lies between, breaks. Invariants I1 and I2: as long as another try can give the bytes the client gets them
 * on the same response; else it gets a clean answer, and never a wrong byte that completes.
 */
import t from 'tap';
import { catalogue } from './support/catalogue.ts';
import { pull, REPOSITORY } from './support/pull.ts';
import type { Row } from './support/row.ts';

const ORIGIN = `docker.io/${REPOSITORY}`;

const ROWS: Row[] = [
  {
    id: 'origin/stall-before-headers',
    fault: 'no answer to the request for a blob, the connection stays open',
    seen: { kind: 'whole', source: 'origin' },
    codes: ['ORIGIN_TIMEOUT'],
    moved: [{ name: 'hawker_origin_requests_total', labels: { method: 'GET', status: 'error' }, by: 1 }],
    blamed: { who: 'the upstream', code: 'ORIGIN_TIMEOUT', field: 'origin', name: ORIGIN },
    without: {
      taken: 'the time limit for headers',
      edits: [{ file: 'registry/limits.js', find: 'headersMs: 15_000', replace: 'headersMs: 150_000' }],
    },
    async run(scene) {
      const origin = await scene.origin();
      const node = await scene.node(origin.registry.url);
      await scene.resolve(node, origin);
      origin.registry.faults.stall = { bytes: -1, times: 1 };
      return { node, pulls: [await pull(node, origin.layer)] };
    },
  },
  {
    id: 'origin/stall-after-headers',
    fault: 'a blob stops coming in the middle, the connection stays open',
    seen: { kind: 'whole', source: 'origin' },
    codes: ['ORIGIN_STALLED'],
    moved: [{ name: 'hawker_origin_requests_total', labels: { method: 'GET', status: '206' }, by: 1 }],
    blamed: { who: 'the upstream', code: 'ORIGIN_STALLED', field: 'origin', name: ORIGIN },
    without: {
      taken: 'the watch for silence',
      edits: [{ file: 'registry/limits.js', find: 'stallMs: 10_000', replace: 'stallMs: 100_000' }],
    },
    async run(scene) {
      const origin = await scene.origin();
      const node = await scene.node(origin.registry.url);
      await scene.resolve(node, origin);
      origin.registry.faults.stall = { bytes: scene.between(0, origin.layer.bytes.length), times: 1 };
      return { node, pulls: [await pull(node, origin.layer)] };
    },
  },
];

catalogue(t, ROWS);
