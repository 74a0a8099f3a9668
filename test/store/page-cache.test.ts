import fc from 'fast-check';
import t from 'tap';
import { PageCacheGuess } from '../../src/store/page-cache.ts';

const FAST = 0.2;
const SLOW = 15;

t.test(
  'what was written or read just now is read on this thread, anything else after one read elsewhere',
  async (t) => {
    t.equal(new PageCacheGuess(true).isInMemory, true);
    const guess = new PageCacheGuess(false);
    t.equal(guess.isInMemory, false);
    guess.pooled();
    t.equal(guess.isInMemory, true);
  },
);

t.test('one slow read is an accident, two in a row are a disk', async (t) => {
  const guess = new PageCacheGuess(true);
  for (const ms of [SLOW, FAST, SLOW, FAST]) guess.took(ms);
  t.equal(guess.isInMemory, true);
  guess.took(SLOW);
  guess.took(SLOW);
  t.equal(guess.isInMemory, false);
  let pooled = 0;
  for (; !guess.isInMemory; pooled += 1) guess.pooled();
  t.equal(pooled, 32, 'it tries again after a while');
});

t.test('a cold disk stalls few reads, and a warm one is never left to the pool', async (t) => {
  fc.assert(
    fc.property(fc.boolean(), fc.integer({ min: 200, max: 2000 }), (isInMemory, reads) => {
      const cold = new PageCacheGuess(isInMemory);
      const warm = new PageCacheGuess(isInMemory);
      let stalls = 0;
      let pooled = 0;
      for (let i = 0; i < reads; i += 1) {
        if (cold.isInMemory) {
          stalls += 1;
          cold.took(SLOW);
        } else cold.pooled();
        if (warm.isInMemory) warm.took(FAST);
        else {
          pooled += 1;
          warm.pooled();
        }
      }
      return stalls <= reads / 17 + 2 && pooled <= 1;
    }),
  );
  t.end();
});
