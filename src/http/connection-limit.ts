import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Descriptors } from '../base/descriptors.ts';
import { codeOf, describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';

export interface ConnectionLimitOptions {
  readonly descriptors: Pick<Descriptors, 'admitsConnection'>;
  /** Descriptors that are left to others, beside those that every connection leaves. */
  readonly spare?: number;
  readonly log: Logger;
}

/**
 * Closes a new connection at once where there are too few descriptors for a request on it: clients go to the origin then. A server that
 * cannot accept goes on listening.
 */
export function limitConnections(server: Server, { descriptors, spare, log }: ConnectionLimitOptions): void {
  server.on('connection', (socket: Socket) => {
    if (descriptors.admitsConnection(spare)) return;
    socket.destroy();
    log.debug({ code: 'CONNECTION_REFUSED' }, 'a connection was closed at once: descriptors are short');
  });
  // Some versions of Node say so where `accept` fails; nobody listening would end the process.
  server.on('error', (error) => {
    if (server.listening) log.debug({ code: codeOf(error) }, `accepting failed: ${describeError(error)}`);
  });
}
