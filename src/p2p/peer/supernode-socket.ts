import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { WebSocket } from 'ws';
import { bareHost } from '../../base/bare-host.ts';
import type { Clock } from '../../base/clock.ts';
import { asError, describeError } from '../../base/errors.ts';
import { tlsFault, type ClusterTls } from '../protocol/cluster-tls.ts';
import { MAX_MESSAGE_BYTES } from '../protocol/limits.ts';
import { REFUSAL_HEADER, type SessionSocket } from '../protocol/socket.ts';
import { WebSocketEnd } from '../protocol/web-socket.ts';
import {
  SupernodeLost,
  SupernodeNotHawker,
  SupernodeRefused,
  SupernodeSilent,
  SupernodeTimeout,
  SupernodeTls,
  SupernodeUnavailable,
  SupernodeUnreachable,
} from './session-errors.ts';

/** For the connection; and, each, for the TLS handshake and the answer to the HTTP request. */
export const CONNECT_TIMEOUT_MS = 5000;
export const ANSWER_TIMEOUT_MS = 5000;
const SESSION_PATH = '/api/v1/session';

export interface SocketTarget {
  readonly url: URL;
  readonly ip: string;
  readonly port: number;
  /** `ip:port`, for errors. */
  readonly address: string;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** The cluster's own certificates; undefined: an https URL is checked as any other. */
  readonly tls?: ClusterTls | undefined;
}

/** Connects, step by step, each with a time limit and an error of its own. */
export async function openSocket(target: SocketTarget): Promise<SessionSocket> {
  target.signal?.throwIfAborted();
  const tcp = await connect(target);
  return upgrade(target, target.url.protocol === 'https:' ? await secure(target, tcp) : tcp);
}

function connect(target: SocketTarget): Promise<Socket> {
  const { ip, port, address } = target;
  const socket = connectTcp({ host: ip, port, noDelay: true });
  return step(target, {
    socket,
    limitMs: CONNECT_TIMEOUT_MS,
    late: () => new SupernodeTimeout({ address, waitedMs: CONNECT_TIMEOUT_MS }),
    failed: (why, cause) => new SupernodeUnreachable({ address, why }, { cause }),
    run: (done) => socket.once('connect', () => done(socket)),
  });
}

function secure(target: SocketTarget, tcp: Socket): Promise<Socket> {
  const { url, address, tls } = target;
  const host = bareHost(url.hostname);
  const name = isIP(host) === 0 && { servername: host };
  const socket = connectTls({ socket: tcp, host, ...name, ...(tls && { secureContext: tls.client }) });
  return step(target, {
    socket,
    limitMs: ANSWER_TIMEOUT_MS,
    late: () => new SupernodeSilent({ address, waitedMs: ANSWER_TIMEOUT_MS, step: 'tls' }),
    failed: (why, cause) => new SupernodeTls({ address, why: tlsFault(cause) ?? why }, { cause }),
    run: (done) => socket.once('secureConnect', () => done(socket)),
  });
}

function upgrade(target: SocketTarget, socket: Socket): Promise<SessionSocket> {
  const { url, address } = target;
  const ws = new WebSocket(`${url.protocol === 'https:' ? 'wss' : 'ws'}://${url.host}${SESSION_PATH}`, {
    createConnection: () => socket,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    followRedirects: false,
  });
  // It listens for itself, and is made at once, so that nothing is missed.
  const end = new WebSocketEnd(ws, { localAddress: socket.localAddress });
  return step(target, {
    socket,
    limitMs: ANSWER_TIMEOUT_MS,
    late: () => new SupernodeSilent({ address, waitedMs: ANSWER_TIMEOUT_MS, step: 'upgrade' }),
    failed: (why, cause) =>
      isCutOff(cause)
        ? new SupernodeLost({ address, why, step: 'upgrade' }, { cause })
        : new SupernodeNotHawker({ address, why, step: 'upgrade' }, { cause }),
    run: (done, fail) => {
      ws.once('open', () => done(end));
      ws.once('error', (error) => fail(error));
      ws.once('unexpected-response', (_request, response) => {
        const code = response.headers[REFUSAL_HEADER.toLowerCase()];
        fail(answerError(address, response.statusCode ?? 0, typeof code === 'string' ? code : undefined));
      });
    },
  });
}

interface StepOf<T> {
  readonly socket: Socket;
  readonly limitMs: number;
  readonly late: () => Error;
  readonly failed: (why: string, cause: unknown) => Error;
  readonly run: (done: (result: T) => void, fail: (error: Error) => void) => void;
}

/** One step of the way: it ends with a result, an error, the time limit or the caller's abort; in the last three the socket is gone. */
function step<T>({ clock, signal }: SocketTarget, { socket, limitMs, late, failed, run }: StepOf<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const settle = (): void => {
      cancel();
      signal?.removeEventListener('abort', onAbort);
      socket.off('close', onClose);
    };
    const fail = (error: Error): void => {
      settle();
      reject(error);
      // What the ending itself brings about has been told.
      socket.on('error', () => undefined);
      socket.destroy();
    };
    const onError = (error: Error): void => fail(isOwn(error) ? error : failed(describeError(error), error));
    const onAbort = (): void => fail(asError(signal?.reason));
    const onClose = (): void => fail(failed('the connection was closed', undefined));
    const cancel = clock.after(limitMs, () => fail(late()));
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', onError);
    socket.once('close', onClose);
    run((result) => {
      settle();
      socket.off('error', onError);
      resolve(result);
    }, onError);
  });
}

function isOwn(error: Error): boolean {
  return (
    error instanceof SupernodeRefused || error instanceof SupernodeUnavailable || error instanceof SupernodeNotHawker
  );
}

function answerError(address: string, status: number, code: string | undefined): Error {
  if (code !== undefined && /^[A-Z][A-Z0-9_]{0,63}$/.test(code)) {
    return new SupernodeRefused({ code, message: `HTTP status ${status}`, address, step: 'upgrade' });
  }
  if (status >= 502 && status <= 504) return new SupernodeUnavailable({ address, status });
  return new SupernodeNotHawker({ address, why: `it answers with HTTP status ${status}`, step: 'upgrade' });
}

/** The connection broke off before there was an answer: nothing speaks for or against a supernode. */
function isCutOff(error: unknown): boolean {
  if (error === undefined) return true;
  return error instanceof Error && /socket hang up|ECONNRESET|EPIPE|ETIMEDOUT/.test(error.message);
}
