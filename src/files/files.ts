import { parseDigest, type Digest } from '../base/digest.ts';
import type { Slice } from '../http/range.ts';
import type { Downloads, OpenBlob } from '../p2p/peer/downloads.ts';
import { BlobDigestMismatch, BlobUnavailable } from '../p2p/peer/errors.ts';
import type { PieceSource } from '../p2p/peer/piece-source.ts';
import { isOriginError } from '../registry/errors.ts';
import { MAX_URL_CHARACTERS } from './allow-list.ts';
import { FileDigestInvalid, FileDigestMismatch, FileNotAllowed, FileUrlInvalid } from './errors.ts';
import type { FileHeaders } from './file-headers.ts';
import { fileId } from './file-id.ts';
import { nameOf, type FileHead, type FileServers } from './file-servers.ts';

/** A file that somebody asks for. */
export interface AskedFile {
  readonly url: URL;
  /** What it is to hash to, where the asker says. */
  readonly sha256: Digest | undefined;
  /** What the asker has for the file's server. */
  readonly headers?: FileHeaders | undefined;
}

/** Where a file's bytes come from. */
export type FoundFile =
  /** Through store and swarm, where it has this id. */
  | { readonly kind: 'shared'; readonly id: Digest; readonly size: number | undefined }
  /** Straight from its server: nothing says of two answers that they are of the same file, or it is for its asker alone. */
  | { readonly kind: 'straight'; readonly size: number | undefined; readonly version: FixedVersion | undefined };

/** What can be gone on with where it broke off: its server answers with just these bytes, or it is not read. */
export interface FixedVersion {
  readonly id: Digest;
  readonly size: number;
}

/**
 * Reads a URL and a digest as they were given. Throws FILE_URL_INVALID and FILE_DIGEST_INVALID; neither repeats what was given, which
 * may hold a secret.
 */
export function parseAsked(url: string, sha256: string | undefined): AskedFile {
  if (url.length > MAX_URL_CHARACTERS) {
    throw new FileUrlInvalid({ why: `it has more than ${MAX_URL_CHARACTERS} characters` });
  }
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url))
    throw new FileUrlInvalid({ why: 'it is not http:// or https://' });
  const parsed = new URL(url);
  if (parsed.username !== '' || parsed.password !== '')
    throw new FileUrlInvalid({ why: 'it holds a user or password' });
  parsed.hash = '';
  if (sha256 === undefined) return { url: parsed, sha256: undefined };
  const digest = parseDigest(`sha256:${sha256.toLowerCase().replace(/^sha256:/, '')}`);
  if (!digest) throw new FileDigestInvalid({});
  return { url: parsed, sha256: digest };
}

/** Any file through the swarm. */
export class Files {
  readonly #servers: FileServers;
  readonly #downloads: Pick<Downloads, 'open' | 'sizeOf'>;

  constructor(deps: { servers: FileServers; downloads: Pick<Downloads, 'open' | 'sizeOf'> }) {
    this.#servers = deps.servers;
    this.#downloads = deps.downloads;
  }

  /**
   * Finds out which file is at a URL now. It is asked each time: that its server gives it to this node is what lets this node
   * give it away, and lets it take the bytes from others. A file behind a login is kept out of store and swarm, unless its digest is
   * known: under one URL others may be given something else. Throws FILE_NOT_ALLOWED, OriginErrors, and the signal's reason.
   */
  async find(
    { url, sha256, headers }: AskedFile,
    signal: AbortSignal,
  ): Promise<FoundFile & { readonly source: PieceSource }> {
    if (!this.#servers.allows(url)) throw new FileNotAllowed({ server: url.origin });
    const { etag, size } = await this.#ask({ url, sha256, headers }, signal);
    if (sha256 && !headers) {
      const id = fileId(url, { sha256 });
      return { kind: 'shared', id, size, source: this.#servers.file(url, undefined, undefined) };
    }
    const source = this.#servers.file(url, etag, headers);
    if (etag === undefined || size === undefined) return { kind: 'straight', size, version: undefined, source };
    if (headers && !sha256) {
      const version = { id: fileId(url, { alone: true, etag, size }), size };
      return { kind: 'straight', size, version, source };
    }
    const id = fileId(url, sha256 ? { login: true, sha256, etag, size } : { etag, size });
    return { kind: 'shared', id, size, source };
  }

  /** Opens what `find` has found, as `Downloads.open` does. Rejects as that, with FILE_DIGEST_MISMATCH where the file is another. */
  open(
    { url, sha256, headers }: AskedFile,
    { id, size, source }: { id: Digest; size: number | undefined; source: PieceSource },
    range: Slice | undefined,
    signal: AbortSignal,
  ): Promise<OpenBlob> {
    // What is signed into a URL is for who has it, and so is what a login opens.
    const isPrivate = url.search !== '' || headers !== undefined;
    return this.#downloads.open({ digest: id, content: sha256, origin: source, size, isPrivate }, range, signal);
  }

  /** While its server does not answer, what was read from this URL before and has its digest is still that file. */
  async #ask({ url, sha256, headers }: AskedFile, signal: AbortSignal): Promise<FileHead> {
    try {
      return await this.#servers.ask(url, headers, signal);
    } catch (error) {
      const here =
        sha256 && url.search === '' && !headers ? this.#downloads.sizeOf(fileId(url, { sha256 })) : undefined;
      const isSilent = isOriginError(error) && !error.final;
      if (here === undefined || !isSilent || error.answer !== undefined) throw error;
      return { etag: undefined, size: here };
    }
  }
}

/** What to tell who asked for a file, where a download has failed: what its source said, and the file's name in the place of its id. */
export function failureOfFile(error: unknown, { url, sha256 }: AskedFile): unknown {
  if (error instanceof BlobUnavailable && isOriginError(error.cause)) return error.cause;
  if (error instanceof BlobDigestMismatch && sha256) {
    return new FileDigestMismatch({ file: nameOf(url), expected: sha256, actual: error.params.actual });
  }
  return error;
}
