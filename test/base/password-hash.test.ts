import t from 'tap';
import { hashPassword, isPasswordOf, parsePasswordHash } from '../../src/base/password-hash.ts';

/** As `htpasswd -nbBC 5` and crypt(3) make them. */
const BCRYPT = '$2b$05$x7eOtQR1otH3fBA9l4HfVuirIKYjCf.KgClpCNIZ371B2RIqd5IGm';
/** RFC 7914, section 12: N=1024, r=8, p=16, "password", "NaCl". */
const RFC =
  '$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA';

t.test('a password made here is known again, and no other', async (t) => {
  const text = await hashPassword('correct horse');
  t.match(text, /^\$scrypt\$ln=15,r=8,p=3\$[\w+/]{22}\$[\w+/]{43}$/);
  t.not(await hashPassword('correct horse'), text, 'salted');
  const hash = parsePasswordHash(text)!;
  t.equal(await isPasswordOf(hash, 'correct horse'), true);
  for (const other of ['correct hors', 'Correct horse', '']) t.equal(await isPasswordOf(hash, other), false, other);
  const accents = parsePasswordHash(await hashPassword('caf\u00e9'))!;
  t.equal(await isPasswordOf(accents, 'cafe\u0301'), true, 'however the accent is written');
});

t.test('hashes from elsewhere: bcrypt in its three spellings, scrypt of the RFC', async (t) => {
  for (const kind of ['2a', '2b', '2y']) {
    const hash = parsePasswordHash(BCRYPT.replace('2b', kind))!;
    t.equal(hash.kind, 'bcrypt');
    t.equal(await isPasswordOf(hash, 'carols-password'), true, kind);
    t.equal(await isPasswordOf(hash, 'carols-passwore'), false, kind);
  }
  const salted = RFC.replace('TmFDbA', 'TmFDbAAAAAA');
  t.equal(parsePasswordHash(RFC), undefined, 'with too short a salt');
  t.equal(await isPasswordOf(parsePasswordHash(salted)!, 'password'), false);
});

t.test('what is no hash, or would cost too much, is none', async (t) => {
  const bad = [
    '',
    'secret',
    '{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=',
    '$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/',
    '$2b$15$x7eOtQR1otH3fBA9l4HfVuirIKYjCf.KgClpCNIZ371B2RIqd5IGm',
    '$2b$03$x7eOtQR1otH3fBA9l4HfVuirIKYjCf.KgClpCNIZ371B2RIqd5IGm',
    `${BCRYPT}x`,
    ...['ln=17,r=8,p=1', 'ln=15,r=32,p=1', 'ln=15,r=8,p=17', 'ln=0,r=8,p=1', 'ln=15,r=8,p=0', 'ln=15,p=1,r=8'].map(
      (costs) => `$scrypt$${costs}$${'A'.repeat(22)}$${'A'.repeat(43)}`,
    ),
  ];
  for (const text of bad) t.equal(parsePasswordHash(text), undefined, text);
  t.ok(parsePasswordHash(`$scrypt$ln=16,r=8,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`));
});
