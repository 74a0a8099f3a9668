import t from 'tap';
import { isPrivate, octal } from '../../src/base/private-file.ts';

const ROOT = 0;
const SERVICE = 1000;

t.test('a file is private with mode 0600; what root owns also where the group of a service may read it', async (t) => {
  const cases: readonly [uid: number, mode: number, user: number, expected: boolean][] = [
    [SERVICE, 0o600, SERVICE, true],
    [SERVICE, 0o400, SERVICE, true],
    [SERVICE, 0o640, SERVICE, false],
    [SERVICE, 0o604, SERVICE, false],
    [ROOT, 0o600, ROOT, true],
    [ROOT, 0o640, ROOT, false],
    [ROOT, 0o640, SERVICE, true],
    [ROOT, 0o440, SERVICE, true],
    [ROOT, 0o660, SERVICE, false],
    [ROOT, 0o650, SERVICE, false],
    [ROOT, 0o644, SERVICE, false],
    [SERVICE + 1, 0o640, SERVICE, false],
  ];
  for (const [uid, mode, user, expected] of cases) {
    t.equal(isPrivate({ uid, mode: mode | 0o100000 }, user), expected, `${octal(mode)} of ${uid}, for ${user}`);
  }
});

t.test('a mode as chmod takes it', async (t) => {
  t.equal(octal(0o100640), '0640');
  t.equal(octal(0o4), '0004');
});
