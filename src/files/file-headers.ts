import { FileHeaderInvalid } from './errors.ts';

/** Headers for a file's server from whoever asks for the file, a login mostly, by their names in lower case. Secrets. */
export type FileHeaders = Readonly<Record<string, string>>;

/** The header of a request for a file that holds them, encoded: an address is written down in more places than a header. */
export const FILE_HEADERS = 'x-hawker-file-headers';

const MAX_HEADERS = 16;
/** Of all of them as they are encoded: Node takes 16 KiB of headers in all. */
const MAX_ENCODED_CHARACTERS = 8192;
/** RFC 9110, section 5.6.2. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
const VALUE = /^[\x21-\x7E\x80-\xFF](?:[\t\x20-\x7E\x80-\xFF]*[\x21-\x7E\x80-\xFF])?$/;
/** Of the connection, of the message's framing, or for which part of a file is asked and how: that is this program's own business. */
const OWN =
  /^(?:host|connection|keep-alive|te|trailer|upgrade|expect|range|accept-encoding|content-.*|transfer-.*|proxy-.*|if-.*)$/;

/** Takes pairs as headers. Throws FILE_HEADER_INVALID, which repeats no value. */
export function fileHeadersOf(pairs: readonly (readonly [name: string, value: string])[]): FileHeaders | undefined {
  if (pairs.length > MAX_HEADERS) throw new FileHeaderInvalid({ why: `there are more than ${MAX_HEADERS}` });
  const headers: Record<string, string> = {};
  for (const [given, value] of pairs) {
    const name = given.toLowerCase();
    if (!NAME.test(name)) throw new FileHeaderInvalid({ why: 'one has no name, or one with odd characters' });
    if (OWN.test(name)) throw new FileHeaderInvalid({ why: `${name} is set by Hawker itself` });
    if (!VALUE.test(value)) throw new FileHeaderInvalid({ why: `${name} has no value, or one with odd characters` });
    if (Object.hasOwn(headers, name)) throw new FileHeaderInvalid({ why: `${name} is there twice` });
    headers[name] = value;
  }
  return pairs.length === 0 ? undefined : headers;
}

export function encodeFileHeaders(headers: FileHeaders): string {
  const text = Buffer.from(JSON.stringify(Object.entries(headers))).toString('base64url');
  if (text.length > MAX_ENCODED_CHARACTERS) throw new FileHeaderInvalid({ why: 'they are too long' });
  return text;
}

/** Throws FILE_HEADER_INVALID. */
export function decodeFileHeaders(text: string | string[] | undefined): FileHeaders | undefined {
  if (text === undefined) return undefined;
  if (typeof text !== 'string' || text.length > MAX_ENCODED_CHARACTERS)
    throw new FileHeaderInvalid({ why: 'they are too long' });
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    // Its words would repeat some of it.
  }
  if (!Array.isArray(value) || !value.every(isPair)) throw new FileHeaderInvalid({ why: 'they are not as encoded' });
  return fileHeadersOf(value);
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every((one) => typeof one === 'string');
}
