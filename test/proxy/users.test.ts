import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { CodedError } from '../../src/base/errors.ts';
import { isUserName } from '../../src/base/user-name.ts';
import { parseUsers, readUsers } from '../../src/proxy/users.ts';

const BCRYPT = '$2b$05$x7eOtQR1otH3fBA9l4HfVuirIKYjCf.KgClpCNIZ371B2RIqd5IGm';
const SCRYPT = `$scrypt$ln=15,r=8,p=3$${'A'.repeat(22)}$${'B'.repeat(43)}`;

function failureOf(text: string): CodedError {
  try {
    parseUsers(text, '/users');
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

t.test('property: what was written is read, whatever stands between', async () => {
  const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._@+-]{0,20}$/).filter(isUserName);
  const noise = fc.constantFrom('', '   ', '# a comment: with:colons', '\t');
  const user = fc.record({
    name,
    hash: fc.constantFrom(BCRYPT, SCRYPT),
    before: noise,
    end: fc.constantFrom('\n', '\r\n'),
  });
  fc.assert(
    fc.property(fc.uniqueArray(user, { selector: ({ name }) => name, maxLength: 20 }), (users) => {
      const text = users.map(({ name, hash, before, end }) => `${before}${end}${name}:${hash}${end}`).join('');
      const read = parseUsers(text, '/users');
      const kinds = users.map(({ name, hash }) => [name, hash === BCRYPT ? 'bcrypt' : 'scrypt']);
      return JSON.stringify([...read].map(([name, { kind }]) => [name, kind])) === JSON.stringify(kinds);
    }),
  );
});

t.test('property: any text is taken, or refused with a line and nothing of its content', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      try {
        parseUsers(text, '/users');
        return true;
      } catch (error) {
        return error instanceof CodedError && error.code === 'USERS_FILE_UNUSABLE' && /line \d+ /.test(error.message);
      }
    }),
  );
});

t.test('what is wrong, and where', async (t) => {
  const cases: [string, RegExp][] = [
    ['secret-line', /line 1 has no colon/],
    [`\n# x\n:${BCRYPT}`, /line 3 begins with no name/],
    [`loopback:${BCRYPT}`, /line 1 begins with no name/],
    [`a b:${BCRYPT}`, /begins with no name/],
    [`a/b:${BCRYPT}`, /begins with no name/],
    [`alice:${BCRYPT}\nalice:${SCRYPT}`, /line 2 names a user for the second time/],
    ['alice:hunter2-secret', /line 1 holds no hash of scrypt .* or bcrypt/],
    ['alice:$apr1$secret$x', /holds no hash/],
  ];
  for (const [text, message] of cases) {
    const error = failureOf(text);
    t.match(error, { code: 'USERS_FILE_UNUSABLE', message });
    t.notMatch(error.message, /secret/, 'nothing of what it holds');
  }
  t.match(failureOf(Array.from({ length: 10_001 }, (_, i) => `u${i}:${BCRYPT}`).join('\n')).message, /more than 10000/);
});

t.test('the file', async (t) => {
  const dir = t.testdir({ users: `alice:${BCRYPT}\n` });
  t.same([...(await readUsers(join(dir, 'users'))).keys()], ['alice']);
  await t.rejects(readUsers(join(dir, 'none')), { code: 'USERS_FILE_UNUSABLE', message: /ENOENT/ });
  mkdirSync(join(dir, 'folder'));
  await t.rejects(readUsers(join(dir, 'folder')), { code: 'USERS_FILE_UNUSABLE', message: /EISDIR/ });
  writeFileSync(join(dir, 'large'), '#'.repeat(1024 * 1024 + 1));
  await t.rejects(readUsers(join(dir, 'large')), { code: 'USERS_FILE_UNUSABLE', message: /larger than/ });
  chmodSync(join(dir, 'large'), 0o600);
});
