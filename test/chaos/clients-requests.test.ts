/**
 * Clients that send what is no request, or ask for a blob in a thousand parts. Invariant I5, and what DESIGN asks of answers: each is
 * well-formed, none is a 5xx, and whoever behaves well gets its bytes meanwhile.
 */
import t from 'tap';
import type { Hawker } from '../e2e/support/hawker.ts';
import { ALLOWED } from '../e2e/support/wait.ts';
import { beside } from './support/beside.ts';
import { catalogue } from './support/catalogue.ts';
import { NOBODY } from './support/claims.ts';
import { Footprint } from './support/footprint.ts';
import { Draw, malformedRequest } from './support/grammar.ts';
import { metricsOf } from './support/metrics.ts';
import { pull, REPOSITORY, type Pull } from './support/pull.ts';
import { answersIn, RawClient, type RawAnswer } from './support/raw-client.ts';
import type { Row } from './support/row.ts';
import type { Scene } from './support/scene.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const KEPT_BYTES = 96 * MiB;
/** Rows at the same time: each keeps a core busy. */
const JOBS = 2;
/** Far more than they take, on a machine that has other things to do. */
const HEAVY_BOUND_MS = 150_000;
/** Nothing has come for so long: the node waits for the rest of what was no whole request. */
const QUIET_MS = 300;
/** So many times as long for the rest of an answer of which a part has come. */
const MOST_WAITS = 100;
const WHOLE = { kind: 'whole', source: /origin|mixed|store/ } as const;

async function stage(scene: Scene, size: number) {
  const origin = await scene.origin({ layers: [size] });
  const node = await scene.node(origin.registry.url);
  await scene.resolve(node, origin);
  return { ...origin, node };
}

/** What is wrong with the answers to one malformed request; some get none, for they might go on. */
async function fuzzOnce(node: Hawker, request: string): Promise<string[]> {
  const client = await RawClient.open(node);
  client.send(request);
  await client.over(QUIET_MS);
  // An answer that has begun is waited for.
  for (let waits = 0; waits < MOST_WAITS && !client.socket.destroyed && !isWhole(client.received); waits += 1)
    await client.over(QUIET_MS);
  client.hangUp();
  const shown = JSON.stringify(request.slice(0, 300));
  try {
    const answers = answersOf(client.received);
    return answers.flatMap(({ status, headers, body }) => [
      ...(status >= 500 ? [`status ${status} to ${shown}`] : []),
      ...(status >= 400 && headers.get('content-type') === 'application/json' && body.length > 0 && !isErrors(body)
        ? [`${body.toString().slice(0, 100)} to ${shown}`]
        : []),
    ]);
  } catch (error) {
    return [`${String(error)}, to ${shown}`];
  }
}

/** Of what is no request nobody can say whether it was to be HEAD, whose answer has no body. */
function answersOf(received: Buffer): RawAnswer[] {
  try {
    return answersIn(received, ['HEAD']);
  } catch {
    return answersIn(received);
  }
}

function isWhole(received: Buffer): boolean {
  try {
    return answersOf(received).length >= 0;
  } catch {
    return false;
  }
}

function isErrors(body: Buffer): boolean {
  return Array.isArray((JSON.parse(body.toString()) as { errors?: unknown }).errors);
}

async function fuzz(node: Hawker, draw: Draw, count: number, lanes = 40): Promise<string[]> {
  const faults: string[] = [];
  let left = count;
  const lane = async () => {
    while (left > 0 && faults.length < 5) {
      left -= 1;
      faults.push(...(await fuzzOnce(node, malformedRequest(draw))));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return faults;
}

const ROWS: Row[] = [
  {
    id: 'clients/malformed',
    fault: '10,000 malformed requests, made by a grammar',
    seen: WHOLE,
    codes: [],
    moved: [{ name: 'hawker_http_requests_total', by: { atLeast: 3000 } }],
    blamed: NOBODY,
    boundMs: HEAVY_BOUND_MS,
    without: {
      taken: '404 as the answer to whatever fails',
      edits: [
        { file: 'proxy/oci-errors.js', find: '?? [404, UNKNOWN[subject]]', replace: '?? [500, UNKNOWN[subject]]' },
      ],
    },
    async run(scene) {
      const { node, layer } = await stage(scene, MiB);
      const draw = new Draw(scene.random);
      const startedAt = performance.now();
      const faults = await fuzz(node, draw, 1000);
      const before = await metricsOf(node);
      const footprint = new Footprint(node);
      const { pulls, result } = await beside(node, layer, fuzz(node, draw, 9000));
      faults.push(...result, ...(await footprint.backFaults(64 * MiB)));
      return { node, before, pulls, faults, seconds: (performance.now() - startedAt) / 1000 };
    },
  },
  {
    id: 'clients/pipelined',
    fault: '100 connections with 20 requests each in one packet, and garbage behind the last',
    seen: WHOLE,
    codes: [],
    moved: [{ name: 'hawker_http_requests_total', labels: { handler: 'blobs', status: '206' }, by: 2000 }],
    blamed: NOBODY,
    boundMs: HEAVY_BOUND_MS,
    without: {
      taken: 'the answer to what is no HTTP',
      edits: [
        {
          file: 'proxy/http-server.js',
          find: "if (codeOf(error) === 'ECONNRESET' || !socket.writable || hasNoSession)",
          replace: 'if (true)',
        },
      ],
    },
    async run(scene) {
      const { node, layer } = await stage(scene, MiB);
      await pull(node, layer);
      const before = await metricsOf(node);
      const footprint = new Footprint(node);
      const work = Promise.all(Array.from({ length: 100 }, () => pipeline(node, layer, new Draw(scene.random))));
      const { pulls, result } = await beside(node, layer, work);
      return {
        node,
        before,
        pulls,
        faults: [...result.flat().slice(0, 5), ...(await footprint.backFaults(KEPT_BYTES))],
      };
    },
  },
  {
    id: 'clients/ranges',
    fault:
      'a cold blob in 1024 parts by one Range header, in 1025, and in parts that overlap; then 2000 requests for a range each',
    seen: { kind: 'told', words: 'every part, right; 400 for the last two' },
    codes: [],
    moved: [
      { name: 'hawker_http_requests_total', labels: { handler: 'blobs', status: '400' }, by: 2 },
      { name: 'hawker_origin_bytes_total', by: { atLeast: 4 * MiB, atMost: 5 * MiB } },
    ],
    blamed: NOBODY,
    boundMs: HEAVY_BOUND_MS,
    without: {
      taken: 'the bound on ranges in one request',
      edits: [{ file: 'http/range.js', find: 'MAX_RANGES = 1024', replace: 'MAX_RANGES = 1e9' }],
    },
    async run(scene) {
      const { node, layer } = await stage(scene, 4 * MiB);
      const before = await metricsOf(node);
      const footprint = new Footprint(node);
      const startedAt = performance.now();
      const step = layer.bytes.length / 1024;
      const starts = shuffled(
        scene,
        Array.from({ length: 1024 }, (_, part) => part * step),
      );
      const parts = starts.map((start): [number, number] => [start, start + scene.between(1, step - 1)]);
      const faults = [
        ...(await multipart(node, layer, parts)),
        ...(await refused(node, layer, [...parts, [step - 1, step]])),
        ...(await refused(node, layer, [
          [0, 100],
          [50, 200],
        ])),
      ];
      const pulls: Pull[] = [];
      const lane = async () => {
        while (pulls.length < 2000) {
          const start = scene.between(0, layer.bytes.length - 1);
          const range = [start, Math.min(layer.bytes.length, start + scene.between(1, 20_000))] as const;
          const got = await pull(node, layer, { range });
          pulls.push(got);
          if (got.status !== 206 || got.digest !== got.expected)
            faults.push(`bytes ${range.join('-')}: status ${got.status}`);
        }
      };
      await Promise.all(Array.from({ length: 20 }, lane));
      faults.push(...footprint.peakFaults(192 * MiB), ...(await footprint.backFaults(KEPT_BYTES)));
      return { node, before, pulls, faults: faults.slice(0, 5), seconds: (performance.now() - startedAt) / 1000 };
    },
  },
];

/** Sends requests and garbage in one go; each answer must be right, in order, and a 400 the last. */
async function pipeline(
  node: Hawker,
  { digest, bytes }: { digest: string; bytes: Buffer },
  draw: Draw,
): Promise<string[]> {
  const ranges = Array.from({ length: 20 }, () => draw.below(bytes.length - 100));
  const requests = ranges.map(
    (start) =>
      `GET /v2/${REPOSITORY}/blobs/${digest} HTTP/1.1\r\nHost: localhost\r\nRange: bytes=${start}-${start + 99}\r\n\r\n`,
  );
  const client = await RawClient.open(node);
  client.send(`${requests.join('')}\u0000\u0001 garbage\r\n\r\n`);
  await client.over(20_000 * ALLOWED);
  client.hangUp();
  try {
    const answers = answersIn(client.received);
    const wrong = ranges.filter((start, index) => !answers[index]?.body.equals(bytes.subarray(start, start + 100)));
    const last = answers.at(-1);
    return [
      ...(wrong.length > 0 ? [`${wrong.length} of 20 answers are wrong or missing`] : []),
      ...(last?.status === 400 ? [] : [`the last answer has status ${last?.status}`]),
    ];
  } catch (error) {
    return [String(error)];
  }
}

type Range = readonly [start: number, end: number];

function fetchRanges(node: Hawker, { digest }: { digest: string }, ranges: readonly Range[]): Promise<Response> {
  const header = ranges.map(([start, end]) => `${start}-${end - 1}`).join(',');
  return fetch(`${node.url}/v2/${REPOSITORY}/blobs/${digest}`, { headers: { range: `bytes=${header}` } });
}

async function multipart(
  node: Hawker,
  blob: { digest: string; bytes: Buffer },
  ranges: readonly Range[],
): Promise<string[]> {
  const answer = await fetchRanges(node, blob, ranges);
  const body = Buffer.from(await answer.arrayBuffer());
  const boundary = /boundary=(\S+)/.exec(answer.headers.get('content-type') ?? '')?.[1];
  if (answer.status !== 206 || boundary === undefined) return [`${ranges.length} parts: status ${answer.status}`];
  let at = 0;
  for (const [start, end] of ranges) {
    const head = body.indexOf('\r\n\r\n', at);
    const said = body.toString('latin1', at, head);
    const part = body.subarray(head + 4, head + 4 + end - start);
    const isRight =
      said.includes(`bytes ${start}-${end - 1}/${blob.bytes.length}`) && part.equals(blob.bytes.subarray(start, end));
    if (!isRight) return [`the part ${start}-${end} is wrong`];
    at = head + 4 + part.length;
  }
  return body.toString('latin1', at).trim() === `--${boundary}--` ? [] : ['the last part is not the last'];
}

async function refused(node: Hawker, blob: { digest: string }, ranges: readonly Range[]): Promise<string[]> {
  const answer = await fetchRanges(node, blob, ranges);
  const text = await answer.text();
  return answer.status === 400 && text.includes('RANGES_REFUSED')
    ? []
    : [`${ranges.length} parts: status ${answer.status}`];
}

function shuffled(scene: Scene, numbers: number[]): number[] {
  for (let index = numbers.length - 1; index > 0; index -= 1) {
    const other = scene.between(0, index + 1);
    [numbers[index], numbers[other]] = [numbers[other]!, numbers[index]!];
  }
  return numbers;
}

catalogue(t, ROWS, JOBS);
