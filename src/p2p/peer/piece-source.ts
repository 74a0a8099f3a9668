import type { ByteRange, ByteSink } from '../../http/byte-sink.ts';

/** The port to something that can give bytes of one blob: the origin, or a peer. */
export interface PieceSource {
  readonly kind: 'origin' | 'peer';
  /** Names it in logs, without secrets: `docker.io/library/app`, or a peer's id. */
  readonly name: string;
  /** An origin that is read without a credential: what it gives is for everybody. */
  readonly isOpen?: boolean;
  /**
   * Reads a range into the sink and resolves when all of it has been written. Rejects with the signal's reason when
   * aborted, else with a coded error; `isFinal` of the registry's errors tells whether trying again is useless. Bytes that
   * were written before a rejection are good to keep.
   */
  read(range: ByteRange, sink: ByteSink, signal: AbortSignal): Promise<void>;
}
