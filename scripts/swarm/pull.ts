import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { within, type Host } from '../netns/host.ts';

/** What one node's pull was. */
export interface Pull {
  /** From the start of the clock, or of its turn, to the client's end; and to its first byte. */
  readonly seconds: number;
  readonly firstByteSeconds: number;
  /** Why it is no good; undefined: every byte came. */
  readonly failure: string | undefined;
}

const WRITE_OUT = '%{http_code} %{size_download} %{time_starttransfer}';

/** Pulls `url` on all nodes at once, or spread over `staggerMs`. All clients are there before the clock starts. */
export async function pullOnAll(
  nodes: readonly Host[],
  url: string,
  { size, staggerMs }: { size: number; staggerMs: number },
): Promise<Pull[]> {
  const clients = nodes.map((node) => new Client(node, url));
  await Promise.all(clients.map((client) => client.ready));
  const gap = staggerMs / Math.max(1, nodes.length - 1);
  return Promise.all(
    clients.map(async (client, i) => {
      if (gap > 0) await sleep(i * gap);
      return client.pull(size);
    }),
  );
}

/** A curl that waits behind a barrier. It throws away what it gets: `digestOn` looks at that separately. */
class Client {
  readonly ready: Promise<unknown>;
  readonly #child;
  readonly #ended: Promise<unknown>;
  #output = '';

  constructor(node: Host, url: string) {
    const script = `echo ready; read go; exec curl --silent --show-error --output /dev/null --write-out '${WRITE_OUT}' "$1"`;
    this.#child = spawn('nsenter', [...within(node), 'sh', '-c', script, 'client', url]);
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    this.#ended = once(this.#child, 'close');
    this.ready = once(this.#child.stdout, 'data');
  }

  async pull(size: number): Promise<Pull> {
    const began = performance.now();
    this.#child.stdin.end('go\n');
    await this.#ended;
    const seconds = (performance.now() - began) / 1000;
    const output = this.#output.replace(/^ready\n/, '');
    const [, status, bytes, first] = /(\d{3}) (\d+) ([\d.]+)$/.exec(output) ?? [];
    const isGood = this.#child.exitCode === 0 && status === '200' && Number(bytes) === size;
    const failure = isGood ? undefined : `curl ended with ${this.#child.exitCode}: ${output}`;
    return { seconds, firstByteSeconds: Number(first), failure };
  }
}
