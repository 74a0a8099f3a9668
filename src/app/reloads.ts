import type { Config } from '../config/config.ts';

/** What a running part takes up anew when the configuration is read again (SIGHUP). */
export interface Reloadable {
  /** Dotted: `cluster.secretFile`. */
  readonly keys: readonly string[];
  /** Takes up the settings of `keys`, and reads again the files that they name. Rejecting (coded), it has changed nothing. */
  take(config: Config): Promise<void>;
}

/** What came of it. */
export interface Reloaded {
  /** What holds from now on. */
  readonly keys: readonly string[];
  /** Why others stay as they were. */
  readonly errors: readonly unknown[];
}

/** The parts of one process that can take up settings, and files that settings name, without a restart. */
export class Reloads {
  readonly #parts: Reloadable[] = [];

  add(part: Reloadable): void {
    this.#parts.push(part);
  }

  /** Each part by itself: one that cannot holds no other up. Never rejects. */
  async run(config: Config): Promise<Reloaded> {
    const keys: string[] = [];
    const errors: unknown[] = [];
    for (const part of this.#parts) {
      try {
        await part.take(config);
        keys.push(...part.keys);
      } catch (error) {
        errors.push(error);
      }
    }
    return { keys, errors };
  }
}
