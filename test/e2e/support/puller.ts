import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { ALLOWANCE } from '../../support/patience.ts';
import type { Hawker } from './hawker.ts';
import type { Published } from './images.ts';

/** Before a mirror that does not answer is tried again. */
const RETRY_MS = 50;
/** Where nothing comes for so long a client has given up. */
const SILENCE_MS = 30_000 * ALLOWANCE;

/**
 * A client that pulls one image after the other through one mirror, over and over, each request on a connection of its own. A
 * mirror that is just being restarted takes no connection; there a container runtime goes on with the next mirror or the registry,
 * and this client waits and asks again. Everything else that is not the whole, right answer is a failure.
 */
export class Puller {
  readonly failures: string[] = [];
  /** Whole pulls. */
  pulls = 0;
  /** Requests that found nobody, while the mirror was being restarted. */
  unanswered = 0;
  /** Set by whoever restarts the mirror. */
  isRestarting = false;
  readonly #proxy: Hawker;
  readonly #images: readonly Published[];
  readonly #pulled = new Set<Published>();
  readonly #done: Promise<void>;
  #isOver = false;

  /** Pulls what is in `images`, also what is added later; the newest first. */
  constructor(proxy: Hawker, images: readonly Published[]) {
    this.#proxy = proxy;
    this.#images = images;
    this.#done = this.#run();
  }

  has(image: Published): boolean {
    return this.#pulled.has(image);
  }

  /** Ends after the pull that is under way. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#isOver; n += 1) {
      const fresh = this.#images.findLast((image) => !this.#pulled.has(image));
      const image = fresh ?? this.#images[n % this.#images.length]!;
      try {
        await this.#pull(image);
        this.#pulled.add(image);
        this.pulls += 1;
      } catch (error) {
        this.failures.push(`${this.#proxy.url}, ${image.repository}: ${String(error)}`);
      }
    }
  }

  async #pull({ repository, tag, digest, native }: Published): Promise<void> {
    await this.#fetch(`${repository}/manifests/${tag}`, digest);
    await Promise.all([...native.blobs.keys()].map((blob) => this.#fetch(`${repository}/blobs/${blob}`, blob)));
  }

  async #fetch(path: string, digest: string): Promise<void> {
    for (;;) {
      const answer = await this.#ask(`${this.#proxy.url}/v2/${path}`);
      if (answer) {
        await check(answer, path, digest);
        return;
      }
      this.unanswered += 1;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** Undefined: nobody was there, for the mirror is being restarted. */
  async #ask(url: string): Promise<IncomingMessage | undefined> {
    const couldBeRestarting = this.isRestarting;
    const request = get(url, { agent: false, timeout: SILENCE_MS });
    request.on('timeout', () => request.destroy(new Error('silence')));
    try {
      const [answer] = (await once(request, 'response')) as [IncomingMessage];
      return answer;
    } catch (error) {
      const { code } = error as { code?: string };
      const isNobody = code === 'ECONNREFUSED' || code === 'ECONNRESET';
      if (isNobody && (couldBeRestarting || this.isRestarting)) return undefined;
      throw error;
    }
  }
}

async function check(answer: IncomingMessage, path: string, digest: string): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of answer as AsyncIterable<Buffer>) hash.update(chunk);
  if (answer.statusCode !== 200) throw new Error(`${path}: status ${answer.statusCode}`);
  if (`sha256:${hash.digest('hex')}` !== digest) throw new Error(`${path}: other bytes`);
}
