import { codeOf, describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { LOOK_AT_DISK } from './errors.ts';
import type { FilePort } from './files.ts';

/**
 * Unlinks in the background, in order for each path. Who is about to make a file of a name anew first waits for `settled`, or a
 * late unlink would take the new file.
 */
export class Removals {
  readonly #files: FilePort;
  readonly #log: Logger;
  readonly #pending = new Map<string, Promise<void>>();

  constructor(files: FilePort, log: Logger) {
    this.#files = files;
    this.#log = log;
  }

  remove(path: string): void {
    const removal = this.settled(path).then(() => this.#unlink(path));
    this.#pending.set(path, removal);
    void removal.finally(() => {
      if (this.#pending.get(path) === removal) this.#pending.delete(path);
    });
  }

  /** Resolves once no removal of `path` is under way. */
  async settled(path: string): Promise<void> {
    await this.#pending.get(path);
  }

  /** Resolves once what is under way now is done. */
  async allSettled(): Promise<void> {
    await Promise.all(this.#pending.values());
  }

  /** Never rejects: a file that stays is found again at the next start, and said. */
  async #unlink(path: string): Promise<void> {
    try {
      await this.#files.unlink(path);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      this.#log.warn(
        { code: 'STORE_REMOVE_FAILED', path, error: describeError(error), todo: LOOK_AT_DISK },
        'a file of the store cannot be removed; it takes room on the disk that is not counted until the next start',
      );
    }
  }
}
