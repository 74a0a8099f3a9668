import type { IncomingMessage, Server } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Logger } from '../base/log.ts';
import { isLoopbackAddress } from '../http/loopback-host.ts';
import type { Asker } from './asker.ts';
import type { Logins } from './logins.ts';
import { certificateUser } from './mirror-tls.ts';

/** Who asks, and what he sent for the registry. */
export interface Client {
  readonly asker: Asker;
  /** The `Authorization` that is for the registry; undefined: none. */
  readonly authorization: string | undefined;
}

/**
 * Finds out who asks. Where the mirror has users, Basic is a login at the mirror, and goes to no registry; what a client has for the
 * registry comes as a token then. One rule for all, so that no password can be taken for the other kind, and nobody learns by what
 * happens to it which users there are.
 */
export class Askers {
  readonly #logins: Logins | undefined;
  readonly #log: Logger;
  #certificates = new WeakMap<object, string>();

  constructor({ logins, log }: { logins: Logins | undefined; log: Logger }) {
    this.#logins = logins;
    this.#log = log;
  }

  /** Throws LOGIN_REFUSED, LOGINS_BUSY. */
  async of({ socket, headers: { authorization } }: IncomingMessage): Promise<Client> {
    const address = socket.remoteAddress ?? '';
    const asker = { address, isLocal: isLoopbackAddress(address), user: this.#certificates.get(socket) };
    const login = this.#logins && authorization !== undefined ? basicOf(authorization) : undefined;
    if (!login) return { asker, authorization };
    const { name, password } = login;
    // As podman sends it where a login is asked for and it has none.
    if (name === '' && password === '') return { asker, authorization: undefined };
    await this.#logins!.check(name, password, address);
    return { asker: { ...asker, user: name }, authorization: undefined };
  }

  /** Looks at the certificates of the clients of a TLS server. */
  watch(server: Server): void {
    server.on('secureConnection', (socket: TLSSocket) => {
      const user = certificateUser(socket);
      if (user !== undefined) this.#certificates.set(socket, user);
      else if (Object.keys(socket.getPeerCertificate()).length > 0) {
        const why = socket.authorizationError;
        this.#log.info(
          { code: 'CLIENT_CERTIFICATE_IGNORED', client: socket.remoteAddress, why: String(why ?? 'its CN is no name') },
          'a client’s certificate says nothing of who it is: it is served as one without',
        );
      }
    });
  }

  /** What certificates said until now counts no more: connections that are open are of nobody. */
  forgetCertificates(): void {
    this.#certificates = new WeakMap();
  }
}

/** Undefined: it is of another kind. A Basic that says nothing of use is a login with an empty password (RFC 7617). */
function basicOf(authorization: string): { name: string; password: string } | undefined {
  const [, value] = /^\s*Basic\b\s*(.*)$/is.exec(authorization) ?? [];
  if (value === undefined) return undefined;
  const text = Buffer.from(value, 'base64').toString();
  const colon = text.indexOf(':');
  return colon === -1 ? { name: text, password: '' } : { name: text.slice(0, colon), password: text.slice(colon + 1) };
}
