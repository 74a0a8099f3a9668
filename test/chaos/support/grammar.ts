import { digestOf } from '../../../src/base/digest.ts';

/** Draws of one seeded stream: what is made of them is the same for the same seed. */
export class Draw {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** True with that probability. */
  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** So many of `part`, one after the other. */
  many(most: number, part: () => string): string {
    return Array.from({ length: this.below(most + 1) }, part).join('');
  }

  /** A byte of whatever value, as Latin-1 has it. */
  byte(): string {
    return String.fromCharCode(this.below(256));
  }
}

const METHODS = [
  'GET',
  'HEAD',
  'GET',
  'HEAD',
  'PUT',
  'POST',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'CONNECT',
  'TRACE',
  'get',
  'BREW',
  'PRI',
  '',
];
/** So many of them are real. */
const PROPER_METHODS = 9;
const VERSIONS = [
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/2.0',
  'HTTP/9.9',
  'http/1.1',
  'HTTP/1.1 ',
  'HTTP/',
  'SPDY/1',
  '',
];
const ENDS = ['\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n', '\n\r'];
const NAMES = [
  'library/app',
  'app',
  'a/b/c/d',
  'ghcr.io/org/app',
  '..',
  '.',
  '',
  '%2e%2e',
  'UPPER',
  'a//b',
  '_',
  'blobs',
  'manifests',
  'x'.repeat(300),
  '%00',
  '\u00e9',
];
const KINDS = [
  'blobs',
  'manifests',
  'tags',
  'referrers',
  '_catalog',
  'uploads',
  'blobs/uploads',
  '',
  'manifests/manifests',
];
const DIGESTS = [
  digestOf('absent'),
  'sha256:00',
  'sha256:',
  `sha256:${'G'.repeat(64)}`,
  `sha512:${'0'.repeat(128)}`,
  'md5:abc',
  'latest',
  'v1',
  '../../../etc/passwd',
  '%2fetc%2fpasswd',
  'list',
  '',
  ':',
  `sha256:${'a'.repeat(5000)}`,
];
const QUERIES = [
  '',
  '',
  '?ns=docker.io',
  '?ns=',
  '?ns=127.0.0.1',
  '?ns=docker.io&ns=ghcr.io',
  '?ns=http://a',
  '?n=1&last=',
  '?%',
  '?&&&',
  '#fragment',
];
const FIELDS = [
  'Range',
  'If-Range',
  'If-None-Match',
  'Accept',
  'Host',
  'Content-Length',
  'Transfer-Encoding',
  'Connection',
  'Expect',
  'Upgrade',
  'Authorization',
  'Cookie',
  'X-Long',
  'Te',
  'Trailer',
];
/** So many of them leave a request what it is. */
const HARMLESS_FIELDS = 4;
const VALUES = [
  'bytes=0-',
  'bytes=-1',
  'bytes=9-1',
  'bytes=0-0,5-',
  'bytes=99999999999999999999-',
  'bytes=a-b',
  'bytes=,,,',
  '*/*',
  '0',
  '-1',
  '5',
  '1e3',
  '0x10',
  'chunked',
  'chunked, chunked',
  'identity',
  'close',
  'keep-alive',
  '100-continue',
  'websocket',
  'Bearer x',
  '"sha256:0"',
  '*',
  '',
];

/**
 * A request that is hardly ever right, by a grammar of the API and of HTTP. Half of them are HTTP, and ask for what is odd; in the
 * others any part may be any other.
 */
export function malformedRequest(draw: Draw): string {
  return draw.chance(0.5) ? oddRequest(draw) : noRequest(draw);
}

function oddRequest(draw: Draw): string {
  const method = draw.of(METHODS.slice(0, PROPER_METHODS));
  const fields = draw.many(4, () => `${draw.of(FIELDS.slice(0, HARMLESS_FIELDS))}: ${draw.of(VALUES)}\r\n`);
  // Nobody has to find out that nothing more comes.
  return `${method} ${target(draw).replaceAll(' ', '')} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${fields}\r\n`;
}

function noRequest(draw: Draw): string {
  const line = `${draw.of(METHODS)} ${target(draw)} ${draw.of(VERSIONS)}${draw.of(ENDS)}`;
  const host = draw.chance(0.8) ? `Host: localhost${draw.of(ENDS)}` : '';
  const fields = draw.many(6, () => field(draw));
  const request = `${line}${host}${fields}${draw.of(ENDS)}${body(draw)}`;
  return draw.chance(0.2) ? spoilt(draw, request) : request;
}

function target(draw: Draw): string {
  if (draw.chance(0.05))
    return draw.of([
      '*',
      '/',
      '',
      'http://other.test/v2/',
      '/v2',
      '/v2/',
      '//v2//',
      '/metrics',
      '/api/v1/status',
      '\u0000',
    ]);
  const root = draw.of(['/v2/', '/v2/', '/v2/', '/v1/', '/ghcr.io/v2/', 'http://a.test/v2/', '/V2/', '']);
  return `${root}${draw.of(NAMES)}/${draw.of(KINDS)}/${draw.of(DIGESTS)}${draw.of(QUERIES)}`;
}

function field(draw: Draw): string {
  const name = draw.chance(0.1) ? draw.many(20, () => draw.byte()) : draw.of(FIELDS);
  const value = draw.chance(0.1) ? draw.many(200, () => draw.byte()) : draw.of(VALUES);
  const long = draw.chance(0.02) ? 'x'.repeat(draw.below(80_000)) : '';
  return `${name}${draw.of([': ', ':', ' : ', '', ':\t', ':\r\n '])}${value}${long}${draw.of(ENDS)}`;
}

function body(draw: Draw): string {
  if (draw.chance(0.7)) return '';
  return draw.of(['hello', '5\r\nhello\r\n0\r\n\r\n', 'ffffffff\r\n', '-1\r\n', '0\r\n\r\n', '\u0000'.repeat(100)]);
}

/** A few of its bytes are others, gone, or there twice. */
function spoilt(draw: Draw, text: string): string {
  let spoiltText = text;
  for (let times = draw.below(4); times >= 0; times -= 1) {
    const at = draw.below(spoiltText.length + 1);
    const [before, after] = [spoiltText.slice(0, at), spoiltText.slice(at + draw.below(3))];
    spoiltText = `${before}${draw.many(3, () => draw.byte())}${after}`;
  }
  return spoiltText;
}
