import { codeOf, describeError } from '../base/errors.ts';
import { isFileId, type Digest } from '../base/digest.ts';
import type { Logger } from '../base/log.ts';
import { Pieces } from '../base/pieces.ts';
import { LOOK_AT_DISK } from './errors.ts';
import { readWhole } from './file-helpers.ts';
import type { FilePort } from './files.ts';
import { MAX_JOURNAL_BYTES, parseJournal } from './journal.ts';
import { parseIncomingName, type Layout } from './layout.ts';
import type { Removals } from './removals.ts';

/**
 * The CRC-32s of verified blobs' pieces: a blob's journal stays, in a place of its own, when the blob is published, so that
 * whoever gets pieces from here can check each. A blob of one piece has none: its digest is as good, unless it is a file's id.
 */
export class CrcFiles {
  readonly #files: FilePort;
  readonly #layout: Layout;
  readonly #removals: Removals;
  readonly #log: Logger;

  constructor(deps: { files: FilePort; layout: Layout; removals: Removals; log: Logger }) {
    this.#files = deps.files;
    this.#layout = deps.layout;
    this.#removals = deps.removals;
    this.#log = deps.log;
  }

  /** Keeps the journal of a blob of `size` bytes that was published. Never rejects: without it others check the whole only. */
  async keep(digest: Digest, size: number): Promise<void> {
    const journal = this.#layout.incomingJournal(digest);
    if (!isFileId(digest) && new Pieces(size).count <= 1) {
      this.#removals.remove(journal);
      return;
    }
    const path = this.#layout.crcs(digest);
    try {
      await this.#removals.settled(path);
      await this.#files.rename(journal, path);
    } catch (error) {
      // A blob whose size nobody knew has no journal.
      if (codeOf(error) === 'ENOENT') return;
      this.#removals.remove(journal);
      this.#log.warn(
        { code: 'STORE_CRCS_LOST', digest, error: describeError(error), todo: LOOK_AT_DISK },
        'the check sums of a blob cannot be kept: other nodes check it as a whole only',
      );
    }
  }

  /** One a piece; undefined where they were not kept, or not all of them. Never rejects. */
  async of(digest: Digest, size: number): Promise<Uint32Array | undefined> {
    const { count, pieceSize } = new Pieces(size);
    if (!isFileId(digest) && count <= 1) return undefined;
    const bytes = await readWhole(this.#files, this.#layout.crcs(digest), MAX_JOURNAL_BYTES).catch(() => undefined);
    const { header, pieces } = (bytes && parseJournal(bytes)) ?? {};
    if (header?.digest !== digest || header.size !== size || header.pieceSize !== pieceSize) return undefined;
    if (pieces?.size !== count) return undefined;
    return Uint32Array.from({ length: count }, (_, piece) => pieces.get(piece)!);
  }

  remove(digest: Digest): void {
    this.#removals.remove(this.#layout.crcs(digest));
  }

  /** Removes those whose blob is not here. */
  async sweep(isHere: (digest: Digest) => boolean): Promise<void> {
    for (const { name } of await this.#files.readdir(this.#layout.crcsDir)) {
      const digest = parseIncomingName(name)?.digest;
      if (digest && !isHere(digest)) this.remove(digest);
    }
  }
}
