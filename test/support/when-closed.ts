import type { Socket } from 'node:net';

/**
 * Resolves when a socket is closed, by whichever end and however: with a reset where the one end left before it had read all that the
 * other had sent. (`once` of node:events rejects at an error that comes before the event.)
 */
export function whenClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    socket.on('error', () => undefined).once('close', () => resolve());
  });
}
