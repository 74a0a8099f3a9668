import { scryptSync } from 'node:crypto';

const SALT = Buffer.alloc(16, 'salt');

/** A password's hash as `hawker password` makes it, but for next to no time: it is good for tests only. */
export function cheapHash(password: string): string {
  const hash = scryptSync(password, SALT, 32, { N: 16, r: 8, p: 1 });
  const text = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');
  return `$scrypt$ln=4,r=8,p=1$${text(SALT)}$${text(hash)}`;
}
