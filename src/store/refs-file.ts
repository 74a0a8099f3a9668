import { parseDigest, type Digest } from '../base/digest.ts';

/** A repository of a registry, both as the proxy names them: `docker.io`, `library/alpine`. */
export interface RepoKey {
  readonly registry: string;
  readonly repository: string;
}

/** That a digest belongs to a repository: a manifest read through it names it, or its registry gave or confirmed it there. */
export interface Link {
  readonly digest: Digest;
  readonly mediaType?: string;
  /** In bytes. */
  readonly size?: number;
  /** When, in milliseconds since 1970. */
  readonly at: number;
  /** Read without a credential. */
  readonly anonymous: boolean;
  /** The registry itself has given it, or said that it has it, under this repository; a manifest may name what it likes. */
  readonly confirmed: boolean;
}

/** What a client accepts decides what a tag stands for: an index too (`any`), or a single manifest only. */
export type TagVariant = 'any' | 'single';

/** What a tag stood for when it was last asked for. */
export interface TagTarget {
  readonly digest: Digest;
  readonly mediaType: string;
  /** When, in milliseconds since 1970. */
  readonly at: number;
  readonly anonymous: boolean;
}

export type Tag = { readonly [variant in TagVariant]?: TagTarget };

/** What is known of one repository; both maps in the order of last setting, the oldest first. */
export interface RepoRefs {
  readonly key: RepoKey;
  readonly links: Map<Digest, Link>;
  readonly tags: Map<string, Tag>;
}

const FORMAT = 1;

/** The file of a repository. Only the fields named here are written, whatever else an object carries: no credential gets in. */
export function encodeRefs({ key, links, tags }: RepoRefs): Buffer {
  return Buffer.from(
    JSON.stringify({
      format: FORMAT,
      registry: key.registry,
      repository: key.repository,
      links: Array.from(links.values(), ({ digest, mediaType, size, at, anonymous, confirmed }) => ({
        digest,
        mediaType,
        size,
        at,
        anonymous,
        confirmed,
      })),
      tags: Array.from(tags, ([name, { any, single }]) => ({
        name,
        any: any && plainTarget(any),
        single: single && plainTarget(single),
      })),
    }),
  );
}

function plainTarget({ digest, mediaType, at, anonymous }: TagTarget): TagTarget {
  return { digest, mediaType, at, anonymous };
}

/** What the file of a repository says; undefined where it is not a sound one for `key`. Never throws. */
export function parseRefs(bytes: Buffer, key: RepoKey): RepoRefs | undefined {
  const file = parseObject(bytes);
  if (!file || file['format'] !== FORMAT) return undefined;
  if (file['registry'] !== key.registry || file['repository'] !== key.repository) return undefined;
  if (!Array.isArray(file['links']) || !Array.isArray(file['tags'])) return undefined;
  const links = file['links'].map(parseLink);
  const tags = file['tags'].map(parseTag);
  if (!links.every((link) => link !== undefined) || !tags.every((tag) => tag !== undefined)) return undefined;
  return { key, links: new Map(links.map((link) => [link.digest, link])), tags: new Map(tags) };
}

/** Which repository a file says that it is of. Never throws. */
export function keyIn(bytes: Buffer): RepoKey | undefined {
  const { registry, repository } = parseObject(bytes) ?? {};
  return typeof registry === 'string' && typeof repository === 'string' ? { registry, repository } : undefined;
}

type Fields = Readonly<Record<string, unknown>>;

function parseObject(bytes: Buffer): Fields | undefined {
  try {
    return asFields(JSON.parse(bytes.toString()));
  } catch {
    return undefined;
  }
}

function asFields(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null ? (value as Fields) : undefined;
}

function parseLink(value: unknown): Link | undefined {
  const fields = asFields(value);
  const reading = fields && parseReading(fields);
  if (!reading) return undefined;
  const { mediaType, size, confirmed } = fields;
  if (typeof confirmed !== 'boolean') return undefined;
  if (mediaType !== undefined && typeof mediaType !== 'string') return undefined;
  if (size !== undefined && !isCount(size)) return undefined;
  return {
    ...reading,
    confirmed,
    ...(mediaType === undefined ? {} : { mediaType }),
    ...(size === undefined ? {} : { size }),
  };
}

function parseTag(value: unknown): [string, Tag] | undefined {
  const fields = asFields(value);
  if (!fields || typeof fields['name'] !== 'string') return undefined;
  const tag: { any?: TagTarget; single?: TagTarget } = {};
  for (const variant of ['any', 'single'] as const) {
    if (fields[variant] === undefined) continue;
    const target = parseTarget(fields[variant]);
    if (!target) return undefined;
    tag[variant] = target;
  }
  return [fields['name'], tag];
}

function parseTarget(value: unknown): TagTarget | undefined {
  const fields = asFields(value);
  const reading = fields && parseReading(fields);
  if (!reading || typeof fields['mediaType'] !== 'string') return undefined;
  return { ...reading, mediaType: fields['mediaType'] };
}

function parseReading({
  digest,
  at,
  anonymous,
}: Fields): { digest: Digest; at: number; anonymous: boolean } | undefined {
  const parsed = typeof digest === 'string' ? parseDigest(digest) : undefined;
  return parsed && isCount(at) && typeof anonymous === 'boolean' ? { digest: parsed, at, anonymous } : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
