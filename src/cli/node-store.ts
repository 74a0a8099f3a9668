import { PinAnswer, RemovalAnswer, StoreAnswer, UnpinAnswer } from '../app/answers.ts';
import { formatSize } from '../base/units.ts';
import { formatAddress } from '../config/formats.ts';
import { askService, commandService, type ServiceAddress } from './api-client.ts';
import { DONE } from './exit.ts';
import type { Looking } from './looks.ts';
import { shortDigest } from './names.ts';
import { counted, filledColumns, printable, shortTime, table } from './table.ts';

/** To read every manifest of a large store takes a while. */
const TIMEOUT_MS = 60_000;
/** So many repositories of a blob are named, more are counted. */
const MOST_NAMED = 2;

const BLOB_COLUMNS = [
  { title: 'DIGEST' },
  { title: 'SIZE', align: 'right' },
  { title: 'LAST USE' },
  { title: 'STATE' },
  { title: 'IMAGES' },
  { title: 'REPOSITORIES' },
] as const;
const PIN_COLUMNS = [
  { title: 'IMAGE' },
  { title: 'DIGEST' },
  { title: 'BLOBS', align: 'right' },
  { title: 'SIZE', align: 'right' },
  { title: 'SINCE' },
] as const;
const REMOVAL_COLUMNS = [{ title: 'DIGEST' }, { title: 'SIZE', align: 'right' }, { title: 'WHY' }] as const;

/** `hawker blobs --node`. */
export async function showStore({ config, port, json }: Looking): Promise<number> {
  const address = proxyOf(config);
  const answer = await askService(address, '/api/v1/store', StoreAnswer, TIMEOUT_MS);
  port.print(json ? jsonLine(answer) : storeText(address.url, answer, { fullDigests: !port.isTerminal }));
  return DONE;
}

/** `hawker rm`. */
export async function removeFromStore({ config, port, json }: Looking, what: string, dryRun: boolean): Promise<number> {
  const answer = await command(config, 'rm', { what, dryRun }, RemovalAnswer);
  port.print(json ? jsonLine(answer) : removalText(answer, { dryRun, fullDigests: !port.isTerminal }));
  return DONE;
}

/** `hawker gc`. */
export async function collectStore(
  { config, port, json }: Looking,
  keep: string | undefined,
  dryRun: boolean,
): Promise<number> {
  const answer = await command(config, 'gc', { keep, dryRun }, RemovalAnswer);
  port.print(json ? jsonLine(answer) : removalText(answer, { dryRun, fullDigests: !port.isTerminal }));
  return DONE;
}

/** `hawker pin`. */
export async function pinImage({ config, port, json }: Looking, image: string): Promise<number> {
  const answer = await command(config, 'pin', { image }, PinAnswer);
  const { image: name, digest, blobs, bytes } = answer;
  const text = `Pinned ${name} (${digest}): ${counted(blobs, 'blob')}, ${formatSize(bytes)}.\n`;
  port.print(json ? jsonLine(answer) : text);
  return DONE;
}

/** `hawker unpin`. */
export async function unpinImage({ config, port, json }: Looking, image: string): Promise<number> {
  const answer = await command(config, 'unpin', { image }, UnpinAnswer);
  port.print(json ? jsonLine(answer) : `Unpinned ${answer.image}.\n`);
  return DONE;
}

function proxyOf({ api }: Looking['config']): ServiceAddress {
  return { url: `http://${formatAddress(api.listen)}`, what: 'proxy', setting: 'api.listen' };
}

function command<T extends Parameters<typeof commandService>[3]>(
  config: Looking['config'],
  name: string,
  body: object,
  schema: T,
) {
  return commandService(proxyOf(config), `/api/v1/store/${name}`, body, schema, TIMEOUT_MS);
}

function storeText(url: string, store: StoreAnswer, { fullDigests }: { fullDigests: boolean }): string {
  const { bytes, quota, pinned, blobs, partial, pins } = store;
  const digestOf = (digest: string) => (fullDigests ? digest : shortDigest(digest));
  const pinnedText = pinned > 0 ? `, ${formatSize(pinned)} of it pinned` : '';
  const parts = [
    `${counted(blobs.length, 'blob')} in the store of ${url}: ${formatSize(bytes)} of ${formatSize(quota)}${pinnedText}.\n`,
  ];
  const rows = [
    ...blobs.map(({ digest, size, lastUse, isInUse, isPinned, images, repositories }) => {
      const state = [...(isInUse ? ['in use'] : []), ...(isPinned ? ['pinned'] : [])].join(', ') || '-';
      return [digestOf(digest), formatSize(size), shortTime(lastUse), state, named(images), named(repositories)];
    }),
    ...partial.map(({ digest, bytes }) => [digestOf(digest), formatSize(bytes), '-', 'a part', '-', '-']),
  ];
  if (rows.length > 0) {
    const filled = filledColumns(BLOB_COLUMNS, rows);
    parts.push(table(filled.columns, filled.rows, { colour: false }));
  }
  if (pins.length > 0) {
    const rows = pins.map(({ image, digest, blobs, bytes, at }) => {
      return [image, digestOf(digest), String(blobs), formatSize(bytes), shortTime(at)];
    });
    parts.push(`Pinned:\n${table(PIN_COLUMNS, rows, { colour: false })}`);
  }
  return parts.join('\n');
}

function removalText(
  { removed, kept }: RemovalAnswer,
  { dryRun, fullDigests }: { dryRun: boolean; fullDigests: boolean },
): string {
  const sizeOf = (list: RemovalAnswer['removed']) => formatSize(list.reduce((sum, { size }) => sum + size, 0));
  const what = `${counted(removed.length, 'blob')} (${sizeOf(removed)})`;
  const keptText =
    kept.length > 0
      ? `; ${counted(kept.length, 'blob')} (${sizeOf(kept)}) ${kept.length === 1 ? 'stays' : 'stay'}`
      : '';
  const summary = `${dryRun ? 'Would remove' : 'Removed'} ${what}${keptText}.\n`;
  if (removed.length + kept.length === 0) return summary;
  const rows = [...removed, ...kept.map((one) => ({ ...one, why: `stays: ${one.why}` }))].map(
    ({ digest, size, why }) => {
      return [fullDigests ? digest : shortDigest(digest), formatSize(size), why];
    },
  );
  return `${summary}\n${table(REMOVAL_COLUMNS, rows, { colour: false })}`;
}

function named(names: readonly string[]): string {
  if (names.length === 0) return '-';
  return names.length > MOST_NAMED ? `${printable(names[0]!)} +${names.length - 1}` : names.map(printable).join(', ');
}

function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
