/** A proxy as the roster knows it: the id that it keeps, and the one that is new at each start. */
export interface PeerIdentity {
  readonly peer: string;
  readonly instance: string;
}

/** Opens the piece port of other members of the cluster, and this one's to them (I4). */
export interface PieceAuth {
  /** A token for asking `sender` for pieces, and nobody else. Letters, digits and `-._~+/=` only, at most 512. */
  token(sender: PeerIdentity): string;
  /** The id of the peer that asks this proxy with `token`; undefined: forged, too old, or made for somebody else. */
  check(token: string): string | undefined;
}

const AUTHORIZATION = /^Hawker ([\w.~+/=-]{1,512})$/;

/** The value of `Authorization` that carries a token. */
export function authorizationOf(token: string): string {
  return `Hawker ${token}`;
}

/** The token in an `Authorization` header; undefined where there is none. */
export function tokenIn(authorization: string | undefined): string | undefined {
  return AUTHORIZATION.exec(authorization ?? '')?.[1];
}
