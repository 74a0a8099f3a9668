import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Where Debian's libfaketime is, below a directory named for the machine. */
const LIBRARY = 'faketime/libfaketimeMT.so.1';

/** The environment of a program whose clock is off, as in `+1h`: the time of day alone, not what timers run by. */
export function clockOffset(offset: string): NodeJS.ProcessEnv {
  const dir = readdirSync('/usr/lib', { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /-linux-gnu/.test(entry.name))
    .find((entry) => readdirSync(join('/usr/lib', entry.name)).includes('faketime'));
  if (!dir) throw new Error(`there is no ${LIBRARY} below /usr/lib: install faketime`);
  const library = join('/usr/lib', dir.name, LIBRARY);
  return { LD_PRELOAD: library, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1', NO_FAKE_STAT: '1' };
}
