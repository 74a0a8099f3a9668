import fc from 'fast-check';
import t from 'tap';
import { jsonParts } from '../../../src/p2p/supernode/json-parts.ts';

async function read(lists: Record<string, Iterable<unknown>>): Promise<string[]> {
  const parts: string[] = [];
  for await (const part of jsonParts(lists)) parts.push(String(part));
  return parts;
}

t.test('lists as JSON, in parts', async () => {
  const lists = fc.dictionary(fc.string(), fc.array(fc.jsonValue(), { maxLength: 20 }), {
    minKeys: 1,
    noNullPrototype: true,
  });
  await fc.assert(
    fc.asyncProperty(lists, async (value) => {
      const text = (await read(value)).join('');
      return text === JSON.stringify(value);
    }),
  );
});

t.test('others get their turn between two parts', async (t) => {
  let turns = 0;
  const turn = () => {
    turns += 1;
    if (turns < 1e6) next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  const parts = await read({ a: Array.from({ length: 20_000 }, (_, n) => `entry number ${n}`) });
  clearImmediate(next);
  t.ok(parts.length > 5);
  t.ok(turns >= parts.length - 1);
  t.equal(
    parts.join('').length,
    JSON.stringify({ a: Array.from({ length: 20_000 }, (_, n) => `entry number ${n}`) }).length,
  );
});
