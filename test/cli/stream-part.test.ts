import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { StreamPart } from '../../src/cli/stream-part.ts';

function rig(isChecked: boolean) {
  const out: Buffer[] = [];
  const part = new StreamPart(async (bytes) => void out.push(Buffer.from(bytes)), isChecked);
  return { part, out: () => Buffer.concat(out) };
}

t.test('whatever pieces it comes in, and however often it breaks off, it comes out once and whole', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 2, maxLength: 60_000, size: 'max' }),
      fc.array(fc.record({ take: fc.integer({ min: 0, max: 20_000 }), breaks: fc.boolean() }), { maxLength: 12 }),
      fc.boolean(),
      async (bytes, steps, isChecked) => {
        const all = Buffer.from(bytes);
        const { part, out } = rig(isChecked);
        await part.begin('"v"');
        let at = 0;
        for (const { take, breaks } of [...steps, { take: all.length, breaks: false }]) {
          const kept = breaks ? await part.kept() : undefined;
          if (kept) {
            // As the getter does: the last byte comes again.
            at = kept.size - 1;
            await part.resume(at);
          }
          await part.write(all.subarray(at, at + take));
          at = Math.min(all.length, at + take);
          const hidden = isChecked ? Math.min(part.size, 16 * 1024) : 0;
          if (out().length > Math.max(0, at + 1 - hidden)) return false;
        }
        const isRight = part.sha256 === createHash('sha256').update(all).digest('hex');
        await part.finish();
        return isRight && out().equals(all) && part.size === all.length;
      },
    ),
    { numRuns: 60 },
  );
});

t.test('what has gone out is not begun anew; what is held is', async (t) => {
  const { part, out } = rig(true);
  await part.begin('"v"');
  await part.write(Buffer.alloc(1000, 'a'));
  t.equal(out().length, 0);
  await part.begin(undefined);
  t.equal(await part.kept(), undefined, 'of no version');
  await part.write(Buffer.alloc(20_000, 'b'));
  t.equal(out().length, 20_000 - 16 * 1024);
  await t.rejects(part.begin('"w"'), { code: 'GET_STREAM_BROKEN', message: /3616 bytes/ });
  await part.discard();
  await part.finish();
  t.equal(out().length, 3616, 'nor does the rest go out');
});
