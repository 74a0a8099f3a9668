import fc from 'fast-check';
import t from 'tap';
import { parseRateLimit } from '../../src/registry/probe.ts';
import { failureOf, openUpstream } from '../support/registry-client.ts';

t.test('what the first question brings', async (t) => {
  const { origin, upstream } = await openUpstream(t);
  const probe = upstream.probe();
  t.match(await probe.ping(), { status: 200, challenges: [] });
  t.equal(await probe.logIn([]), undefined, 'no challenge, no login');
  origin.auth.mode = 'bearer';
  const { status, challenges } = await probe.ping();
  t.equal(status, 401);
  t.match(await probe.logIn(challenges), { by: 'bearer', realm: origin.host, credential: 'none' });
  t.equal(origin.of('ping').length, 2, 'an anonymous token opens nothing at /v2/, and is not tried');
});

t.test('a token that the registry then does not take', async (t) => {
  const { origin, upstream } = await openUpstream(t, { username: 'me', passwordFile: '/dev/null' });
  origin.auth.mode = 'bearer';
  const { challenges } = await upstream.probe().ping();
  t.equal((await failureOf(upstream.probe().logIn(challenges))).code, 'ORIGIN_CREDENTIALS', 'an empty password');
});

t.test('the limit that headers tell', (t) => {
  const both = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' };
  t.same(parseRateLimit(both), { limit: 100, remaining: 76, windowS: 21_600 });
  t.same(parseRateLimit({ 'ratelimit-remaining': '5' }), { limit: undefined, remaining: 5, windowS: undefined });
  t.equal(parseRateLimit({}), undefined);
  t.equal(parseRateLimit({ 'ratelimit-remaining': 'many' }), undefined);
  fc.assert(
    fc.property(fc.nat(999_999_999), fc.nat(999_999_999), (limit, windowS) => {
      const told = parseRateLimit({
        'ratelimit-limit': `${limit};w=${windowS}`,
        'ratelimit-remaining': `${limit} ; w=1`,
      });
      return told?.limit === limit && told.remaining === limit && told.windowS === 1;
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => (parseRateLimit({ 'ratelimit-remaining': text })?.remaining ?? 0) >= 0));
  t.end();
});
