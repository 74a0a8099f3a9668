/** k: pieces in flight to one proxy, over all blobs. Equal to U: otherwise popular senders or starved receivers appear. */
export const DOWNLOAD_SLOTS = 4;
/** U: pieces that one proxy sends at the same time, over all blobs. */
export const UPLOAD_SLOTS = 4;
/** Most upload slots that a proxy may claim for itself. */
export const MAX_UPLOAD_SLOTS = 64;
/** Slots more, both ways, that only blobs of one piece may use. */
export const ONE_PIECE_SLOTS = 1;
/** How far past the first missing piece of an awaited run pieces are fetched and leased. */
export const WINDOW_PIECES = 128;
/** Pieces at the head of what a client waits for that come before the rarest. */
export const HEAD_PIECES = 2;
/** Awaited runs of one wish that are looked at for one decision. */
export const RUNS_PER_DECISION = 4;
/** Waiters that a freed slot looks at. */
export const WAITERS_PER_SLOT = 32;
/** Senders with a free slot that are compared for one choice; and once a second, for a proxy that gets nothing. */
export const SOURCES_PER_CHOICE = 32;
export const SOURCES_PER_THOROUGH_CHOICE = 1024;

/** Proxies that read one image from the origin at the same time, shared among its blobs, but for the least a blob has. */
export const MAX_LESSEES = 16;
export const MIN_LESSEES_PER_BLOB = 4;
/** While fewer proxies read a blob, a piece is in flight to at most as many peers as hold it. */
export const FAN_OUT_LESSEES = 4;
/** Reads of one blob by one proxy where the origin caps each connection. */
export const MAX_LEASES_PER_PROXY = 8;
/** What a lease is worth while others read too; and its length while no rate is known. */
export const RUN_MS = 1000;
export const FIRST_RUN_PIECES = 4;
/** A read is cut short only if its rest takes so many times as long as a read needs to its first byte: so much comes in vain. */
export const CUT_FROM_LEADS = 4;
/** From the grant of a lease to its first byte, while nothing was measured. */
export const DEFAULT_LEAD_MS = 50;
/** A lease without a byte for so long: its unread pieces may be leased again; and it is forgotten. */
export const LEASE_SILENT_MS = 2000;
export const LEASE_LOST_MS = 30_000;
/** Failed reads in a row, with no byte between them, after which a proxy reads this blob no more. */
export const MAX_TRIES_WITHOUT_PROGRESS = 8;
/** The longest that an origin's Retry-After is heeded while others can read; and while nobody else can. */
export const MAX_RETRY_AFTER_MS = 600_000;
export const MAX_LONE_RETRY_AFTER_MS = 20_000;

/** A piece of which nothing was heard for so long is assigned anew. */
export const TRANSFER_DEADLINE_MS = 60_000;
/** How long a pair of peers stays apart after a failure; sooner forgiven where nobody else can give a piece. */
export const AVOID_MS = 60_000;
export const FORGIVE_MS = 2000;
/** How long a sender that was busy is left alone. */
export const BUSY_MS = 200;
/** Receivers that got nothing from a sender, and none that did, before it is held back, and for how long at first and at most. */
export const FAILURES_TO_HOLD_BACK = 2;
export const HOLD_BACK_MS = 1000;
export const MAX_HOLD_BACK_MS = 8000;
/** Receivers with a bad piece of one sender that suspend it; senders that one may accuse; and how long both are remembered. */
export const COMPLAINTS_TO_SUSPEND = 3;
export const ACCUSATIONS_TO_IGNORE = 3;
export const SUSPEND_MS = 600_000;

/** Blobs that are disputed at the same time. */
export const MAX_DISPUTES = 64;
/** Disputes that one peer may open within `SUSPEND_MS` without anything wrong coming out. */
export const VAIN_DISPUTES = 3;
/** Pieces of a disputed blob that one lease has read again. */
export const READ_AGAIN_PIECES = 64;
/** Leases to read a piece again that may fail. */
export const MAX_READ_AGAIN_TRIES = 3;

/** `wait` is said again after so long. */
export const WAIT_REPEAT_MS = 1000;
/** After a restart, only a piece's present reader has its lease for so long. */
export const SETTLE_MS = 2000;
/** How often waiters are looked at without an occasion, and how many at a time. */
export const SWEEP_MS = 250;
export const SWEEP_LOOKS = 512;

export const MAX_PEERS = 20_000;
export const MAX_BLOBS = 200_000;
export const MAX_BLOBS_PER_PEER = 20_000;
export const MAX_PEERS_PER_BLOB = 20_000;
/** Blobs of all peers together, each peer's part in each: about 400 bytes of memory each. */
export const MAX_PARTS = 2_000_000;
/**
 * Pieces of the blobs that one peer has to do with, and of all blobs, as far as their sizes are known: for each there may be a check
 * sum (4 bytes) and a bit. Of 1 MiB each they make 4 TiB of one peer's, 64 TiB of all.
 */
export const MAX_PIECES_PER_PEER = 4 * 1024 * 1024;
export const MAX_PIECES_OVERALL = 64 * 1024 * 1024;
export const MAX_WISHES_PER_PEER = 128;
export const MAX_AWAITED_RUNS = 64;
/** 64 GiB in pieces of 4 MiB. */
export const MAX_PIECES = 16_384;
export const MAX_AVOIDED_PER_PEER = 64;
/** Upstreams, and peers with complaints, that are remembered. */
export const MAX_UPSTREAMS = 1000;
export const MAX_SUSPECTS = 4096;

/** Rules that can be switched off, to see what each is for (`scripts/simulate --without`). */
export interface SwarmRules {
  /** Pieces are fetched and leased inside the window only. */
  readonly window: boolean;
  /** The head of what a client waits for comes first. */
  readonly headOfLine: boolean;
  /** The rarest piece comes first. */
  readonly rarest: boolean;
  /** Few lessees: a piece is in flight to as many as hold it. */
  readonly fanOut: boolean;
  /** A lone proxy's rest is cut when a second one asks. */
  readonly cutLone: boolean;
  /** Who finds nothing unclaimed takes half of the largest unread rest. */
  readonly halve: boolean;
  /** Leases are runs, not single pieces. */
  readonly runs: boolean;
  /** The next run is granted one origin round trip before the present one ends. */
  readonly earlyGrant: boolean;
  /** The blobs of an image share the lessees. */
  readonly shareLessees: boolean;
  /** A slow sender has fewer slots. */
  readonly shrinkSlots: boolean;
  /** The slot kept for blobs of one piece. */
  readonly onePieceSlot: boolean;
  /** More reads a proxy where the origin caps each connection. */
  readonly moreConnections: boolean;
}

export const ALL_RULES: SwarmRules = {
  window: true,
  headOfLine: true,
  rarest: true,
  fanOut: true,
  cutLone: true,
  halve: true,
  runs: true,
  earlyGrant: true,
  shareLessees: true,
  shrinkSlots: true,
  onePieceSlot: true,
  moreConnections: true,
};
