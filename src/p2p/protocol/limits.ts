import { KiB } from '../../base/units.ts';

/** The largest message of a session, either way. */
export const MAX_MESSAGE_BYTES = 256 * KiB;
/** Pieces of a blob: 64 GiB in pieces of 4 MiB. */
export const MAX_PIECES = 16_384;
/** Peers that `welcome` and heartbeats name. */
export const MAX_KNOWN_PEERS = 50;
/** Addresses that a peer advertises. */
export const MAX_ADDRESSES = 8;
/** Runs that a proxy awaits of one blob. */
export const MAX_RUNS = 64;
/** Origin reads of one blob that a proxy goes on with under a new session. */
export const MAX_READS = 8;
/** Leases from this number on were numbered by a proxy; a supernode gives smaller ones. */
export const OWN_LEASES = 2 ** 52;
/** Entries of one kind in one message. */
export const MAX_BATCH = 1024;
/** Blobs that one proxy wants at the same time through its session. */
export const MAX_WISHES = 128;
/** Blobs that one proxy announces; the most recently used come first. */
export const MAX_ANNOUNCED = 20_000;
/** For every step of a session's opening at the supernode: from its challenge to the proxy's hello. */
export const HELLO_TIMEOUT_MS = 5000;
/** Heartbeats missed before a side counts as silent. */
export const MISSED_HEARTBEATS = 3;
/** Of an image's name in an order to fetch it: docker's 255, a tag, a digest. */
export const MAX_IMAGE_CHARACTERS = 512;
/** Platforms of one order, and the length of one, as in `linux/arm/v7`. */
export const MAX_PLATFORMS = 16;
export const MAX_PLATFORM_CHARACTERS = 64;
/** The longest that an order to fetch an image may take. */
export const MAX_PREHEAT_MS = 24 * 3_600_000;
