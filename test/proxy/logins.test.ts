import t from 'tap';
import { isPasswordOf, parsePasswordHash, type PasswordHash } from '../../src/base/password-hash.ts';
import { Logins, MAX_FAILURES } from '../../src/proxy/logins.ts';
import { cheapHash } from '../support/cheap-hash.ts';
import { ManualClock } from '../support/manual-clock.ts';

const HOME = '192.0.2.1';
const MINUTE_MS = 60_000;
const ALICE = parsePasswordHash(cheapHash('alices-password'))!;
/** Cheap, where nothing but its being computed matters. */
const QUICK = parsePasswordHash(`$scrypt$ln=1,r=1,p=1$${'A'.repeat(22)}$${'B'.repeat(43)}`)!;

function start(users: Record<string, PasswordHash> = { alice: ALICE }) {
  const clock = new ManualClock();
  const hashed: PasswordHash[] = [];
  const hash: typeof isPasswordOf = (known, password) => {
    hashed.push(known);
    return isPasswordOf(known, password);
  };
  return { clock, hashed, logins: new Logins({ clock, users: new Map(Object.entries(users)), hash }) };
}

const codeIn = (login: Promise<void>): Promise<string> =>
  login.then(
    () => 'in',
    (error: { code: string; params?: { tooMany?: boolean } }) => (error.params?.tooMany ? 'TOO_MANY' : error.code),
  );

t.test('the right password, and nothing else', async (t) => {
  const { logins } = start();
  t.equal(await codeIn(logins.check('alice', 'alices-password', HOME)), 'in');
  for (const [name, password] of [
    ['alice', 'alices-passwor'],
    ['alice', ''],
    ['bob', 'alices-password'],
    ['', ''],
    ['alice', 'x'.repeat(2000)],
    ['__proto__', 'x'],
  ] as const)
    t.equal(await codeIn(logins.check(name, password, HOME)), 'LOGIN_REFUSED', name);
  const nobody = start({}).logins;
  t.equal(await codeIn(nobody.check('alice', 'x', HOME)), 'LOGIN_REFUSED', 'with no users at all');
});

t.test('a name that nobody has costs the hash of somebody, always the same one', async (t) => {
  const { logins, hashed } = start({ alice: ALICE, bob: QUICK });
  t.equal(await codeIn(logins.check('mallory', 'one', HOME)), 'LOGIN_REFUSED');
  t.equal(await codeIn(logins.check('mallory', 'two', HOME)), 'LOGIN_REFUSED');
  t.equal(hashed.length, 2);
  t.equal(hashed[0], hashed[1]);
});

t.test('what was found out is remembered for a while', async (t) => {
  const { clock, logins, hashed } = start();
  for (let i = 0; i < 500; i += 1) await logins.check('alice', 'alices-password', HOME);
  t.equal(hashed.length, 1, 'hundreds of requests of one pull cost one hash');
  for (let i = 0; i < 5; i += 1) await codeIn(logins.check('alice', 'wrong', HOME));
  t.equal(hashed.length, 2, 'and so do those with an old password');
  clock.advance(5 * MINUTE_MS);
  t.equal(await codeIn(logins.check('alice', 'alices-password', HOME)), 'in');
  t.equal(hashed.length, 3, 'found out again');
  logins.replace(new Map());
  t.equal(
    await codeIn(logins.check('alice', 'alices-password', HOME)),
    'LOGIN_REFUSED',
    'who is gone from the file is out at once',
  );
});

t.test('who guesses is stopped; who was in stays in, and others are not concerned', async (t) => {
  const { clock, logins } = start({ alice: ALICE, bob: QUICK });
  t.equal(await codeIn(logins.check('alice', 'alices-password', HOME)), 'in');
  const guesses = Array.from({ length: 2 * MAX_FAILURES }, (_, i) => codeIn(logins.check('bob', `guess-${i}`, HOME)));
  const answers = await Promise.all(guesses);
  t.equal(
    answers.filter((answer) => answer === 'LOGIN_REFUSED').length,
    MAX_FAILURES,
    'also where all come at the same time',
  );
  t.equal(answers.filter((answer) => answer === 'TOO_MANY').length, MAX_FAILURES);
  t.equal(await codeIn(logins.check('alice', 'alices-password', HOME)), 'in', 'known already');
  t.equal(await codeIn(logins.check('bob', 'guess-1', '192.0.2.2')), 'LOGIN_REFUSED', 'another address');
  clock.advance(MINUTE_MS);
  t.equal(await codeIn(logins.check('bob', 'guess-100', HOME)), 'LOGIN_REFUSED', 'after a minute');
});

t.test('a client with IPv6 is its /64', async (t) => {
  const { logins } = start({ bob: QUICK });
  for (let i = 0; i < MAX_FAILURES; i += 1) await codeIn(logins.check('bob', `${i}`, `2001:db8:0:1::${i}`));
  t.equal(await codeIn(logins.check('bob', 'x', '2001:db8:0:1:a:b:c:d')), 'TOO_MANY');
  t.equal(await codeIn(logins.check('bob', 'x', '2001:db8:0:2::1')), 'LOGIN_REFUSED');
});

t.test('the same login many times at once is one hash; too many different ones are put off', async (t) => {
  const { logins, hashed } = start();
  const same = await Promise.all(
    Array.from({ length: 200 }, () => codeIn(logins.check('alice', 'alices-password', HOME))),
  );
  t.same([[...new Set(same)], hashed.length], [['in'], 1]);
  const crowd = start({ bob: QUICK }).logins;
  const many = await Promise.all(
    Array.from({ length: 200 }, (_, i) => codeIn(crowd.check('bob', 'x'.repeat(i), `192.0.2.${i}`))),
  );
  t.ok(many.includes('LOGINS_BUSY'));
  t.ok(many.filter((code) => code === 'LOGIN_REFUSED').length >= 60);
  t.equal(await codeIn(crowd.check('bob', 'again', HOME)), 'LOGIN_REFUSED', 'and then there is room again');
});
