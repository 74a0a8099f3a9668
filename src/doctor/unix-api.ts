import { request } from 'node:http';
import { connect } from 'node:net';
import { codeOf, describeError } from '../base/errors.ts';

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/** What a daemon behind a Unix socket said. */
export type SocketAnswer =
  | { readonly kind: 'answer'; readonly status: number; readonly body: unknown }
  /** `code` is the system's (`ENOENT`, `EACCES`, `ECONNREFUSED`), or `TIMEOUT`. */
  | { readonly kind: 'silent'; readonly code: string; readonly why: string };

/** One GET over a Unix socket, JSON back; within `boundMs`. Never rejects. */
export function askSocket(socketPath: string, path: string, boundMs: number): Promise<SocketAnswer> {
  return new Promise((resolve) => {
    const silent = (error: unknown) => resolve({ kind: 'silent', code: codeOf(error), why: describeError(error) });
    const asking = request({ socketPath, path, agent: false, headers: { host: 'localhost' } }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > MAX_ANSWER_BYTES) asking.destroy(new Error('an answer without end'));
      });
      response.once('error', silent);
      response.once('end', () => {
        clearTimeout(timer);
        const text = Buffer.concat(chunks).toString();
        resolve({ kind: 'answer', status: response.statusCode ?? 0, body: parse(text) });
      });
    });
    const late = Object.assign(new Error(`no answer within ${boundMs} ms`), { code: 'TIMEOUT' });
    const timer = setTimeout(() => asking.destroy(late), boundMs);
    asking.once('close', () => clearTimeout(timer));
    asking.once('error', silent);
    asking.end();
  });
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
