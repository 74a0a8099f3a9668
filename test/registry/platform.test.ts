import fc from 'fast-check';
import t from 'tap';
import { bestFor, formatPlatform, ownPlatform, parsePlatform, platformIn } from '../../src/registry/platform.ts';

const of = (text: string) => ({ text, platform: parsePlatform(text)! });

t.test('platforms as people write them', async (t) => {
  t.same(parsePlatform('linux/amd64'), { os: 'linux', architecture: 'amd64', variant: '' });
  t.same(parsePlatform('Linux/x86_64'), { os: 'linux', architecture: 'amd64', variant: '' });
  t.same(parsePlatform('linux/aarch64/v8'), { os: 'linux', architecture: 'arm64', variant: '' });
  t.same(parsePlatform('linux/arm'), { os: 'linux', architecture: 'arm', variant: 'v7' });
  for (const text of ['', 'linux', 'linux/', '/amd64', 'linux/arm/v7/x', 'linux/a b', `linux/${'a'.repeat(40)}`]) {
    t.equal(parsePlatform(text), undefined, text);
  }
  t.equal(formatPlatform(ownPlatform('x64')), 'linux/amd64');
  t.equal(formatPlatform(ownPlatform('arm64')), 'linux/arm64');
  t.equal(formatPlatform(ownPlatform('arm')), 'linux/arm/v7');
});

t.test('the best of an index for a machine', async (t) => {
  const offers = ['linux/arm/v5', 'linux/arm/v6', 'linux/amd64', 'linux/arm64/v8', 'windows/amd64'].map(of);
  const best = (text: string) => bestFor(parsePlatform(text)!, offers)?.text;
  t.equal(best('linux/amd64'), 'linux/amd64');
  t.equal(best('linux/amd64/v3'), 'linux/amd64', 'what has no variant runs on any');
  t.equal(best('linux/arm/v7'), 'linux/arm/v6', 'an older one runs too');
  t.equal(best('linux/arm64'), 'linux/arm64/v8');
  t.equal(best('linux/riscv64'), undefined);
  t.equal(bestFor(parsePlatform('linux/amd64')!, [{ text: 'none' } as never]), undefined);
});

t.test('what descriptors say is read, or not, and never throws', async (t) => {
  t.same(platformIn({ os: 'linux', architecture: 'arm', variant: 'v6' }), of('linux/arm/v6').platform);
  fc.assert(
    fc.property(fc.anything(), (value) => {
      const platform = platformIn(value);
      return platform === undefined || typeof formatPlatform(platform) === 'string';
    }),
  );
});
