import { createHash, type Hash } from 'node:crypto';

/**
 * A content digest `algorithm:hex` that has been checked: safe to put into a path or a URL. Only the algorithms that the
 * OCI image spec registers as supported (descriptor.md, "Registered Algorithms") and Node can compute are known.
 */
export type Digest = string & { readonly __brand: 'Digest' };

export type DigestAlgorithm = 'sha256' | 'sha512';

/** How a digest begins: an algorithm, or `file`. */
export type DigestKind = DigestAlgorithm | 'file';

const HEX_LENGTH: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 };
const FILE_ID = /^file:[0-9a-f]{64}$/;
const DIGEST = /^(sha256|sha512):([0-9a-f]+)$/;

/** The digest that `text` spells, or undefined: wrong length, upper-case hex and unknown algorithms are not digests. */
export function parseDigest(text: string): Digest | undefined {
  const match = DIGEST.exec(text);
  if (!match) return undefined;
  return match[2]!.length === HEX_LENGTH[match[1] as DigestAlgorithm] ? (text as Digest) : undefined;
}

/**
 * As `parseDigest`, and the id of a file too: `file:` and a hash over where the file is (files/file-id.ts), not over its bytes. To
 * store and swarm a file is a blob of that digest. No registry and no client of the mirror can name one.
 */
export function parseBlobId(text: string): Digest | undefined {
  return FILE_ID.test(text) ? (text as Digest) : parseDigest(text);
}

/** Whether it is the id of a file, of which the bytes themselves say nothing. */
export function isFileId(digest: Digest): boolean {
  return digest.startsWith('file:');
}

/** The id of a file by the hash over what identifies it. */
export function fileIdOf(identity: string): Digest {
  return `file:${createHash('sha256').update(identity).digest('hex')}` as Digest;
}

/** By which its bytes are hashed: those of a file by SHA-256. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return isFileId(digest) ? 'sha256' : (digestKind(digest) as DigestAlgorithm);
}

/** What stands before the colon. */
export function digestKind(digest: Digest): DigestKind {
  return digest.slice(0, digest.indexOf(':')) as DigestKind;
}

/** The hex part. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
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
