import t from 'tap';
import { failureOfStatus } from '../../src/registry/failures.ts';
import { secretsIn, withoutSecrets, type Sent } from '../../src/registry/sent-secrets.ts';

const URL_OF_BLOB = new URL('https://registry.test/v2/org/app/blobs/x');
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

/** What an error says where the one who was asked says all of `sent` again, in every way that it can. */
function told(sent: Sent, said: string): string {
  const body = Buffer.from(JSON.stringify({ message: said }));
  const errand = { upstream: 'registry.test', step: 'asking' };
  return failureOfStatus(errand, { status: 500, headers: {}, body, secrets: secretsIn(sent) }, 0).message;
}

t.test('what was sent is not told, although it is said again', async (t) => {
  const password = 'p"ss/w+rd é';
  const forms = [
    password,
    Buffer.from(password).toString('base64'),
    Buffer.from(password).toString('base64url'),
    Buffer.from(password).toString('hex'),
    encodeURIComponent(password),
    JSON.stringify(password).slice(1, -1),
  ];
  const sents: Sent[] = [
    { url: URL_OF_BLOB, headers: { authorization: basic(`ann:${password}`) } },
    { url: URL_OF_BLOB, form: { username: 'ann', password } },
    { url: URL_OF_BLOB, form: { refresh_token: password } },
    { url: URL_OF_BLOB, headers: { 'private-token': password, range: 'bytes=0-0' } },
    { url: URL_OF_BLOB, headers: { cookie: `theme=dark; session=${password}` } },
    { url: new URL(`?X-Amz-Signature=${encodeURIComponent(password)}`, URL_OF_BLOB) },
  ];
  for (const sent of sents) {
    for (const form of forms)
      t.equal(told(sent, `no ${form} here`), 'registry.test, asking: status 500, no … here', form);
  }
  const header = basic('ann:hunter2');
  t.equal(
    told({ url: URL_OF_BLOB, headers: { authorization: header } }, `got ${header.slice(6)}`).includes('got …'),
    true,
  );
  t.match(told({ url: URL_OF_BLOB, headers: { authorization: 'Bearer tiny' } }, 'got tiny'), /got …$/);
});

t.test('what is no secret is told', async (t) => {
  const url = new URL('https://auth.test/token?service=registry.test&scope=repository:org/app:pull');
  t.same(secretsIn({ url, headers: { accept: 'text/plain' }, form: { username: 'ann', password: 'abc' } }), []);
  t.match(told({ url }, 'repository:org/app:pull denied'), /repository:org\/app:pull denied$/);
  t.equal(withoutSecrets('text', []), 'text');
});
