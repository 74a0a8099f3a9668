import fc from 'fast-check';
import t from 'tap';
import { netrcLogin } from '../../src/cli/file-login.ts';

t.test('a netrc: by machine, else the default; comments and macros are none', async (t) => {
  const text = `
# machine a.test login commented password out
machine a.test login ann password p1
machine b.test
  login bob
  account x
  password "p 2 \\"quoted\\""
macdef init
  machine c.test login mac password ro

machine c.test login cy
default login anybody password all
`;
  t.equal(netrcLogin(text, 'a.test'), 'ann:p1');
  t.equal(netrcLogin(text, 'b.test'), 'bob:p 2 "quoted"');
  t.equal(netrcLogin(text, 'c.test'), 'cy:');
  t.equal(netrcLogin(text, 'd.test'), 'anybody:all');
  t.equal(netrcLogin('machine A.test login a password b', 'a.test'), 'a:b');
  t.equal(netrcLogin('machine a.test password b', 'a.test'), undefined);
  t.equal(netrcLogin('machine a.test login a password b', 'x.a.test'), undefined);
  t.equal(netrcLogin('login a password b', 'a.test'), undefined);
});

t.test('whatever is in it, it is read', async () => {
  const word = fc.constantFrom(
    'machine',
    'login',
    'password',
    'default',
    'macdef',
    '#',
    '"',
    'a.test',
    '\n',
    ' ',
    '\\',
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 40 }), (words) => {
      const found = netrcLogin(words.join(' '), 'a.test');
      return found === undefined || found.includes(':');
    }),
  );
});
