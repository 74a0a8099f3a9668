import { basename, dirname, join } from 'node:path';

/**
 * A path that somebody set for the file of a secret, as messages show it: without its name where that looks more like the secret
 * itself, put into the place of the file that should hold it.
 */
export function shownPath(path: string): string {
  const name = basename(path);
  const isOdd = /^(?=.*\d)(?=.*[a-z])[^.]{8,}$/i.test(name) || /[^\w.+-]/.test(name);
  return isOdd ? join(dirname(path), '…') : path;
}
