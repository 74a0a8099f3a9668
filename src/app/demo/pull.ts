import { Agent, get, type IncomingMessage } from 'node:http';
import { digestOf, hasherFor, digestFrom, parseDigest, type Digest } from '../../base/digest.ts';
import { DemoPullFailed } from './errors.ts';

/** What one pull of an image brought. */
export interface Pulled {
  readonly bytes: number;
  readonly seconds: number;
}

export interface PullOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of body bytes, whenever some have come. */
  readonly onBytes?: ((count: number) => void) | undefined;
}

/**
 * Pulls an image through a mirror as a client does: the tag's manifest, then all blobs at once, each checked against its
 * digest. Rejects with DEMO_PULL_FAILED, and with the signal's reason.
 */
export async function pullImage(
  mirror: string,
  repository: string,
  tag: string,
  options: PullOptions = {},
): Promise<Pulled> {
  const pull = new Pull(mirror, repository, options);
  const startedAt = performance.now();
  try {
    const bytes = await pull.image(tag);
    return { bytes, seconds: (performance.now() - startedAt) / 1000 };
  } finally {
    pull.close();
  }
}

class Pull {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #base: string;
  readonly #repository: string;
  readonly #options: PullOptions;

  constructor(mirror: string, repository: string, options: PullOptions) {
    this.#base = mirror;
    this.#repository = repository;
    this.#options = options;
  }

  /** The image's size in bytes. */
  async image(tag: string): Promise<number> {
    const manifest = await this.#manifest(tag);
    const { config, layers } = JSON.parse(manifest.toString()) as {
      config: { digest: string };
      layers: { digest: string }[];
    };
    const digests = [config, ...layers].map((descriptor) => parseDigest(descriptor.digest)!);
    const sizes = await Promise.all(digests.map((digest) => this.#blob(digest)));
    return sizes.reduce((sum, size) => sum + size, manifest.length);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #manifest(tag: string): Promise<Buffer> {
    const path = `/v2/${this.#repository}/manifests/${tag}`;
    const chunks: Buffer[] = [];
    const { headers } = await this.#read(path, (chunk) => chunks.push(chunk));
    const bytes = Buffer.concat(chunks);
    const said = headers['docker-content-digest'];
    if (said !== digestOf(bytes)) throw this.#failure(path, `a manifest that is not ${String(said)}`);
    return bytes;
  }

  /** Reads a blob to its end and checks it; its size in bytes. */
  async #blob(digest: Digest): Promise<number> {
    const path = `/v2/${this.#repository}/blobs/${digest}`;
    const hash = hasherFor(digest);
    let size = 0;
    await this.#read(path, (chunk) => {
      hash.update(chunk);
      size += chunk.length;
    });
    if (digestFrom('sha256', hash) !== digest) throw this.#failure(path, 'other bytes than its digest names');
    return size;
  }

  async #read(path: string, take: (chunk: Buffer) => void): Promise<IncomingMessage> {
    const { signal, onBytes } = this.#options;
    try {
      const response = await this.#request(path);
      if (response.statusCode !== 200) {
        response.resume();
        throw this.#failure(path, `status ${response.statusCode}`);
      }
      for await (const chunk of response as AsyncIterable<Buffer>) {
        take(chunk);
        onBytes?.(chunk.length);
      }
      return response;
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw error instanceof DemoPullFailed ? error : this.#failure(path, 'no whole answer', error);
    }
  }

  #request(path: string): Promise<IncomingMessage> {
    const { signal } = this.#options;
    return new Promise((resolve, reject) => {
      get(`${this.#base}${path}`, { agent: this.#agent, ...(signal && { signal }) }, resolve).on('error', reject);
    });
  }

  #failure(path: string, came: string, cause?: unknown): Error {
    return new DemoPullFailed({ url: `${this.#base}${path}`, came }, { cause });
  }
}
