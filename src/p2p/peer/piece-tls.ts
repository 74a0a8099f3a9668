import type { OnReadOpts } from 'node:net';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { ClusterTls } from '../protocol/cluster-tls.ts';

/** Piece ports whose last TLS session is remembered; one takes some 2 KB. */
const MAX_SESSIONS = 1024;

interface Kept {
  /** The certificates that it was made with: others make a session of their own. */
  readonly context: SecureContext;
  readonly session: Buffer;
}

/** TLS to piece ports, resumed where it was before: that saves both sides the signatures of a handshake. */
export class PieceTls {
  readonly #tls: ClusterTls;
  /** By host and port. */
  readonly #sessions = new LRUCache<string, Kept>({ max: MAX_SESSIONS });

  constructor(tls: ClusterTls) {
    this.#tls = tls;
  }

  connect({ host, port, onread }: { host: string; port: number; onread: OnReadOpts }): TLSSocket {
    const { toMember, client: context } = this.#tls;
    const key = `${host} ${port}`;
    const kept = this.#sessions.get(key);
    const session = kept?.context === context ? { session: kept.session } : {};
    // Node's types know `onread` of plain connections only; a TLS socket takes it as well.
    const options = { host, port, onread, ...toMember, ...session };
    const socket = connect(options);
    socket.setNoDelay(true);
    socket.on('session', (fresh: Buffer) => this.#sessions.set(key, { context, session: fresh }));
    return socket;
  }
}
