import type { IncomingHttpHeaders } from 'node:http';

export interface Refusable {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

/** Gets requests to one registry authorised, each with what it needs. */
export interface Authoriser {
  /**
   * Sends a request for a repository with what it needs. `send` gets the `Authorization` (undefined: none) and returns the
   * answer; it may be called again where that is a 401 that can be mended. The last answer is returned, whatever it is.
   */
  authorised<T extends Refusable>(
    repository: string,
    send: (authorization: string | undefined) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T>;
  /** What a request for a repository needs, found out without making it. */
  authorization(repository: string, signal?: AbortSignal): Promise<string | undefined>;
  /** What to send after that answer to a request with `sent`; undefined: it was no refusal, or there is nothing better. */
  renewed(
    repository: string,
    answer: Refusable,
    sent: string | undefined,
    signal?: AbortSignal,
  ): Promise<string | undefined>;
}
