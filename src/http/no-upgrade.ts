import type { IncomingMessage, Server, ServerResponse } from 'node:http';

/**
 * For a server that takes no upgrades: a request that offers one (`curl --http2` does) is answered as if it had not (RFC 9110, 7.8), and
 * its connection ends then: Node's parser reads nothing more behind it, and the next request would wait for ever.
 */
export function endUpgrades(server: Server): void {
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    if (request.headers.upgrade !== undefined) response.setHeader('Connection', 'close');
  });
}
