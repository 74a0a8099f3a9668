/*
 * How long the steps to a supernode may take. They come one after the other, those to several supernodes at the same time: all
 * of it is over within half a minute, however much of it hangs.
 */
export const RESOLVE_MS = 3000;
/** A machine of the same network that is off is known by ARP after 3 s. */
export const CONNECT_MS = 4000;
export const HTTP_MS = 3000;
/** A session: connection, challenge, welcome. */
export const VISIT_MS = 6000;
/** With the supernode's own dial (2 s), or that of two peers (5 s more). */
export const DIAL_BACK_MS = 9000;
/** For one entry of the list of checks. */
export const CHECK_MS = 30_000;

/** So many supernodes of the list, and addresses of a name, are looked at. */
export const MOST_SUPERNODES = 8;
export const MOST_ADDRESSES = 8;
