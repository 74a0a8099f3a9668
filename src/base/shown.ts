import { createHash } from 'node:crypto';

/**
 * Where bytes of a blob have been shown to be: at `all` places, as anybody may read them without a credential, or under the repositories of
 * some registries (`placeOf`) that have given them, or proved that they know them. A registry that only says that it has a blob has shown nothing.
 */
export type Places = 'all' | ReadonlySet<string>;

/** What is known of the bytes that are here; `isWhole`: they are all of the blob, and have its digest. */
export interface Shown {
  readonly at: Places;
  readonly isWhole: boolean;
}

export const NOWHERE: ReadonlySet<string> = new Set();

/** Of one blob; more are forgotten, the oldest first: they have to show it again. */
export const MAX_PLACES = 16;
const PLACE_BYTES = 16;
const TEXT = /^(whole|part)(?: (\*|[\w-]{22}(?:,[\w-]{22}){0,15}))?$/;

/** A place by its name, a registry and a repository there, as others see it: they learn of no private one. */
export function placeOf(name: string): string {
  return createHash('sha256').update(name).digest().subarray(0, PLACE_BYTES).toString('base64url');
}

export function isAt(place: string, places: Places): boolean {
  return places === 'all' || places.has(place);
}

/** Where both are; the first itself where the second takes nothing from it. */
export function atBoth(first: Places, second: Places): Places {
  if (second === 'all') return first;
  if (first === 'all') return second;
  const both = [...first].filter((place) => second.has(place));
  return both.length === first.size ? first : new Set(both);
}

export function atEither(first: Places, second: Places): Places {
  if (first === 'all' || second === 'all') return 'all';
  return second.size === 0 ? first : new Set([...first, ...second].slice(-MAX_PLACES));
}

/** As a peer says it, and as it is noted. */
export function formatShown({ at, isWhole }: Shown): string {
  const places = at === 'all' ? ' *' : at.size === 0 ? '' : ` ${[...at].slice(-MAX_PLACES).join(',')}`;
  return `${isWhole ? 'whole' : 'part'}${places}`;
}

/** What `formatShown` has written, else undefined. */
export function parseShown(text: string): Shown | undefined {
  const match = TEXT.exec(text);
  if (!match) return undefined;
  const [, what, places] = match;
  const at = places === '*' ? 'all' : new Set(places?.split(','));
  return { at, isWhole: what === 'whole' };
}
