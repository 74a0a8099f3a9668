import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** What the other end of a connection to a TLS server has shown: nothing, a certificate that is accepted, or another one. */
export type ClientCertificate =
  | { readonly state: 'none' }
  | { readonly state: 'accepted'; readonly name: string }
  | { readonly state: 'refused'; readonly name: string; readonly why: string };

/**
 * The client's certificate, on a server with `requestCert`. `authorized` alone is not enough: Node also sets it on a TLS 1.3 session
 * that was resumed, whether or not its client has ever shown a certificate.
 */
export function clientCertificate(socket: Socket): ClientCertificate {
  const { authorized, authorizationError, getPeerX509Certificate } = socket as Partial<TLSSocket>;
  const certificate = getPeerX509Certificate?.call(socket);
  if (!certificate) return { state: 'none' };
  // One line for each part of the name.
  const name = certificate.subject?.replaceAll('\n', ', ') ?? 'without a name';
  if (authorized === true) return { state: 'accepted', name };
  return { state: 'refused', name, why: String(authorizationError ?? 'unknown') };
}
