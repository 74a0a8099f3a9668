import t from 'tap';
import { Markers } from './support/markers.ts';

t.test('a secret is found in every form, and others are not', async (t) => {
  const markers = new Markers();
  const secret = markers.make('password');
  const other = new Markers().make('other');
  const bytes = Buffer.from(secret);
  const forms: Record<string, string> = {
    plain: secret,
    base64: bytes.toString('base64'),
    'base64 behind one letter': Buffer.from(`a${secret}`).toString('base64'),
    'base64 behind a user': Buffer.from(`ab:${secret}!`).toString('base64'),
    'base64 behind a longer user': Buffer.from(`alice:${secret}`).toString('base64url'),
    hex: bytes.toString('hex'),
    'hex in capitals': bytes.toString('hex').toUpperCase(),
    'URL-encoded': [...bytes].map((byte) => `%${byte.toString(16)}`).join(''),
    'a buffer in JSON': JSON.stringify(bytes),
    'JSON escapes': [...bytes].map((byte) => `\\u00${byte.toString(16)}`).join(''),
    reversed: secret.split('').toReversed().join(''),
  };
  for (const [form, text] of Object.entries(forms)) {
    t.match(markers.findIn(`before ${text} behind`), [{ secret: 'password' }], form);
    t.same(markers.without('password').findIn(text), [], 'not looked for');
  }
  t.same(markers.findIn(`${other} ${Buffer.from(other).toString('base64')}`), [], "another's");
  markers.add('token', 'secret-token-1');
  t.match(markers.findIn('{"t":"secret-token-1"}'), [{ secret: 'token', form: 'plain' }]);
  t.equal(markers.make('long', 40).length, 40);
});
