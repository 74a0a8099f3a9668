import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { codeOf, describeError } from '../base/errors.ts';

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/** Why a daemon behind a Unix socket said nothing: `code` is the system's (`ENOENT`, `EACCES`, `ECONNREFUSED`), or `TIMEOUT`. */
interface Silence {
  readonly kind: 'silent';
  readonly code: string;
  readonly why: string;
}

/** What a daemon behind a Unix socket said. */
export type SocketAnswer = { readonly kind: 'answer'; readonly status: number; readonly body: unknown } | Silence;
export type SocketText = { readonly kind: 'answer'; readonly status: number; readonly text: string } | Silence;

/** One GET over a Unix socket, JSON back; within `boundMs`. Never rejects. */
export async function askSocket(socketPath: string, path: string, boundMs: number): Promise<SocketAnswer> {
  const answer = await callSocket(socketPath, { method: 'GET', path, boundMs });
  if (answer.kind === 'silent') return answer;
  return { kind: 'answer', status: answer.status, body: parse(answer.text) };
}

/** One request over a Unix socket, without a body, and all that is answered; within `boundMs`. Never rejects. */
export async function callSocket(
  socketPath: string,
  { method, path, boundMs }: { method: string; path: string; boundMs: number },
): Promise<SocketText> {
  const signal = AbortSignal.timeout(boundMs);
  const asking = request({ socketPath, path, method, agent: false, headers: { host: 'localhost' }, signal });
  // An error after the answer has begun comes out of reading that.
  asking.on('error', () => {});
  asking.end();
  try {
    const [response] = (await once(asking, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) throw new Error('an answer without end');
    }
    return { kind: 'answer', status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() };
  } catch (error) {
    if (signal.aborted) return { kind: 'silent', code: 'TIMEOUT', why: `no answer within ${boundMs} ms` };
    return { kind: 'silent', code: codeOf(error), why: describeError(error) };
  }
}

/** Whether somebody listens on a Unix socket: undefined, or the system's code (`ENOENT`, `ECONNREFUSED`, `EACCES`). */
export function socketRefusal(path: string, boundMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const timer = setTimeout(() => socket.destroy(Object.assign(new Error('late'), { code: 'TIMEOUT' })), boundMs);
    socket.once('close', () => clearTimeout(timer));
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error) => resolve(codeOf(error)));
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
