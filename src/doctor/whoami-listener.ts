import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Address } from '../config/formats.ts';
import type { PeerIdentity } from '../p2p/peer/piece-auth.ts';
import type { ClusterTls } from '../p2p/protocol/cluster-tls.ts';
import type { Membership } from '../p2p/protocol/membership.ts';

const NONCE = /^\/v1\/whoami\?nonce=([\w-]{16,64})$/;

/** A piece port that has no pieces, and only says who it is: it stands in for a proxy that does not run. */
export class WhoamiListener {
  readonly #server: Server;

  constructor({ peer, instance }: PeerIdentity, membership: Membership, tls: ClusterTls | undefined) {
    const settings = { requestTimeout: 5000 };
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      const nonce = NONCE.exec(request.url ?? '')?.[1];
      if (nonce === undefined) response.writeHead(404).end();
      else response.end(JSON.stringify({ peer, instance, proof: membership.whoamiProof({ nonce, peer, instance }) }));
    };
    this.#server = tls ? createTlsServer({ ...settings, ...tls.forMembers }, answer) : createServer(settings, answer);
  }

  /** The port. Rejects with the system's error. */
  async listen({ host, port }: Address): Promise<number> {
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
