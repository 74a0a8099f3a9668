/*
 * Mutual TLS between the nodes of a cluster, with a CA of its own: whoever has a certificate of that CA is a member. Supernodes are
 * known by the host names of their URLs too; peers, which are known by addresses that change, by the CA alone: which peer answers is
 * what `whoami` and the piece tokens tell.
 *
 * With TLS and no join secret the keys behind those proofs are public (membership.ts). That is as safe as with one: a secret that all
 * members share has never proved more than membership, since every member can make every other member's proofs. TLS proves membership
 * before a byte of them is read; they still tell a mistaken peer, or an earlier life of one, from the right one.
 */
import { constants } from 'node:crypto';
import {
  createSecureContext,
  type ConnectionOptions,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  type TlsOptions,
} from 'node:tls';
import { codeOf, describeError } from '../../base/errors.ts';
import type { TlsMaterial } from './tls-files.ts';

const HANDSHAKE_MS = 5000;

/** What this process uses for TLS just now: read anew, servers and connections to come take it up, those that are open go on. */
export class ClusterTls {
  readonly #servers = new Set<{ readonly server: Server; readonly extra: SecureContextOptions }>();
  #material: TlsMaterial;
  #client: SecureContext;

  constructor(material: TlsMaterial) {
    this.#material = material;
    this.#client = contextOf(material);
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  /** For connections that this process opens; another one after `replace`. */
  get client(): SecureContext {
    return this.#client;
  }

  /** For a connection to a member at whatever address: whoever has a certificate of the CA. */
  get toMember(): ConnectionOptions {
    return { secureContext: this.#client, checkServerIdentity: () => undefined };
  }

  /** For a server that refuses the handshake of who has no certificate of the CA. */
  get forMembers(): TlsOptions {
    return { ...this.#forServer(), rejectUnauthorized: true };
  }

  /**
   * For a server that looks at the certificate itself (`clientCertificate`). It resumes no sessions: those of its clients last, and
   * Node takes a resumed one for authorized.
   */
  get forAnyone(): TlsOptions {
    return { ...this.#forServer(), ...NO_TICKETS, rejectUnauthorized: false };
  }

  /** The server takes up what `replace` brings, until it closes. `resumes`: as `forMembers`, else as `forAnyone`. */
  keep(server: Server, { resumes }: { readonly resumes: boolean }): void {
    const kept = { server, extra: resumes ? {} : NO_TICKETS };
    this.#servers.add(kept);
    server.once('close', () => this.#servers.delete(kept));
  }

  replace(material: TlsMaterial): void {
    const client = contextOf(material);
    for (const { server, extra } of this.#servers) {
      // The keys of its tickets are new too: nobody resumes what was begun under the certificates of before.
      server.setSecureContext({ ...settingsOf(material), ...extra });
    }
    this.#material = material;
    this.#client = client;
  }

  #forServer(): TlsOptions {
    return { ...settingsOf(this.#material), requestCert: true, handshakeTimeout: HANDSHAKE_MS };
  }
}

const NO_TICKETS = { secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET };

function contextOf(material: TlsMaterial): SecureContext {
  return createSecureContext(settingsOf(material));
}

function settingsOf({ cert, key, ca }: TlsMaterial): SecureContextOptions {
  return { cert, key, ca, minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_RENEGOTIATION };
}

/** What the usual failures of a handshake mean, by what their codes end with: of OpenSSL, of its alerts, of Node. */
const FAULTS: readonly (readonly [code: RegExp, words: string])[] = [
  [/WRONG_VERSION_NUMBER$|PACKET_LENGTH_TOO_LONG$/, 'it answers without TLS (cluster.tls is not set there)'],
  [/ALERT_CERTIFICATE_REQUIRED$|PEER_DID_NOT_RETURN_A_CERTIFICATE$/, 'it takes only who shows a certificate of its CA'],
  [/ALERT_UNKNOWN_CA$/, 'it does not take this node’s certificate, which is signed by no CA of its cluster.tls.ca'],
  [/ALERT_CERTIFICATE_EXPIRED$/, 'it does not take this node’s certificate: expired, or not yet valid by its clock'],
  [/ALERT_(BAD_|UNSUPPORTED_)?CERTIFICATE(_UNKNOWN|_REVOKED)?$/, 'it does not take this node’s certificate'],
  [/ALERT_PROTOCOL_VERSION$|UNSUPPORTED_PROTOCOL$/, 'the two have no version of TLS in common (1.2 or later)'],
  [/ALERT_HANDSHAKE_FAILURE$/, 'it refuses the TLS handshake'],
  [/^CERT_HAS_EXPIRED$/, 'its certificate has expired (or this node’s clock is ahead)'],
  [/^CERT_NOT_YET_VALID$/, 'its certificate is not valid yet (or this node’s clock is behind)'],
  [
    /^(UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?|UNABLE_TO_VERIFY_LEAF_SIGNATURE|(DEPTH_ZERO_)?SELF_SIGNED_CERT(_IN_CHAIN)?|CERT_SIGNATURE_FAILURE)$/,
    'its certificate is signed by no CA that this node trusts',
  ],
  [/^INVALID_PURPOSE$/, 'its certificate is not for servers (extended key usage)'],
];

/** A server of Node ends the connection after the handshake where it does not take the client's certificate, and sends no alert. */
export const CLOSED_AFTER_HANDSHAKE =
  'it closed the connection after the TLS handshake without a word, as where it does not take this node’s certificate (of another CA, or expired)';

/** Where a write runs into it first, OpenSSL's reason stands in the text only. */
function tlsCodeOf(error: unknown): string {
  const code = codeOf(error);
  const reason = code === 'EPROTO' ? /SSL routines:[^:]*:([^:]+):/.exec((error as Error).message)?.[1] : undefined;
  return reason === undefined ? code : `ERR_SSL_${reason.replaceAll(' ', '_').toUpperCase()}`;
}

/** What an error of a TLS connection means, and its code; undefined: it is about something else. */
export function tlsFault(error: unknown): string | undefined {
  const code = tlsCodeOf(error);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return describeError(error);
  const words = FAULTS.find(([pattern]) => pattern.test(code))?.[1];
  if (words !== undefined) return `${words} (${code})`;
  return /^ERR_(SSL|TLS)_/.test(code) ? `TLS fails: ${code}` : undefined;
}
