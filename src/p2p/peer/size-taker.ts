import type { Digest } from '../../base/digest.ts';
import { PeerBadResponse, PeerRefused } from './errors.ts';
import type { AnswerTaker, Endpoint } from './piece-connection.ts';
import type { ResponseHead } from './response-head.ts';

/** Takes the answer to a HEAD: whether a peer has the whole of a blob, and its size. */
export class SizeTaker implements AnswerTaker {
  readonly isHead = true;
  readonly #to: Endpoint;
  readonly #digest: Digest;
  #size: number | undefined;
  #refusal: Error | undefined;

  constructor(to: Endpoint, digest: Digest) {
    this.#to = to;
    this.#digest = digest;
  }

  /** In bytes; undefined: it has not the whole of it. */
  get size(): number | undefined {
    return this.#size;
  }

  /** Why the peer does not say. The connection is as good as before. */
  get refusal(): Error | undefined {
    return this.#refusal;
  }

  head({ status, contentLength }: ResponseHead): void {
    if (status === 200) this.#size = contentLength;
    else if (status === 403) this.#refusal = new PeerRefused(this.#to);
    else if (status !== 404) {
      throw new PeerBadResponse({ ...this.#to, seen: `status ${status} to a HEAD of ${this.#digest}` });
    }
  }

  write(): boolean {
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }
}
