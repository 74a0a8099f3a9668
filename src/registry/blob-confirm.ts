import { digestOf, type Digest } from '../base/digest.ts';
import type { BlobOrigin } from './blob-fetch.ts';
import type { Client } from './client.ts';
import { codingOf } from './content-encoding.ts';
import { parseContentLength, parseContentRange } from './content-range.ts';
import { OriginBadResponse } from './errors.ts';
import { failureOfStatus, type Errand } from './failures.ts';
import { httpRead, type BodyTaker, type ResponseHead } from './http-read.ts';
import { bareMediaType, isHtmlType } from './media-types.ts';
import { isRedirect } from './redirects.ts';
import { retrying } from './retry.ts';

/** Answers to a HEAD that say nothing of the blob: the method is not known, or not liked. */
const USELESS_HEAD = new Set([400, 405, 406, 501]);

/**
 * Asks whether the blob is there and may be read, without reading it: HEAD, or where that is of no use GET of its first
 * byte. A redirect is a yes; it is not followed, for the URL behind it is signed for GET alone (S3 answers 403 to HEAD). Throws
 * OriginErrors.
 */
export async function confirmBlob(
  origin: BlobOrigin,
  client: Client,
  repository: string,
  digest: Digest,
  signal?: AbortSignal,
): Promise<{ size?: number }> {
  const url = new URL(`/v2/${repository}/blobs/${digest}`, origin.baseUrl);
  const errand = { upstream: origin.upstream, step: `asking for a blob of ${repository}` };
  const { clock } = origin.reading;
  const once = async () => {
    const send = (authorization?: string) =>
      client.ask({ method: 'HEAD', url, ...withAuthorization(authorization), maxBytes: 0, errand, signal });
    const answer = await origin.authoriser.authorised(repository, send, signal);
    if (USELESS_HEAD.has(answer.status)) return probe(origin, repository, url, errand, digest, signal);
    if (isRedirect(answer.status)) return {};
    if (answer.status === 200) return sizeOf(errand, answer, digest);
    throw failureOfStatus(errand, answer, origin.now());
  };
  return retrying(once, clock, signal);
}

async function probe(
  origin: BlobOrigin,
  repository: string,
  url: URL,
  errand: Errand,
  digest: Digest,
  signal?: AbortSignal,
): Promise<{ size?: number }> {
  const taker: BodyTaker = {
    head: ({ status }) => (status === 200 ? 'stop' : 'words'),
    data: () => 'stop',
    drained: () => Promise.resolve(),
  };
  const send = (authorization?: string) => {
    const headers = { range: 'bytes=0-0', ...withAuthorization(authorization).headers };
    return httpRead(origin.reading, { url, headers, errand, signal }, taker);
  };
  const answer = await origin.authoriser.authorised(repository, send, signal);
  const { status, headers, words, secrets } = answer;
  if (isRedirect(status)) return {};
  if (status === 206) return known(parseContentRange(headers['content-range'])?.total);
  // The first byte of a blob that has none.
  if (status === 416 && digest === EMPTY_SHA256) return { size: 0 };
  if (status === 200) return sizeOf(errand, answer, digest);
  throw failureOfStatus(errand, { status, headers, body: words, secrets }, origin.now());
}

const EMPTY_SHA256 = digestOf('');

function sizeOf(errand: Errand, { headers }: ResponseHead, digest: Digest): { size?: number } {
  if (isHtmlType(bareMediaType(headers['content-type']))) {
    throw new OriginBadResponse({ ...errand, seen: 'a web page instead of a blob' });
  }
  if (codingOf(headers['content-encoding']) !== undefined) return {};
  const size = parseContentLength(headers['content-length']);
  // Some say 0 of everything; a blob that is empty has one of a few digests.
  return known(size === 0 && digest !== EMPTY_SHA256 ? undefined : size);
}

function known(size: number | undefined): { size?: number } {
  return size === undefined ? {} : { size };
}

function withAuthorization(authorization: string | undefined): { headers?: Record<string, string> } {
  return authorization === undefined ? {} : { headers: { authorization } };
}
