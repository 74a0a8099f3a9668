import { isIP } from 'node:net';
import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Agent, request } from 'undici';
import { codeOf, describeError } from '../base/errors.ts';
import { formatTime, MiB } from '../base/units.ts';
import type { ApiTls } from '../app/cluster-tls.ts';
import { tlsFault } from '../p2p/protocol/cluster-tls.ts';
import { HTTP_MS } from './bounds.ts';

/** Some hundred bytes a peer and blob. */
const MAX_ANSWER_BYTES = 32 * MiB;

export interface Asking {
  readonly method?: 'GET' | 'POST';
  /** The address to connect to, whatever the name of the URL leads to. */
  readonly ip?: string | undefined;
  readonly timeoutMs?: number;
  /** Over TLS, any certificate will do: nothing secret is sent. */
  readonly anyCertificate?: boolean;
  /** The `Authorization` for a service that wants one; it is sent only where it does. */
  readonly authorization?: string | undefined;
  /** The cluster's own certificates, for https. */
  readonly tls?: ApiTls | undefined;
}

/** What came back from a port that was asked by HTTP. */
export type Answer =
  /** Nothing listens there: the connection was refused. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'unreachable'; readonly why: string }
  /** It took the connection, or did not even do that, and said nothing for so long. */
  | { readonly kind: 'silent'; readonly why: string }
  /** What it said is not HTTP, or ended too early. */
  | { readonly kind: 'rubbish'; readonly why: string }
  | { readonly kind: 'http'; readonly status: number; readonly headers: Headers; readonly json: unknown };

type Headers = Readonly<Record<string, string | string[] | undefined>>;

const UNREACHABLE = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'EACCES', 'EPERM', 'ETIMEDOUT', 'EADDRNOTAVAIL']);

/** One request to `url`, over a connection of its own; once more, with the token, where it is answered 401. Never rejects. */
export async function ask(url: string, asking: Asking = {}): Promise<Answer> {
  const { authorization } = asking;
  const answer = await askOnce(url, asking, {});
  if (authorization === undefined || !isUnauthorized(answer)) return answer;
  return askOnce(url, asking, { authorization });
}

/** What answers wants a token, or a better one. */
export function isUnauthorized(answer: Answer): boolean {
  return answer.kind === 'http' && answer.status === 401;
}

async function askOnce(
  url: string,
  { method = 'GET', ip, timeoutMs = HTTP_MS, anyCertificate = false, tls }: Asking,
  headers: Record<string, string>,
): Promise<Answer> {
  const agent = new Agent({
    pipelining: 0,
    connect: { timeout: timeoutMs, rejectUnauthorized: !anyCertificate, ...(ip !== undefined && fixed(ip)), ...tls },
  });
  try {
    const {
      statusCode,
      headers: got,
      body,
    } = await request(url, {
      method,
      headers,
      dispatcher: agent,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) return { kind: 'rubbish', why: 'its answer is too long' };
    }
    return { kind: 'http', status: statusCode, headers: got, json: parse(Buffer.concat(chunks).toString()) };
  } catch (error) {
    return notAnswered(error, timeoutMs);
  } finally {
    void agent.destroy();
  }
}

/** It was asked without TLS, and speaks nothing else. */
export function isTlsNeeded(answer: Answer): boolean {
  return answer.kind === 'http' && answer.status === 426;
}

/** The body, where it has this shape. */
export function read<T extends TSchema>(answer: Answer, schema: T): Static<T> | undefined {
  if (answer.kind !== 'http' || answer.status !== 200) return undefined;
  return Value.Check(schema, answer.json) ? answer.json : undefined;
}

/** In a few words, why there is no answer of the right kind. */
export function notRight(answer: Answer): string {
  if (answer.kind === 'refused') return 'the connection is refused: nothing listens there';
  if (isTlsNeeded(answer)) return 'it speaks TLS only (https, cluster.tls)';
  if (answer.kind === 'http') return `it answers with HTTP status ${answer.status}`;
  return answer.why;
}

function fixed(ip: string) {
  return {
    lookup: (_host: string, options: { all?: boolean }, done: (error: null, ...found: unknown[]) => void) => {
      if (options.all === true) done(null, [{ address: ip, family: isIP(ip) }]);
      else done(null, ip, isIP(ip));
    },
  };
}

function notAnswered(error: unknown, timeoutMs: number): Answer {
  const code = codeOf(error);
  if (code === 'ECONNREFUSED') return { kind: 'refused' };
  if (UNREACHABLE.has(code)) return { kind: 'unreachable', why: describeError(error) };
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || (error instanceof Error && error.name === 'TimeoutError')) {
    return { kind: 'silent', why: `it says nothing within ${formatTime(timeoutMs)}` };
  }
  if (error instanceof Error && error.name === 'HTTPParserError') {
    return { kind: 'rubbish', why: 'what it says is not HTTP' };
  }
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET') {
    return { kind: 'rubbish', why: 'it ends the connection without an answer' };
  }
  return { kind: 'rubbish', why: tlsFault(error) ?? describeError(error) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
