import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';

/** About a millisecond's work. */
const PART_CHARACTERS = 64 * 1024;

/**
 * An object of lists as JSON, made as it is taken: hundreds of thousands of entries must not hold up what the same process does
 * beside it. Lists may change meanwhile, as far as their iterators bear it.
 */
export function jsonParts(lists: Readonly<Record<string, Iterable<unknown>>>): Readable {
  return Readable.from(partsOf(lists), { objectMode: false });
}

async function* partsOf(lists: Readonly<Record<string, Iterable<unknown>>>): AsyncGenerator<string> {
  let part = '';
  let opening = '{';
  for (const [name, items] of Object.entries(lists)) {
    part += `${opening}${JSON.stringify(name)}:[`;
    opening = ',';
    let comma = '';
    for (const item of items) {
      part += comma + JSON.stringify(item);
      comma = ',';
      if (part.length < PART_CHARACTERS) continue;
      yield part;
      part = '';
      await setImmediate();
    }
    part += ']';
  }
  yield `${part}}`;
}
