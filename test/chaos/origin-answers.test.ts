/**
 * The registry says no, not now, or sends its clients elsewhere; or it is not there at all. Invariants I2 and I4: what is a matter of
 * time is waited for, what another has is used, and everything else is a clean 404 on which every client asks the registry itself.
 */
import t from 'tap';
import type { Hawker } from '../e2e/support/hawker.ts';
import { closedPort } from '../support/odd-servers.ts';
import { catalogue } from './support/catalogue.ts';
import { NEXT_TRY, NOBODY, requests, upstreamBy } from './support/claims.ts';
import { wholeFaults } from './support/judge.ts';
import { metricsOf } from './support/metrics.ts';
import { pull, REPOSITORY } from './support/pull.ts';
import type { Evidence, Row, Without } from './support/row.ts';
import type { Origin, Scene } from './support/scene.ts';
import { strike } from './support/strike.ts';

const MiB = 1024 * 1024;
const WHOLE = { kind: 'whole', source: 'origin' } as const;
const REFUSED = { kind: 'refused', code: 'BLOB_UNAVAILABLE' } as const;

const STALE: Without = {
  taken: 'serving the last known digest of a tag',
  edits: [{ file: 'proxy/access.js', find: 'return read.anonymous && ', replace: 'return false && ' }],
};

/** Asks once more for the tag and the layer of an image that is here: both are to come from the store. */
async function again({ node, image, layer }: Evidence & Origin): Promise<Pick<Evidence, 'pulls' | 'faults'>> {
  const tag = await fetch(`${node.url}/v2/${REPOSITORY}/manifests/v1`);
  const isSame = Buffer.from(await tag.arrayBuffer()).equals(image.index.bytes);
  const blob = await pull(node, layer);
  const faults = [
    ...(tag.status === 200 && isSame ? [] : [`the tag: status ${tag.status}`]),
    ...(tag.headers.get('warning') === null ? ['the answer has no Warning'] : []),
    ...wholeFaults({ source: 'store' }, blob),
  ];
  return { pulls: [blob], faults };
}

const ANSWERS: Row[] = [
  {
    id: 'origin/server-error-twice',
    fault: 'status 503 twice, then all is well',
    seen: WHOLE,
    codes: ['ORIGIN_SERVER_ERROR'],
    moved: [requests(503, 2), requests(200, 1)],
    blamed: upstreamBy('ORIGIN_SERVER_ERROR'),
    without: {
      taken: 'a 5xx being worth another try',
      edits: [{ file: 'registry/failures.js', find: '(status >= 500 && status !== 501)', replace: 'false' }],
    },
    run: (scene) =>
      strike(scene, {
        before({ registry }) {
          registry.faults.status = { code: 503, times: 2 };
        },
      }),
  },
  {
    id: 'origin/server-error',
    fault: 'status 500 whenever the blob is asked for',
    seen: REFUSED,
    codes: ['ORIGIN_SERVER_ERROR'],
    moved: [requests(500, 8)],
    blamed: upstreamBy('ORIGIN_SERVER_ERROR'),
    without: {
      taken: 'the bound on tries',
      edits: [
        {
          file: 'p2p/peer/origin-reads.js',
          find: 'MAX_TRIES_WITHOUT_PROGRESS = 8',
          replace: 'MAX_TRIES_WITHOUT_PROGRESS = 8000',
        },
      ],
    },
    run: (scene) =>
      strike(scene, {
        before({ registry }) {
          registry.faults.status = { code: 500, times: Infinity };
        },
      }),
  },
  {
    id: 'origin/rate-limited',
    fault: 'status 429 with Retry-After: 3, and the same to whoever asks before that',
    seen: WHOLE,
    codes: ['ORIGIN_RATE_LIMITED'],
    moved: [requests(429, 1), requests(200, 1)],
    blamed: upstreamBy('ORIGIN_RATE_LIMITED'),
    without: {
      taken: 'waiting for as long as Retry-After says',
      edits: [
        { file: 'p2p/peer/origin-reads.js', find: 'Math.min(failure.retryAfterMs ?? 0,', replace: 'Math.min(0,' },
      ],
    },
    run: (scene) =>
      strike(scene, {
        before({ registry }) {
          registry.faults.status = { code: 429, times: Infinity, forMs: 2900, retryAfter: '3' };
        },
      }),
  },
  {
    id: 'origin/rate-limited-tag',
    fault: 'status 429 to every question about a tag that was pulled before',
    seen: { kind: 'told', words: 'the manifest as it was, with a `Warning`, and the blob, from store' },
    codes: ['SERVED_STALE'],
    moved: [{ name: 'hawker_client_bytes_total', labels: { source: 'store' }, by: { atLeast: MiB } }],
    blamed: { who: 'the upstream', code: 'SERVED_STALE', field: 'upstream', name: 'docker.io' },
    without: STALE,
    async run(scene) {
      const all = await strike(scene, { layers: [MiB], before: () => {} });
      const { faults } = all.registry;
      faults.on = ['manifest', 'blob'];
      faults.status = { code: 429, times: Infinity, retryAfter: '3600' };
      return { ...all, before: await metricsOf(all.node), ...(await again(all)) };
    },
  },
  {
    id: 'origin/token-expired',
    fault: 'a blob breaks off, and the token with which it was read is not good any more (401)',
    seen: WHOLE,
    codes: ['ORIGIN_CUT'],
    moved: [requests(401, 1), requests(206, 1)],
    blamed: upstreamBy('ORIGIN_CUT'),
    without: {
      taken: 'a new token in place of one that is refused',
      edits: [{ file: 'registry/authenticator.js', find: "sent?.replace(/^Bearer /, '')", replace: 'undefined' }],
    },
    async run(scene) {
      const origin = await scene.origin();
      const { registry, layer } = origin;
      registry.auth.mode = 'bearer';
      const node = await scene.node(registry.url);
      await scene.resolve(node, origin);
      const before = await metricsOf(node);
      registry.faults.cut = { bytes: scene.between(MiB, layer.bytes.length), times: 1 };
      registry.faults.bytesPerSecond = 2 * MiB;
      const pulling = pull(node, layer);
      await registry.until(() => registry.blobBytes() > 0);
      registry.auth.revokeTokens();
      return { node, before, pulls: [await pulling] };
    },
  },
];

/** One node, whose registry redirects its blobs. */
function redirected(scene: Scene, to: (url: string) => string | Promise<string>, times = Infinity) {
  return strike(scene, {
    role: { upstream: { allow: ['127.0.0.2'] } },
    async before({ registry, layer }) {
      registry.redirectBlobs = { status: 307 };
      const target = await to(`${registry.url}/v2/${REPOSITORY}/blobs/${layer.digest}`);
      let left = times;
      registry.redirectTo = () => {
        left -= 1;
        if (left === 0) registry.redirectTo = undefined;
        return target;
      };
    },
  });
}

const REDIRECTS: Row[] = [
  {
    id: 'origin/redirect-to-dead-once',
    fault: 'a redirect to a host where nobody listens; the next one leads to the blob',
    seen: WHOLE,
    codes: ['ORIGIN_UNREACHABLE'],
    moved: [requests(307, 2), requests('error', 1), requests(200, 1)],
    blamed: upstreamBy('ORIGIN_UNREACHABLE'),
    without: NEXT_TRY,
    run: (scene) => redirected(scene, async () => `http://127.0.0.1:${await closedPort()}/`, 1),
  },
  {
    id: 'origin/redirect-to-dead',
    fault: 'every redirect leads to a host where nobody listens',
    seen: REFUSED,
    codes: ['ORIGIN_UNREACHABLE'],
    moved: [requests(307, 8), requests('error', 8)],
    blamed: upstreamBy('ORIGIN_UNREACHABLE'),
    without: {
      taken: 'the bound on tries',
      edits: [
        {
          file: 'p2p/peer/origin-reads.js',
          find: 'MAX_TRIES_WITHOUT_PROGRESS = 8',
          replace: 'MAX_TRIES_WITHOUT_PROGRESS = 8000',
        },
      ],
    },
    run: (scene) => redirected(scene, async () => `http://127.0.0.1:${await closedPort()}/`),
  },
  {
    id: 'origin/redirect-loop',
    fault: 'a redirect to the very same URL',
    seen: REFUSED,
    codes: ['ORIGIN_REDIRECT_REFUSED'],
    moved: [requests(307, 11)],
    blamed: upstreamBy('ORIGIN_REDIRECT_REFUSED'),
    without: {
      taken: 'the bound on redirects',
      edits: [{ file: 'registry/redirects.js', find: 'MAX_REDIRECTS = 10', replace: 'MAX_REDIRECTS = 1e9' }],
    },
    run: (scene) => redirected(scene, (url) => url),
  },
  {
    id: 'origin/redirect-to-private',
    fault: 'a redirect to a private address, at which the blob could be had',
    seen: REFUSED,
    codes: ['ADDRESS_REFUSED'],
    moved: [requests(307, 1), requests('error', 1)],
    blamed: upstreamBy('ADDRESS_REFUSED'),
    without: {
      taken: 'the address gate',
      edits: [
        { file: 'http/address-gate.js', find: 'if (refused)', replace: 'if (false)' },
        { file: 'http/address-gate.js', find: '|| !isSpecialAddress(address)', replace: '|| true' },
      ],
    },
    async run(scene) {
      const all = await strike(scene, {
        before({ registry }) {
          registry.redirectBlobs = { status: 307 };
        },
      });
      const asked = all.registry.of('cdn').length;
      return { ...all, faults: asked === 0 ? [] : [`the private address was asked ${asked} times`] };
    },
  },
];

/** A node whose client knows the image, in a cluster in which another one holds the layer. */
async function besideHolder(scene: Scene, origin: Origin): Promise<Hawker> {
  const { registry, layer } = origin;
  const swarm = await scene.swarm(registry.url);
  // First the holder: whoever joins is told of those who are there.
  const holder = await scene.join(swarm, 'holder', registry.url);
  const node = await scene.join(swarm, 'node', registry.url);
  await Promise.all([holder, node].map((one) => scene.resolve(one, origin)));
  await pull(holder, layer);
  await swarm.held('the holder has said so', [layer.digest], 1);
  return node;
}

const GONE: Row[] = [
  {
    id: 'origin/storage-dead-but-a-peer-has-it',
    fault: 'the registry redirects to a storage that is not there; another node has the blob',
    seen: { kind: 'whole', source: /peers|mixed/ },
    codes: [],
    moved: [
      { name: 'hawker_peer_bytes_total', labels: { direction: 'in' }, by: { atLeast: MiB } },
      { name: 'hawker_origin_bytes_total', by: 0 },
    ],
    blamed: NOBODY,
    without: {
      taken: 'fetching from peers',
      edits: [{ file: 'p2p/peer/fetcher.js', find: 'if (!source || !this', replace: 'if (true || !this' }],
    },
    async run(scene) {
      const origin = await scene.origin();
      const { registry, layer } = origin;
      const node = await besideHolder(scene, origin);
      registry.redirectBlobs = { status: 307 };
      const dead = `http://127.0.0.1:${await closedPort()}/`;
      registry.redirectTo = () => dead;
      return { node, before: await metricsOf(node), pulls: [await pull(node, layer)] };
    },
  },
  {
    id: 'origin/gone-but-a-peer-has-it',
    fault: 'nothing listens at the registry any more since the manifests were read; another node has the blob',
    seen: { kind: 'whole', source: /peers|mixed/ },
    codes: [],
    moved: [{ name: 'hawker_peer_bytes_total', labels: { direction: 'in' }, by: { atLeast: MiB } }],
    blamed: NOBODY,
    without: {
      taken: 'taking a peer’s word for what it has read',
      edits: [{ file: 'proxy/access.js', find: '|| !this.#vouchers?.isAnybodyThere', replace: '|| true' }],
    },
    async run(scene) {
      const origin = await scene.origin();
      const node = await besideHolder(scene, origin);
      await origin.registry.close();
      return { node, before: await metricsOf(node), pulls: [await pull(node, origin.layer)] };
    },
  },
  {
    id: 'origin/gone-but-stored',
    fault: 'nothing listens at the registry any more; the image was pulled before',
    seen: { kind: 'told', words: 'the tag, with a `Warning`, and the blob, from store' },
    codes: ['SERVED_STALE'],
    moved: [{ name: 'hawker_origin_requests_total', labels: { method: 'HEAD', status: 'error' }, by: { atLeast: 1 } }],
    blamed: { who: 'the upstream', code: 'SERVED_STALE', field: 'upstream', name: 'docker.io' },
    without: STALE,
    async run(scene) {
      const all = await strike(scene, { layers: [MiB], before: () => {} });
      await all.registry.close();
      return { ...all, before: await metricsOf(all.node), ...(await again(all)) };
    },
  },
];

catalogue(t, [...ANSWERS, ...REDIRECTS, ...GONE]);
