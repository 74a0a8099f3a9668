import { constants, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type PeerCertificate, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { codeOf, describeError } from '../base/errors.ts';
import { isUserName } from '../base/user-name.ts';
import { MirrorTlsUnusable } from './errors.ts';

/** The files of a mirror that speaks TLS. */
export interface MirrorTlsFiles {
  readonly cert: string;
  readonly key: string;
  /** Authorities for certificates of clients; undefined: clients are not asked for one. */
  readonly clientCa: string | undefined;
}

/** What Node's server takes of them. */
export type MirrorTls = SecureContextOptions & { readonly asksClients: boolean };

/** Reads the files, and sees that they can be used together. Throws MIRROR_TLS_UNUSABLE. */
export async function readMirrorTls({ cert, key, clientCa }: MirrorTlsFiles): Promise<MirrorTls> {
  const [certText, keyText, caText] = await Promise.all([
    text('cert', cert),
    text('key', key),
    clientCa === undefined ? undefined : text('clientCa', clientCa),
  ]);
  const tls: MirrorTls = {
    asksClients: caText !== undefined,
    cert: certText,
    key: keyText,
    minVersion: 'TLSv1.2',
    // A session that goes on later would bring a certificate along that may have ceased to count; Go's clients keep none anyway.
    ...(caText !== undefined && { ca: caText, secureOptions: constants.SSL_OP_NO_TICKET }),
  };
  try {
    createSecureContext(tls);
  } catch (cause) {
    throw new MirrorTlsUnusable({ why: describeError(cause) }, { cause });
  }
  // OpenSSL takes a file without any certificate for a list of no authorities.
  if (caText !== undefined) parsed('clientCa', caText);
  return tls;
}

/**
 * Whose certificate a connection has: its subject's common name (CN), where an authority of `clientCa` has signed it and it is a
 * name that a user may have.
 */
export function certificateUser(socket: TLSSocket): string | undefined {
  if (!socket.authorized) return undefined;
  // Without one it is an empty object.
  const { subject } = socket.getPeerCertificate() as Partial<PeerCertificate>;
  const name = subject?.CN;
  return typeof name === 'string' && isUserName(name) ? name : undefined;
}

async function text(what: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new MirrorTlsUnusable({ why: `${what} is ${path}, which cannot be read (${codeOf(cause)})` }, { cause });
  }
}

function parsed(what: string, pem: string): void {
  try {
    void new X509Certificate(pem);
  } catch (cause) {
    throw new MirrorTlsUnusable({ why: `${what} holds no certificate` }, { cause });
  }
}
