import fc from 'fast-check';
import t from 'tap';
import { claimsOf } from '../../src/registry/token-claims.ts';

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = (claims: unknown, signature = 'c2lnbmF0dXJl') =>
  `${encode({ alg: 'RS256' })}.${encode(claims)}.${signature}`;

t.test('what tokens of registries say', async (t) => {
  t.same(claimsOf(jwt({ exp: 1_700_000_000, sub: 'alice', access: [] })), {
    expiresAt: 1_700_000_000_000,
    subject: 'alice',
  });
  t.same(claimsOf(jwt({ exp: 1_700_000_000.5 })), { expiresAt: 1_700_000_000_500 });
  t.same(claimsOf(jwt({ exp: 1 }, '')), { expiresAt: 1000 }, 'without a signature: the registry has to check it');
  t.same(claimsOf(jwt({ exp: -5, sub: '' })), { expiresAt: -5000 }, 'long past; nobody is named');
  for (const exp of ['1700000000', null, {}, [], true, 1e300]) t.same(claimsOf(jwt({ exp })), {}, JSON.stringify(exp));
  for (const sub of [7, null, ['a'], 'x'.repeat(101)]) t.same(claimsOf(jwt({ sub })), {}, JSON.stringify(sub));
});

t.test('opaque tokens say nothing', async (t) => {
  const opaque = [
    '',
    'secret',
    'a.b',
    'a.b.c',
    'a.b.c.d',
    `${encode({})}.${encode([{ exp: 1 }])}.x`,
    `x.${encode(null)}.x`,
  ];
  opaque.push(
    `x.${encode(5)}.x`,
    `x.${encode('exp')}.x`,
    `.${encode({ exp: 1 })}.`,
    `x.${Buffer.from('{"exp":1').toString('base64url')}.x`,
  );
  opaque.push(`x. ${encode({ exp: 1 })}.x`, `x.${Buffer.from('{"exp":1}').toString('base64')}=.x`);
  for (const token of opaque) t.same(claimsOf(token), {}, token);
});

t.test('property: nothing throws, and what comes out is sound; every exp is found again', async () => {
  const isSound = (token: string) => {
    const { expiresAt, subject, ...rest } = claimsOf(token);
    const isTime = expiresAt === undefined || !Number.isNaN(new Date(expiresAt).getTime());
    return (
      isTime && (subject === undefined || (subject !== '' && subject.length <= 100)) && Object.keys(rest).length === 0
    );
  };
  fc.assert(fc.property(fc.string(), isSound));
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => isSound(`x.${Buffer.from(text).toString('base64url')}.x`)),
  );
  fc.assert(fc.property(fc.jsonValue(), (value) => isSound(jwt(value))));
  fc.assert(fc.property(fc.record({ exp: fc.jsonValue(), sub: fc.jsonValue() }), (claims) => isSound(jwt(claims))));
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 4_102_444_800 }),
      fc.dictionary(fc.string(), fc.jsonValue()),
      (exp, others) => {
        return claimsOf(jwt({ ...others, exp })).expiresAt === exp * 1000;
      },
    ),
  );
});
