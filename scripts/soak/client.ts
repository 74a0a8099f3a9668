import { Agent, get, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Image, Layer } from './images.ts';

/** A request that makes no progress for so long is given up: that is a failure. */
const SILENCE_MS = 90_000;

/** How a client reads a body. */
export type Manner =
  | { readonly kind: 'whole' }
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  /** Leaves after so many bytes. */
  | { readonly kind: 'hang-up'; readonly after: number }
  | { readonly kind: 'range'; readonly start: number; readonly end: number };

/** What a client got; `fault` undefined: what it should. */
export interface Got {
  readonly bytes: number;
  /** `X-Hawker-Source`. */
  readonly source: string;
  readonly fault: string | undefined;
  /** The response ended as if all were right. */
  readonly endedWell: boolean;
  /** Bytes came that are not the blob's. */
  readonly wrongBytes: boolean;
}

class Outcome implements Got {
  bytes = 0;
  source = '';
  fault: string | undefined;
  endedWell = false;
  wrongBytes = false;
}

/** A container runtime, or something like it: keeps its connections, and compares each byte with what it should be. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 });

  async blob(mirror: string, repository: string, layer: Layer, manner: Manner): Promise<Got> {
    const [start, end] = manner.kind === 'range' ? [manner.start, manner.end] : [0, layer.size];
    const headers = manner.kind === 'range' ? { range: `bytes=${start}-${end - 1}` } : {};
    const outcome = new Outcome();
    try {
      const answer = await this.#ask(`${mirror}/v2/${repository}/blobs/${layer.digest}`, headers, outcome);
      const status = manner.kind === 'range' ? 206 : 200;
      if (answer.statusCode !== status) throw new Error(`status ${answer.statusCode}: ${await textOf(answer)}`);
      if (answer.headers['content-length'] !== String(end - start))
        throw new Error(`a length of ${answer.headers['content-length']}, not ${end - start}`);
      await compare(answer, layer.content.parts(start, end), manner, outcome);
    } catch (error) {
      outcome.fault = String(error);
    }
    return outcome;
  }

  async manifest(mirror: string, image: Image, byTag: boolean): Promise<Got> {
    const outcome = new Outcome();
    const reference = byTag ? image.tag : image.manifestDigest;
    try {
      const answer = await this.#ask(`${mirror}/v2/${image.repository}/manifests/${reference}`, {}, outcome);
      if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}: ${await textOf(answer)}`);
      await compare(answer, [image.manifest], { kind: 'whole' }, outcome);
      if (answer.headers['content-type'] !== image.mediaType) throw new Error('another media type');
    } catch (error) {
      outcome.fault = String(error);
    }
    return outcome;
  }

  close(): void {
    this.#agent.destroy();
  }

  async #ask(url: string, headers: Record<string, string>, outcome: Outcome): Promise<IncomingMessage> {
    const request = get(url, { agent: this.#agent, headers, timeout: SILENCE_MS });
    request.on('timeout', () => request.destroy(new Error(`nothing came for ${SILENCE_MS} ms`)));
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    outcome.source = String(answer.headers['x-hawker-source'] ?? '');
    return answer;
  }
}

async function compare(
  answer: IncomingMessage,
  expected: Iterable<Buffer>,
  manner: Manner,
  outcome: Outcome,
): Promise<void> {
  const parts = expected[Symbol.iterator]();
  let part: Buffer = Buffer.alloc(0);
  const began = performance.now();
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length;) {
      if (part.length === 0) {
        const next = parts.next();
        if (next.done) throw new Error('more bytes than there are');
        part = next.value;
      }
      const length = Math.min(part.length, chunk.length - at);
      if (!part.subarray(0, length).equals(chunk.subarray(at, at + length))) outcome.wrongBytes = true;
      part = part.subarray(length);
      at += length;
    }
    outcome.bytes += chunk.length;
    if (manner.kind === 'hang-up' && outcome.bytes >= manner.after) {
      answer.destroy();
      if (outcome.wrongBytes) throw new Error('other bytes');
      return;
    }
    if (manner.kind === 'slow') {
      const ahead = (outcome.bytes / manner.bytesPerSecond) * 1000 - (performance.now() - began);
      if (ahead > 5) await sleep(ahead);
    }
  }
  if (!answer.complete) throw new Error(`it broke off after ${outcome.bytes} bytes`);
  outcome.endedWell = true;
  if (part.length > 0 || !parts.next().done) throw new Error(`it ended after ${outcome.bytes} bytes`);
  if (outcome.wrongBytes) throw new Error('other bytes, and it ended well');
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of answer as AsyncIterable<Buffer>) text += chunk.toString();
  return text.slice(0, 300);
}
