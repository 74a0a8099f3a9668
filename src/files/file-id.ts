import { fileIdOf, type Digest } from '../base/digest.ts';

/**
 * Which bytes a file has: those of a digest, or those that its server gives under a strong ETag, so many of them. All three are of a
 * file behind a login: who has another answer from its server, as a page that asks for the login, has another id. `alone`: it is for
 * its asker only, who goes on by this id where it broke off; neither store nor swarm has it.
 */
export type FileVersion =
  | { readonly sha256: Digest }
  | { readonly etag: string; readonly size: number }
  | { readonly alone: true; readonly etag: string; readonly size: number }
  | { readonly login: true; readonly sha256: Digest; readonly etag: string; readonly size: number };

/**
 * Parameters by which storage services sign URLs. They differ from node to node and from day to day, and the file does not; that the
 * asker may have it each node finds out by asking with its own. Where all of `marks` are there, those that fit `drops` are left out.
 */
const SIGNATURES: readonly { readonly marks: readonly string[]; readonly drops: RegExp }[] = [
  // AWS Signature Version 4, query parameters; also MinIO, R2 and the like.
  {
    marks: ['x-amz-signature'],
    drops: /^x-amz-(?:algorithm|credential|date|expires|signedheaders|signature|security-token)$/,
  },
  // Google Cloud Storage, V4 signing.
  { marks: ['x-goog-signature'], drops: /^x-goog-(?:algorithm|credential|date|expires|signedheaders|signature)$/ },
  // Azure Storage, shared access signatures.
  {
    marks: ['sig', 'sv'],
    drops: /^(?:sv|ss|srt|sp|st|se|spr|sip|sig|sr|si|sdd|skoid|sktid|skt|ske|sks|skv|saoid|suoid|scid)$/,
  },
  // CloudFront, signed URLs.
  { marks: ['signature', 'key-pair-id'], drops: /^(?:signature|key-pair-id|expires|policy|hash-algorithm)$/ },
  // The older way of S3 and Google Cloud Storage.
  { marks: ['signature', 'expires', 'awsaccesskeyid'], drops: /^(?:signature|expires|awsaccesskeyid)$/ },
  { marks: ['signature', 'expires', 'googleaccessid'], drops: /^(?:signature|expires|googleaccessid)$/ },
];

/**
 * The id of a file in store and swarm. It says nothing of the URL to who does not know it already, and it is no right to the file:
 * a node gives it to nobody before the URL has been asked for just this version of it.
 */
export function fileId(url: URL, version: FileVersion): Digest {
  return fileIdOf(`hawker file 1\0${JSON.stringify([unsigned(url), ...partsOf(version)])}`);
}

function partsOf(version: FileVersion): (string | number)[] {
  if ('login' in version) return ['login', version.sha256, version.etag, version.size];
  if ('alone' in version) return ['alone', version.etag, version.size];
  return 'sha256' in version ? ['sha256', version.sha256] : ['etag', version.etag, version.size];
}

/** The URL without fragment, user and signature. */
export function unsigned(url: URL): string {
  const plain = new URL(url);
  plain.hash = '';
  plain.username = '';
  plain.password = '';
  const names = new Set([...plain.searchParams.keys()].map((name) => name.toLowerCase()));
  for (const { marks, drops } of SIGNATURES) {
    if (!marks.every((mark) => names.has(mark))) continue;
    for (const name of new Set(plain.searchParams.keys())) {
      if (drops.test(name.toLowerCase())) plain.searchParams.delete(name);
    }
  }
  return plain.href;
}

/** An ETag that stands for just these bytes (RFC 9110, section 8.8.1); undefined: none, or a weak one. */
export function strongEtag(header: string | undefined): string | undefined {
  return header !== undefined && /^"[\x21\x23-\x7E\x80-\xFF]{1,1024}"$/.test(header) ? header : undefined;
}
