import { KiB } from '../../base/units.ts';
import { PeerBadResponse, PeerRefused } from './errors.ts';
import type { AnswerTaker, Endpoint } from './piece-connection.ts';
import type { ResponseHead } from './response-head.ts';

/** An answer is a few short fields. */
const MAX_ANSWER_BYTES = 2 * KiB;

/** Takes the answer to a question for a reading: its body, where there is a reading. */
export class ReadingTaker implements AnswerTaker {
  readonly #to: Endpoint;
  readonly #chunks: Buffer[] = [];
  #hasAnswer = false;
  #refusal: Error | undefined;

  constructor(to: Endpoint) {
    this.#to = to;
  }

  /** The body; undefined: the peer vouches for nothing. */
  get body(): string | undefined {
    return this.#hasAnswer ? Buffer.concat(this.#chunks).toString() : undefined;
  }

  /** Why the peer does not say. The connection is as good as before. */
  get refusal(): Error | undefined {
    return this.#refusal;
  }

  head({ status, contentLength }: ResponseHead): void {
    if (contentLength > MAX_ANSWER_BYTES) throw this.bad(`${contentLength} bytes`);
    if (status === 200) this.#hasAnswer = true;
    else if (status === 403) this.#refusal = new PeerRefused(this.#to);
    else if (status !== 404) throw this.bad(`status ${status}`);
  }

  write(chunk: Uint8Array): boolean {
    // The buffer is the connection's, and used again.
    this.#chunks.push(Buffer.from(chunk));
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  bad(seen: string): Error {
    return new PeerBadResponse({ ...this.#to, seen: `${seen} to a question for a reading` });
  }
}
