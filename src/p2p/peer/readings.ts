/*
 * What a proxy has read from an origin lets others serve it while that origin cannot be asked: they ask the peers, and take
 * their word for it. The question and its answer, as they cross the wire:
 *
 *   GET /v1/readings/<digest>?registry=<host>&repository=<name>&nonce=<nonce>
 *   → 200 {"ageMs":…,"size":…,"mediaType":…,"proof":…}, or 404: not read here, or not to be vouched for
 *
 * Names may be those of repositories that are private: whoever has a credential for a registry does not ask (proxy/access.ts).
 */
import type { Clock } from '../../base/clock.ts';
import { parseDigest, type Digest } from '../../base/digest.ts';
import { canonicalHost, isHostLike, isRepositoryName } from '../../registry/reference.ts';
import type { Refs, RepoKey } from '../../store/refs.ts';

/** For a question's path, with the longest digest and names. */
const MAX_QUESTION_CHARACTERS = 1024;
const MAX_MEDIA_TYPE_CHARACTERS = 255;
const PATH = /^\/v1\/readings\/([^/?]{1,200})\?/;
const NONCE = /^[\w-]{16,64}$/;
const PROOF = /^[\w-]{43}$/;

/** A digest under a repository. */
export interface ReadingKey extends RepoKey {
  readonly digest: Digest;
}

/** That it was read without a credential, and what was seen of it. */
export interface Reading {
  /** How long ago, in milliseconds: no two nodes' clocks are the same. */
  readonly ageMs: number;
  /** In bytes. */
  readonly size?: number;
  readonly mediaType?: string;
}

export interface ReadingsDeps {
  readonly refs: Pick<Refs, 'linkOf'>;
  /** Whether a blob may be given to other proxies. */
  readonly isShared: (digest: Digest) => boolean;
  readonly clock: Clock;
  /** How long a reading counts, in milliseconds. */
  readonly staleMs: number;
}

/**
 * What this proxy vouches for: what its registry itself gave or confirmed under the repository, to a client without a
 * credential, within `staleMs`. What a manifest merely names, what was read with a credential, and what lies on containerd's
 * shelf is not vouched for. Undefined: nothing is said.
 */
export async function readingOf(key: ReadingKey, deps: ReadingsDeps): Promise<Reading | undefined> {
  const link = await deps.refs.linkOf(key, key.digest);
  if (!link?.confirmed || !link.anonymous || !deps.isShared(key.digest)) return undefined;
  const ageMs = Math.max(0, Math.trunc(deps.clock.now() - link.at));
  if (ageMs > deps.staleMs) return undefined;
  const { size, mediaType } = link;
  return { ageMs, ...(size !== undefined && { size }), ...(mediaType !== undefined && { mediaType }) };
}

export function questionPath({ registry, repository, digest }: ReadingKey, nonce: string): string {
  return `/v1/readings/${digest}?${new URLSearchParams({ registry, repository, nonce }).toString()}`;
}

/** Whether a request asks for a reading, well or badly. */
export function isQuestion(path: string): boolean {
  return path.startsWith('/v1/readings/');
}

/** What a request's path asks; undefined: it is none, or names what cannot be. */
export function parseQuestion(path: string): { readonly key: ReadingKey; readonly nonce: string } | undefined {
  const match = path.length <= MAX_QUESTION_CHARACTERS ? PATH.exec(path) : null;
  const digest = match && parseDigest(match[1]!);
  if (!digest) return undefined;
  const fields = new URLSearchParams(path.slice(match[0].length));
  if ([...fields.keys()].toSorted().join() !== 'nonce,registry,repository') return undefined;
  const [registry, repository, nonce] = [fields.get('registry')!, fields.get('repository')!, fields.get('nonce')!];
  if (!isHostLike(registry) || canonicalHost(registry) !== registry) return undefined;
  if (!isRepositoryName(repository) || !NONCE.test(nonce)) return undefined;
  return { key: { registry, repository, digest }, nonce };
}

/** The part of an answer that its proof is over. */
export function saidIn({ ageMs, size, mediaType }: Reading): string {
  return JSON.stringify([ageMs, size ?? null, mediaType ?? null]);
}

export function encodeAnswer(reading: Reading, proof: string): string {
  return JSON.stringify({ ...reading, proof });
}

/** Undefined: it is no answer. */
export function parseAnswer(body: string): { readonly reading: Reading; readonly proof: string } | undefined {
  let fields: Partial<Record<string, unknown>> | null;
  try {
    fields = JSON.parse(body) as Partial<Record<string, unknown>> | null;
  } catch {
    return undefined;
  }
  if (typeof fields !== 'object' || fields === null) return undefined;
  const { ageMs, size, mediaType, proof } = fields;
  if (!isCount(ageMs) || (size !== undefined && !isCount(size))) return undefined;
  if (mediaType !== undefined && (typeof mediaType !== 'string' || mediaType.length > MAX_MEDIA_TYPE_CHARACTERS)) {
    return undefined;
  }
  if (typeof proof !== 'string' || !PROOF.test(proof)) return undefined;
  return {
    reading: { ageMs, ...(size !== undefined && { size }), ...(mediaType !== undefined && { mediaType }) },
    proof,
  };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
