import { parse, TomlError } from 'smol-toml';

export type Table = Readonly<Record<string, unknown>>;

/** A TOML text as a table, or why it is none, with the line (from 1). */
export function readToml(text: string): { readonly table: Table } | { readonly line: number; readonly why: string } {
  try {
    return { table: parse(text) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [why = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n');
    return { line: error.line, why };
  }
}

/** `value` if it is a table, else an empty one. */
export function tableOf(value: unknown): Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Table) : {};
}

/** The table at the end of a path of keys; empty where there is none. */
export function tableAt(table: Table, ...keys: readonly string[]): Table {
  return keys.reduce((inner, key) => tableOf(inner[key]), table);
}

export function textsOf(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : undefined;
}
