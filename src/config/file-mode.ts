import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Who other than its owner may read or write a file. */
export const OTHERS = 0o077;
export const OTHERS_WRITE = 0o022;

/** `0640` */
export function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}

/** Of a file that can be opened for reading; rejects with the system's error. */
export async function modeOf(file: string): Promise<number> {
  const handle = await open(file, 'r');
  try {
    const stat = await handle.stat();
    if (stat.isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' });
    return stat.mode;
  } finally {
    await handle.close();
  }
}

/** The path of a file that is not there; where its name looks more like the secret itself, which belongs into the file, without it. */
export function shownName(file: string): string {
  const name = basename(file);
  const isOdd = /^(?=.*\d)(?=.*[a-z])[^.]{8,}$/i.test(name) || /[^\w.+-]/.test(name);
  return isOdd ? join(dirname(file), '…') : file;
}
