import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { makeDemoImage, type DemoBlob, type DemoImage } from '../../src/app/demo/image.ts';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { startSupernode } from '../../src/app/supernode-service.ts';
import { digestOf } from '../../src/base/digest.ts';
import { silentLogger as log, type Logger } from '../../src/base/log.ts';
import { KiB, MiB } from '../../src/base/units.ts';
import { until } from '../e2e/support/wait.ts';
import { nodeConfig, urlOf } from '../support/cluster.ts';

const CHUNK_BYTES = 64 * KiB;
const LAYER_BYTES = 8 * MiB;
const BOUND_MS = 12_000;

/** A registry with one image, at a bounded speed; or what one node on its way to it sees of it: a wrong byte in each MiB. */
class Registry {
  readonly #server: Server;
  readonly #image: DemoImage;
  readonly #isWrong: boolean;
  /** Of the layer. */
  bytesOut = 0;

  constructor(image: DemoImage, isWrong: boolean) {
    this.#image = image;
    this.#isWrong = isWrong;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  async listen(t: Test): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    t.teardown(() => {
      this.#server.close();
      this.#server.closeAllConnections();
    });
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const blob = this.#find(request.url ?? '');
    if (!blob) {
      response.writeHead(request.url === '/v2/' ? 200 : 404).end();
      return;
    }
    const size = blob.bytes.length;
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Number(range[2]) + 1 : size;
    response.writeHead(range ? 206 : 200, {
      'Content-Type': blob.mediaType,
      'Content-Length': end - start,
      'Docker-Content-Digest': blob.digest,
      ...(range && { 'Content-Range': `bytes ${start}-${end - 1}/${size}` }),
    });
    if (request.method === 'HEAD') response.end();
    else await this.#send(blob, start, end, response);
  }

  async #send({ bytes }: DemoBlob, start: number, end: number, response: ServerResponse): Promise<void> {
    const isLayer = bytes.length > MiB;
    for (let at = start; at < end && !response.destroyed; at += CHUNK_BYTES) {
      const chunk = Buffer.from(bytes.subarray(at, Math.min(end, at + CHUNK_BYTES)));
      if (isLayer) this.bytesOut += chunk.length;
      const wrongAt = 4711 - (at % MiB);
      if (this.#isWrong && isLayer && wrongAt >= 0 && wrongAt < chunk.length) chunk[wrongAt]! ^= 1;
      response.write(chunk);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    response.end();
  }

  #find(url: string): DemoBlob | undefined {
    const name = url.slice(url.lastIndexOf('/') + 1);
    const { manifest, blobs } = this.#image;
    return [manifest, ...blobs].find(({ digest }) => name === digest) ?? (name === 'v1' ? manifest : undefined);
  }
}

/** What a client gets of a blob, and whether its response ended normally. */
async function pull(mirror: string, path: string): Promise<{ bytes: Buffer; isWhole: boolean }> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${mirror}${path}`, { agent: false }, resolve).on('error', reject);
  });
  const parts: Buffer[] = [];
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) parts.push(chunk);
  } catch {
    return { bytes: Buffer.concat(parts), isWhole: false };
  }
  return { bytes: Buffer.concat(parts), isWhole: response.complete && response.statusCode === 200 };
}

/** Notes the codes of what is logged, with the peer that is named. */
function noting(): { log: Logger; lines: { code?: string; peer?: string }[] } {
  const lines: { code?: string; peer?: string }[] = [];
  const note = (line: { code?: string; peer?: string }) => void lines.push(line);
  return { log: { ...log, warn: note, info: note, error: note }, lines };
}

t.test(
  'one of three proxies reads wrong bytes: the others end with right ones, no response lies, and it is named',
  async (t) => {
    const image = makeDemoImage([LAYER_BYTES]);
    const layer = image.blobs.at(-1)!;
    const registry = new Registry(image, false);
    const spoilt = new Registry(image, true);
    const [right, wrong] = [await registry.listen(t), await spoilt.listen(t)];
    const noted = noting();
    const supernode = await startSupernode(nodeConfig({ dir: '/nowhere', origin: right }), { log: noted.log });
    t.teardown(() => supernode.stop());
    const url = urlOf(supernode, 'supernode');
    const proxies: Service[] = [];
    const dir = t.testdir({});
    for (const [i, origin] of [wrong, right, right].entries()) {
      const proxy = await startProxyService(nodeConfig({ dir: `${dir}/${i}`, origin, supernodes: [url] }), { log });
      t.teardown(() => proxy.stop());
      proxies.push(proxy);
    }
    const peers = async () => {
      const answer = (await (await fetch(`${url}/api/v1/peers`)).json()) as { peers: { state: string }[] };
      return answer.peers.filter(({ state }) => state === 'ready').length;
    };
    await until('all are ready', BOUND_MS, async () => (await peers()) === proxies.length);
    const path = `/v2/demo/app/blobs/${layer.digest}`;
    const mirrors = proxies.map((proxy) => urlOf(proxy, 'mirror'));
    const pulls = [pull(mirrors[0]!, path)];
    await until('it reads wrong bytes', BOUND_MS, () => spoilt.bytesOut > 0);
    pulls.push(...mirrors.slice(1).map((mirror) => pull(mirror, path)));
    for (const { bytes, isWhole } of await Promise.all(pulls)) {
      t.ok(!isWhole || digestOf(bytes) === layer.digest, 'a response is right or cut short');
    }
    for (const mirror of mirrors.slice(1)) {
      const { bytes, isWhole } = await pull(mirror, path);
      t.ok(isWhole && digestOf(bytes) === layer.digest, 'asked again, it is there');
    }
    t.ok(registry.bytesOut < 2.3 * LAYER_BYTES, `${registry.bytesOut / LAYER_BYTES} copies from the registry`);
    const metrics = await (await fetch(`${urlOf(proxies[1]!, 'api')}/metrics`)).text();
    t.match(metrics, /hawker_bad_pieces_total\{reason="dispute"\} [1-9]/);
    const status = (await (await fetch(`${urlOf(proxies[0]!, 'api')}/api/v1/status`)).json()) as { peer: string };
    t.match(
      noted.lines.filter(({ code }) => code === 'READS_WRONG_BYTES').map(({ peer }) => peer),
      [status.peer],
    );
  },
);
