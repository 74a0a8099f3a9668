import { open } from 'node:fs/promises';

/** Who a file belongs to, and who may use it. */
export interface FileMode {
  readonly mode: number;
  readonly uid: number;
}

/** Of a file that can be opened for reading; rejects with the system's error. */
export async function modeOf(file: string): Promise<FileMode> {
  const handle = await open(file, 'r');
  try {
    const stat = await handle.stat();
    if (stat.isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' });
    return stat;
  } finally {
    await handle.close();
  }
}
