import type { ServerResponse } from 'node:http';
import type { BlobHead, ByteRange, ByteSink } from '../http/byte-sink.ts';
import { BlobIncomplete } from '../p2p/peer/errors.ts';
import type { PieceSource } from '../p2p/peer/piece-source.ts';

/**
 * Sends a file, or a part of it, as its server gives it, in one read: `begin` is called with the file's size in bytes (undefined: not
 * known) before the first byte, `sent` with the count of each chunk. Rejects with what ended the read early; then the response must not end as if it were whole.
 */
export async function sendStraight(
  response: ServerResponse,
  source: PieceSource,
  {
    range = { start: 0 },
    begin,
    sent,
    signal,
  }: {
    range?: ByteRange | undefined;
    begin: (size: number | undefined) => void;
    sent: (bytes: number) => void;
    signal: AbortSignal;
  },
): Promise<void> {
  const sink = new ResponseSink(response, begin, sent, signal);
  await source.read(range, sink, signal);
  const { start, end = sink.size } = range;
  const at = start + sink.received;
  if (end !== undefined && at < end) throw new BlobIncomplete({ digest: 'the file', source: source.name, at, end });
}

class ResponseSink implements ByteSink {
  readonly #response: ServerResponse;
  readonly #begin: (size: number | undefined) => void;
  readonly #sent: (bytes: number) => void;
  readonly #signal: AbortSignal;
  size: number | undefined;
  received = 0;

  constructor(
    response: ServerResponse,
    begin: (size: number | undefined) => void,
    sent: (bytes: number) => void,
    signal: AbortSignal,
  ) {
    this.#response = response;
    this.#begin = begin;
    this.#sent = sent;
    this.#signal = signal;
  }

  head({ total }: BlobHead): void {
    this.size = total;
    this.#begin(total);
  }

  write(chunk: Uint8Array): boolean {
    this.received += chunk.length;
    this.#sent(chunk.length);
    // The chunk is the source's again when this returns.
    return this.#response.write(Buffer.from(chunk));
  }

  drained(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#response.writableNeedDrain || this.#signal.aborted) {
        resolve();
        return;
      }
      const go = (): void => {
        this.#response.off('drain', go);
        this.#signal.removeEventListener('abort', go);
        resolve();
      };
      this.#response.once('drain', go);
      this.#signal.addEventListener('abort', go, { once: true });
    });
  }
}
