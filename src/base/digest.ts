import { createHash, type Hash } from 'node:crypto';

/**
 * A content digest `algorithm:hex` that has been checked: safe to put into a path or a URL. Only the algorithms that the
 * OCI image spec registers as supported (descriptor.md, "Registered Algorithms") and Node can compute are known.
 */
export type Digest = string & { readonly __brand: 'Digest' };

export type DigestAlgorithm = 'sha256' | 'sha512';

const HEX_LENGTH: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 };
const DIGEST = /^(sha256|sha512):([0-9a-f]+)$/;

/** The digest that `text` spells, or undefined: wrong length, upper-case hex and unknown algorithms are not digests. */
export function parseDigest(text: string): Digest | undefined {
  const match = DIGEST.exec(text);
  if (!match) return undefined;
  return match[2]!.length === HEX_LENGTH[match[1] as DigestAlgorithm] ? (text as Digest) : undefined;
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.slice(0, 6) as DigestAlgorithm;
}

/** The hex part. */
export function digestHex(digest: Digest): string {
  return digest.slice(7);
}

/** A hash of the digest's own algorithm; `digestFrom` turns its result back into a digest. */
export function hasherFor(digest: Digest): Hash {
  return createHash(digestAlgorithm(digest));
}

export function digestFrom(algorithm: DigestAlgorithm, hash: Hash): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}

/** The digest of `bytes`; sha256 unless told otherwise. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestFrom(algorithm, createHash(algorithm).update(bytes));
}
