import fc from 'fast-check';
import t from 'tap';
import { ManualClock } from '../support/manual-clock.ts';
import { failureOf } from '../support/registry-client.ts';
import { AddressRefused } from '../../src/http/address-errors.ts';
import { CodedError } from '../../src/base/errors.ts';
import * as errors from '../../src/registry/errors.ts';
import { failureOfStatus, failureOfTransport, retryAfterMs } from '../../src/registry/failures.ts';
import { mayCarryAuthorization, redirectTarget } from '../../src/registry/redirects.ts';
import { retrying } from '../../src/registry/retry.ts';
import { tokenRealm } from '../../src/registry/realm.ts';

const errand = { upstream: 'r.test', step: 'asking' };
const coded = (code: string, options?: ErrorOptions) => Object.assign(new Error(`it was ${code}`, options), { code });

t.test('what broken connections are called', async (t) => {
  const cases: [unknown, string, boolean][] = [
    [coded('ECONNREFUSED'), 'ORIGIN_UNREACHABLE', false],
    [coded('ENOTFOUND'), 'ORIGIN_UNREACHABLE', false],
    ['thrown', 'ORIGIN_UNREACHABLE', false],
    [coded('ECONNRESET'), 'ORIGIN_CUT', false],
    [coded('UND_ERR_SOCKET'), 'ORIGIN_CUT', false],
    [coded('ETIMEDOUT'), 'ORIGIN_TIMEOUT', false],
    [coded('UND_ERR_CONNECT_TIMEOUT'), 'ORIGIN_TIMEOUT', false],
    [coded('CERT_HAS_EXPIRED'), 'ORIGIN_TLS', true],
    [coded('DEPTH_ZERO_SELF_SIGNED_CERT'), 'ORIGIN_TLS', true],
    [coded('ERR_TLS_CERT_ALTNAME_INVALID'), 'ORIGIN_TLS', true],
    [coded('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), 'ORIGIN_TLS', true],
    [coded('HPE_INVALID_CONSTANT'), 'ORIGIN_BAD_RESPONSE', true],
    [coded('UND_ERR_HEADERS_OVERFLOW'), 'ORIGIN_BAD_RESPONSE', true],
    [coded('X', { cause: coded('ECONNRESET') }), 'ORIGIN_CUT', false],
    [new AggregateError([coded('ECONNREFUSED')]), 'ORIGIN_UNREACHABLE', false],
    [new AddressRefused({ host: 'x', address: '10.0.0.1' }), 'ADDRESS_REFUSED', true],
    [coded('X', { cause: new AddressRefused({ host: 'x', address: '::1' }) }), 'ADDRESS_REFUSED', true],
  ];
  for (const [thrown, code, final] of cases) {
    const error = failureOfTransport(errand, thrown);
    t.match(error, { code, final, answer: undefined }, code);
    t.ok(error.message.startsWith('r.test, asking: ') && error.todo.length > 0);
    t.equal(failureOfTransport(errand, error), error);
  }
  t.match(failureOfTransport(errand, new AggregateError([coded('ECONNREFUSED')])).message, /it was ECONNREFUSED/);
});

t.test('the catalogue', async (t) => {
  for (const [name, value] of Object.entries(errors)) {
    if (typeof value !== 'function' || !('code' in value)) continue;
    const error = new value({ ...errand, seen: 'x', retryAfterMs: 5 }, { cause: 'c' });
    t.ok(errors.isOriginError(error) && error instanceof CodedError && error.todo !== '', name);
    t.match(error, { name: error.code, message: 'r.test, asking: x', retryAfterMs: 5, cause: 'c' });
    t.equal(error.code, value.code);
  }
  t.notOk(errors.isOriginError(new Error('x')));
});

t.test('Retry-After', async (t) => {
  const now = Date.UTC(2026, 0, 1);
  for (const [header, expected] of [
    [undefined, undefined],
    ['', undefined],
    ['5', 5000],
    [' 0 ', 0],
    ['1.5', 1500],
    [['7', '8'], 7000],
    ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    ['Thu, 01 Jan 2025 00:00:30 GMT', 0],
    ['soon', undefined],
    ['-5', undefined],
    ['2026-01-01', undefined],
  ] as const) {
    t.equal(retryAfterMs(header as string | string[] | undefined, now), expected, String(header));
  }
  fc.assert(fc.property(fc.string(), (header) => (retryAfterMs(header, now) ?? 0) >= 0));
});

t.test('every status has an error', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 300, max: 599 }), fc.string(), (status, text) => {
      const error = failureOfStatus(errand, { status, headers: {}, body: Buffer.from(text), secrets: [] }, 0);
      return (
        error.message.includes(String(status)) &&
        (error.final || status === 408 || status === 425 || status === 429 || status >= 500)
      );
    }),
  );
});

t.test('what is tried again, and when', async (t) => {
  const failure = { ...errand, seen: 'x' };
  const run = async (error: Error, clock = new ManualClock()) => {
    let tries = 0;
    const done = failureOf(
      retrying(() => {
        tries += 1;
        return Promise.reject(error);
      }, clock),
    );
    await clock.advance(0);
    const atOnce = tries;
    await clock.advance(20_000);
    if (clock.waiting > 0) throw new Error('it still waits');
    t.equal(await done, error);
    return [atOnce, tries];
  };
  t.strictSame(await run(new errors.OriginServerError(failure)), [1, 3]);
  t.strictSame(await run(new errors.OriginUnreachable(failure)), [1, 3]);
  t.strictSame(await run(new errors.OriginCut(failure)), [2, 3]);
  t.strictSame(await run(new errors.OriginServerError({ ...failure, retryAfterMs: 5000 })), [1, 3]);
  t.strictSame(await run(new errors.OriginServerError({ ...failure, retryAfterMs: 5001 })), [1, 1]);
  t.strictSame(await run(new errors.OriginRateLimited({ ...failure, retryAfterMs: 1000 })), [1, 3]);
  t.strictSame(await run(new errors.OriginRateLimited(failure)), [1, 1]);
  t.strictSame(await run(new errors.OriginTimeout(failure)), [1, 1]);
  t.strictSame(await run(new errors.OriginNotFound(failure)), [1, 1]);
  t.strictSame(await run(new Error('another')), [1, 1]);
  const abort = new AbortController();
  const reason = new Error('gone');
  const clock = new ManualClock();
  const waiting = failureOf(retrying(() => Promise.reject(new errors.OriginServerError(failure)), clock, abort.signal));
  await clock.advance(0);
  abort.abort(reason);
  t.equal(await waiting, reason);
  t.equal(await failureOf(retrying(() => Promise.reject(new Error('x')), clock, abort.signal)), reason);
});

t.test('redirects', async (t) => {
  const from = new URL('https://r.test/v2/x');
  const state = { hops: 0, upstreamIsPlain: false };
  t.equal(redirectTarget(errand, from, '/y?a=b#c', state).href, 'https://r.test/y?a=b');
  t.equal(redirectTarget(errand, from, ['//cdn.test/y'], state).href, 'https://cdn.test/y');
  t.equal(redirectTarget(errand, from, 'https://u:p@cdn.test/', state).href, 'https://cdn.test/');
  t.equal(
    redirectTarget(errand, from, 'http://cdn.test/', { hops: 9, upstreamIsPlain: true }).href,
    'http://cdn.test/',
  );
  for (const [location, hops] of [
    [undefined, 0],
    ['http://r.test/', 0],
    ['file:///etc/passwd', 0],
    ['/y', 10],
  ] as const) {
    t.throws(() => redirectTarget(errand, from, location, { hops, upstreamIsPlain: false }), {
      code: 'ORIGIN_REDIRECT_REFUSED',
    });
  }
  const may = (a: string, b: string) => mayCarryAuthorization(new URL(a), new URL(b));
  t.ok(may('https://r.test', 'https://r.test:443/x'));
  t.notOk(
    may('https://r.test', 'http://r.test') ||
      may('https://r.test', 'https://r.test:8443') ||
      may('https://r.test', 'https://a.r.test'),
  );
});

t.test('token realms by registrable domain', async (t) => {
  const realm = (url: string, registry: string, allowed = '') =>
    tokenRealm(errand, url, new URL(registry), (host) => host === allowed).href;
  t.equal(realm('https://auth.docker.io/token', 'https://registry-1.docker.io'), 'https://auth.docker.io/token');
  realm('https://gitlab.com/jwt/auth', 'https://registry.gitlab.com');
  realm('https://r.corp.co.uk/t', 'https://auth.corp.co.uk');
  realm('http://localhost:5001/t', 'http://localhost:5000');
  realm('https://[::1]:1/t', 'https://[::1]:2');
  realm('https://ghcr.io/token', 'https://lscr.io', 'ghcr.io');
  for (const [url, registry] of [
    ['https://ghcr.io/token', 'https://lscr.io'],
    ['https://evil.co.uk/t', 'https://good.co.uk'],
    ['https://a.github.io/t', 'https://b.github.io'],
    ['https://10.0.0.1/t', 'https://10.0.0.2'],
    ['http://r.test/t', 'https://r.test'],
  ] as const) {
    t.throws(() => realm(url, registry), { code: 'ORIGIN_REALM_REFUSED' }, url);
  }
});
