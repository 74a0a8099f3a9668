import { KEYED, type Change, type RowChange, type Snapshot } from './page/model.ts';

/** Finds what of a snapshot is not as it was in the one before. */
export class Changes {
  readonly #values = new Map<string, string>();
  readonly #rows = new Map<string, Map<string, string>>();

  /** Undefined: nothing. The first call gives everything. */
  next(snapshot: Snapshot): Change | undefined {
    const change: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(snapshot)) {
      const different = name in KEYED ? this.#rowsOf(name as keyof typeof KEYED, snapshot) : this.#valueOf(name, value);
      if (different !== undefined) change[name] = different;
    }
    return Object.keys(change).length > 0 ? change : undefined;
  }

  #valueOf(name: string, value: unknown): unknown {
    const text = JSON.stringify(value);
    if (this.#values.get(name) === text) return undefined;
    this.#values.set(name, text);
    return value;
  }

  #rowsOf(name: keyof typeof KEYED, snapshot: Snapshot): RowChange | undefined {
    const before = this.#rows.get(name) ?? new Map<string, string>();
    const after = new Map<string, string>();
    const set: Readonly<Record<string, unknown>>[] = [];
    for (const row of snapshot[name] as readonly unknown[] as readonly Readonly<Record<string, unknown>>[]) {
      const key = String(row[KEYED[name]]);
      const text = JSON.stringify(row);
      if (before.get(key) !== text) set.push(row);
      after.set(key, text);
    }
    const gone = [...before.keys()].filter((key) => !after.has(key));
    this.#rows.set(name, after);
    return set.length > 0 || gone.length > 0 ? { set, gone } : undefined;
  }
}
