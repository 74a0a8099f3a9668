import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { parseSecrets, readSecretFile, secretsText } from '../../../src/p2p/protocol/secret-file.ts';

const SECRET = 'correct horse battery staple, and then some';
const OTHER = 'another secret that is long enough for it';

t.test('a secret file: one line of 32 characters or more that nobody else can read', async (t) => {
  const dir = t.testdir({ good: `${SECRET}\n`, short: 'too short\n', two: `${SECRET}\n${OTHER}\n`, dir: {} });
  const path = (name: string) => join(dir, name);
  for (const name of ['good', 'short', 'two']) await chmod(path(name), 0o600);
  t.same(await readSecretFile(path('good')), { first: SECRET });
  t.same(await readSecretFile(path('two')), { first: SECRET, second: { secret: OTHER, role: 'second' } });
  await t.rejects(readSecretFile(path('short')), { code: 'SECRET_UNUSABLE', message: /less than 32/ });
  await t.rejects(readSecretFile(path('none')), { code: 'SECRET_UNUSABLE', message: /ENOENT/ });
  await t.rejects(readSecretFile(path('dir')), { code: 'SECRET_UNUSABLE' });
  await writeFile(path('long'), 'x'.repeat(5000), { mode: 0o600 });
  await t.rejects(readSecretFile(path('long')), { message: /more than 1024/ });
  await writeFile(path('long'), `${SECRET}\n${'x'.repeat(5000)}`, { mode: 0o600 });
  await t.rejects(readSecretFile(path('long')), { message: /second line has more than 1024/ });
  await chmod(path('good'), 0o640);
  const error = await readSecretFile(path('good')).catch((error: unknown) => error as Error);
  t.match((error as Error).message, /others than its owner/);
  t.notMatch((error as Error).message, /horse/, 'nothing of what is in it');
});

t.test('a second line, while the secret is being replaced', async (t) => {
  const second = (role: string) => ({ first: SECRET, second: { secret: OTHER, role } });
  t.same(parseSecrets(`${SECRET}\nnext: ${OTHER}\n`), second('next'));
  t.same(parseSecrets(`${SECRET}\r\nprevious:${OTHER}\r\n`), second('previous'));
  t.same(parseSecrets(`${SECRET}\n${OTHER}`), second('second'));
  t.match(parseSecrets(`${SECRET}\nnext: short`), /its second line has less/);
  t.match(parseSecrets(`short\nnext: ${OTHER}`), /its first line has less/);
  t.match(parseSecrets(`${SECRET}\n\n`), /its second line has less/, 'an empty line is no secret');
  t.match(parseSecrets(`${SECRET}\nnext: ${SECRET}`), /the same secret/);
  t.match(parseSecrets(`${SECRET}\n${OTHER}\n${OTHER}x`), /more than two lines/);
  t.match(parseSecrets(''), /less than 32/);
});

t.test('what is written is read again, and what is read says nothing of itself where it is wrong', async () => {
  const secret = fc.string({
    unit: fc.constantFrom('a', 'z', 'A', '0', '9', '+', '/', '=', '-', '_', ':', ' '),
    minLength: 32,
    maxLength: 60,
  });
  const role = fc.constantFrom('next' as const, 'previous' as const);
  fc.assert(
    fc.property(secret, fc.option(fc.record({ secret, role }), { nil: undefined }), (first, second) => {
      fc.pre(second?.secret !== first && second?.secret.startsWith(' ') !== true);
      const parsed = parseSecrets(secretsText(second ? { first, second } : { first }));
      return typeof parsed !== 'string' && parsed.first === first && parsed.second?.secret === second?.secret;
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      const parsed = parseSecrets(text);
      return typeof parsed !== 'string' || parsed.length < 80;
    }),
  );
});
