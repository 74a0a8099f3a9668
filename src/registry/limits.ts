/** How long things at an origin may take, in milliseconds. */
export interface OriginLimits {
  /** To a TCP or TLS connection. */
  readonly connectMs: number;
  /** From the request to the headers of its answer, the connection included. */
  readonly headersMs: number;
  /** Without a byte of the body, while we want one. */
  readonly stallMs: number;
}

/** containerd gives a mirror 30 s to its first header: all of this must fit into less. */
export const ORIGIN_LIMITS: OriginLimits = { connectMs: 10_000, headersMs: 15_000, stallMs: 10_000 };

/** Registries count and log by it. */
export const USER_AGENT = 'hawker';
