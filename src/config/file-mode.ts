import { open } from 'node:fs/promises';

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
