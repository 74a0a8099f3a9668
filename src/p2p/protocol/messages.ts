/*
 * What proxies and supernode say to each other: one JSON object a WebSocket text message, its type in `t`. Fields that a
 * newer minor version adds are ignored by an older one.
 *
 * The order of a session: `challenge` → `hello` → `welcome` (or `reject`, and the end); then `announce` with the whole
 * inventory, `want` for what is being fetched; after that anything. Either side says `error` before it closes for a reason.
 *
 * The two messages that make up nearly all traffic, `r` (reports) and `a` (assignments), are batches of short tuples, one list
 * for each kind, which the receiver takes in the order in which they stand below. In them a blob is `w`, the number that the
 * proxy gave to its wish, and a peer is the number by which the supernode introduced it (`a.p`); 0 is the origin.
 */
import { Type, type Static, type TSchema } from '@sinclair/typebox';
import { Ajv, type ValidateFunction } from 'ajv';
import type { Digest } from '../../base/digest.ts';
import { MessageInvalid } from './errors.ts';
import {
  MAX_ADDRESSES,
  MAX_BATCH,
  MAX_IMAGE_CHARACTERS,
  MAX_KNOWN_PEERS,
  MAX_MESSAGE_BYTES,
  MAX_PIECES,
  MAX_PLATFORM_CHARACTERS,
  MAX_PLATFORMS,
  MAX_PREHEAT_MS,
  MAX_READS,
  MAX_RUNS,
} from './limits.ts';

const natural = (maximum = Number.MAX_SAFE_INTEGER) => Type.Integer({ minimum: 0, maximum });
const text = (maxLength: number) => Type.String({ maxLength });
const list = <T extends TSchema>(items: T, maxItems = MAX_BATCH) => Type.Array(items, { maxItems });
const some = <T extends TSchema>(items: T) => Type.Optional(list(items));

const ID = Type.String({ pattern: '^[0-9a-z][0-9a-z-]{7,63}$' });
const NONCE = Type.String({ pattern: '^[\\w-]{16,64}$' });
const PROOF = Type.String({ pattern: '^[\\w-]{43}$' });
const DIGEST = Type.Unsafe<Digest>(
  Type.String({ pattern: '^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}|file:[0-9a-f]{64})$' }),
);
const CODE = Type.String({ pattern: '^[A-Z][A-Z0-9_]{0,63}$' });
/** Checked for its form when it is used, so that a bad one gets an answer of its own. */
const ADDRESS = text(300);
const VERSION = text(64);
const ZONE = text(64);
const PIECE = natural(MAX_PIECES - 1);
/** Pieces of a run; 0: to the blob's end, wherever that is. */
const COUNT = natural(MAX_PIECES);
const CRC = natural(0xffff_ffff);
/** SHA-256 of a piece, in base64url. */
const SHA256 = Type.String({ pattern: '^[\\w-]{43}$' });
const BITS = text(Math.ceil(MAX_PIECES / 8 / 3) * 4);
const CRCS = text(Math.ceil((MAX_PIECES * 4) / 3) * 4);
/** Of a wish: given by the proxy, once a session. */
const WISH = natural();
const LEASE = natural();
const SIZE = natural();
const PEER = Type.Integer({ minimum: 1 });
const FROM = Type.Integer({ minimum: -1 });
const TIME = Type.Number();
const MS = Type.Number({ minimum: 0 });
const RUN = Type.Tuple([PIECE, COUNT]);

const KNOWN_PEER = Type.Object({ id: ID, instance: ID, addresses: list(ADDRESS, MAX_ADDRESSES), zone: ZONE });
const KNOWN_PEERS = list(KNOWN_PEER, MAX_KNOWN_PEERS);

const message = <T extends string, P extends Record<string, TSchema>>(t: T, properties: P) =>
  Type.Object({ t: Type.Literal(t), ...properties });

const refusal = { code: CODE, message: text(1000) };
/** Milliseconds since 1970 by the sender's clock; `n` comes back in the answer. */
const beat = { n: natural(), time: TIME };

const FROM_SUPERNODE = {
  challenge: message('challenge', {
    nonce: NONCE,
    epoch: ID,
    protocol: VERSION,
    version: VERSION,
    /** Whether the cluster has a join secret. */
    membership: Type.Boolean(),
    time: TIME,
  }),
  welcome: message('welcome', {
    epoch: ID,
    heartbeatMs: natural(3_600_000),
    proof: PROOF,
    time: TIME,
    peers: KNOWN_PEERS,
    /** The versions differ a little: for the proxy's log. */
    warning: Type.Optional(text(500)),
  }),
  reject: message('reject', refusal),
  error: message('error', refusal),
  /** The answer to the proxy's; now and then with whom to ask when every supernode is gone. */
  beat: message('beat', { ...beat, peers: Type.Optional(KNOWN_PEERS) }),
  /** To be answered with a beat at once: is the proxy still there? */
  ping: message('ping', {}),
  /** Asks whether this proxy can reach another one's piece port. */
  dial: message('dial', {
    n: natural(),
    peer: ID,
    instance: ID,
    nonce: NONCE,
    addresses: list(ADDRESS, MAX_ADDRESSES),
  }),
  /** The answer to `test`, and what a visitor is told unasked: the address that answered, or why none did. */
  tested: message('tested', { n: natural(), address: Type.Optional(ADDRESS), error: Type.Optional(text(2000)) }),
  /**
   * An order to fetch an image. Without `digest` the proxy finds out what its tag stands for, and tells; with it all fetch the same.
   * Sent again after a session was lost: an order that is known already is answered with how it stands.
   */
  preheat: message('preheat', {
    id: ID,
    image: text(MAX_IMAGE_CHARACTERS),
    digest: Type.Optional(DIGEST),
    /** None: the one that the proxy runs on; `all`: every one that there is. */
    platforms: list(text(MAX_PLATFORM_CHARACTERS), MAX_PLATFORMS),
    /** From now on. */
    timeoutMs: natural(MAX_PREHEAT_MS),
  }),
  /** An order to fetch an image is called off. One that is not known, or is over, stays as it is. */
  cancel: message('cancel', { id: ID }),
  a: message('a', {
    /** Introductions: the numbers of peers that the fetches of this and later messages name. */
    p: some(Type.Tuple([PEER, ID, ID, list(ADDRESS, MAX_ADDRESSES)])),
    /** Cuts: wish, lease, its last piece. */
    c: some(Type.Tuple([WISH, LEASE, PIECE])),
    /** Leases: wish, lease, first piece, count. */
    l: some(Type.Tuple([WISH, LEASE, PIECE, COUNT])),
    /** Fetches: wish, piece, peer, CRC-32 or -1 where none is known. */
    f: some(Type.Tuple([WISH, PIECE, PEER, Type.Integer({ minimum: -1, maximum: 0xffff_ffff })])),
    /** Nothing for these wishes just now. */
    w: some(WISH),
    /** Leases to read again what is disputed: wish, lease, first piece, count. */
    q: some(Type.Tuple([WISH, LEASE, PIECE, Type.Integer({ minimum: 1, maximum: MAX_PIECES })])),
    /** Second readings, to those who dispute: wish, piece, who has read it (-1: a peer that is here no more), its SHA-256. */
    h: some(Type.Tuple([WISH, PIECE, FROM, SHA256])),
    /** How disputes stand: wish, 0 pieces are still being read again or 1 all readings have been told. */
    o: some(Type.Tuple([WISH, natural(1)])),
    /** Nothing ever: wish, 0 nobody can give it or 1 the proxy decides alone, code of the last failure or ''. */
    n: some(Type.Tuple([WISH, natural(1), text(64)])),
  }),
};

const FROM_PROXY = {
  hello: message('hello', {
    protocol: VERSION,
    version: VERSION,
    peer: ID,
    instance: ID,
    host: text(255),
    addresses: list(ADDRESS, MAX_ADDRESSES),
    zone: ZONE,
    uploadSlots: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
    nonce: NONCE,
    proof: PROOF,
    /** With the other secret that it accepts, while the cluster's is being replaced. */
    secondProof: Type.Optional(PROOF),
    time: TIME,
    /** It only wants to know whether it could register: its piece port is tried, and it is not a peer. */
    visit: Type.Optional(Type.Boolean()),
  }),
  /** With the bytes since the proxy's process started: to clients from the store, from peers, from the origin; read from origins. */
  beat: message('beat', { ...beat, bytes: Type.Optional(Type.Tuple([SIZE, SIZE, SIZE, SIZE])) }),
  /** Asks for a test of this proxy's own piece port; `n` comes back in the answer. */
  test: message('test', { n: natural() }),
  /** Its epoch is that of the welcome: what was meant for another supernode's life is not believed. */
  announce: message('announce', {
    epoch: ID,
    /** Whole blobs: digest, size, CRC-32s or ''. */
    blobs: some(Type.Tuple([DIGEST, SIZE, CRCS])),
    /** Parts of blobs: digest, size, set of pieces, CRC-32s of those pieces or ''. */
    parts: some(Type.Tuple([DIGEST, SIZE, BITS, CRCS])),
    gone: some(DIGEST),
  }),
  want: message('want', {
    epoch: ID,
    w: WISH,
    digest: DIGEST,
    size: Type.Optional(SIZE),
    /** Set of pieces; they count as announced. */
    held: BITS,
    awaited: list(RUN, MAX_RUNS),
    origin: Type.Optional(text(255)),
    image: Type.Optional(DIGEST),
    /** Origin reads under way from an earlier session: lease, the piece it is at, count. */
    reading: Type.Optional(list(Type.Tuple([LEASE, PIECE, COUNT]), MAX_READS)),
  }),
  awaiting: message('awaiting', { w: WISH, awaited: list(RUN, MAX_RUNS) }),
  r: message('r', {
    /** Sizes that have become known: wish, bytes. */
    s: some(Type.Tuple([WISH, SIZE])),
    /** Wishes whose origin gives no ranges. */
    n: some(WISH),
    /** Bytes come: wish, lease. */
    g: some(Type.Tuple([WISH, LEASE])),
    /** Pieces of a disputed blob that are thrown away: wish, piece. */
    x: some(Type.Tuple([WISH, PIECE])),
    /** Pieces that have come: wish, piece, peer (0: the origin, -1: one of an earlier session), milliseconds, CRC-32. */
    p: some(Type.Tuple([WISH, PIECE, FROM, MS, CRC])),
    /** Pieces that have not: wish, piece, peer, index in `PIECE_FAILURES`. */
    f: some(Type.Tuple([WISH, PIECE, FROM, natural(4)])),
    /** What leases to read again have brought: wish, lease, piece, CRC-32, SHA-256. */
    q: some(Type.Tuple([WISH, LEASE, PIECE, CRC, SHA256])),
    /** Leases that are over: wish, lease, code of the failure or '', 1 where it is final, milliseconds to wait or 0. */
    e: some(Type.Tuple([WISH, LEASE, text(64), natural(1), MS])),
    /** Wishes of which all pieces are here, but the whole does not have its digest. */
    d: some(WISH),
    /** Pieces that were replaced before the whole had its digest: wish, piece, the right CRC-32. */
    y: some(Type.Tuple([WISH, PIECE, CRC])),
  }),
  /** The wish is given up or fulfilled. */
  leave: message('leave', { w: WISH }),
  /** The answer to `dial`. */
  dialed: message('dialed', {
    n: natural(),
    address: Type.Optional(ADDRESS),
    proof: Type.Optional(PROOF),
    error: Type.Optional(text(300)),
  }),
  /** How an order to fetch an image stands. */
  preheating: message('preheating', {
    id: ID,
    state: Type.Union([Type.Literal('running'), Type.Literal('done'), Type.Literal('failed')]),
    /** What the image's tag stands for. */
    digest: Type.Optional(DIGEST),
    /** Manifests and blobs that are known to belong to it, and those of them that are here; the same in bytes. */
    blobs: natural(),
    blobsHere: natural(),
    bytes: SIZE,
    bytesHere: SIZE,
    failure: Type.Optional(Type.Object({ ...refusal, todo: text(500) })),
  }),
  /** The proxy stops: it is not missed but gone. */
  bye: message('bye', {}),
  error: message('error', refusal),
};

/** The schemas of all messages, by who says them and their type. */
export const MESSAGES: Readonly<Record<'supernode' | 'proxy', Readonly<Record<string, TSchema>>>> = {
  supernode: FROM_SUPERNODE,
  proxy: FROM_PROXY,
};

type MessagesOf<S extends Record<string, TSchema>> = { [K in keyof S]: Static<S[K]> }[keyof S];

export type FromSupernode = MessagesOf<typeof FROM_SUPERNODE>;
export type FromProxy = MessagesOf<typeof FROM_PROXY>;
export type Message<M extends { t: string }, T extends M['t']> = Extract<M, { t: T }>;
export type KnownPeer = Static<typeof KNOWN_PEER>;
export type WireRun = Static<typeof RUN>;

/** Why a piece has not come, in the order of their numbers on the wire; see `PieceFailure`. */
export const PIECE_FAILURES = ['reset', 'timeout', 'busy', 'gone', 'bad'] as const;

// TypeBox has made the schemas: they need no checking, nor the schema of schemas, which would cost 10 MB.
const ajv = new Ajv({ strict: true, meta: false, validateSchema: false });

/** The validators of one side's messages, each compiled when it is first needed: a side needs only those of the other. */
class Validators {
  readonly #schemas: ReadonlyMap<string, TSchema>;
  readonly #compiled = new Map<string, ValidateFunction>();

  constructor(schemas: Readonly<Record<string, TSchema>>) {
    this.#schemas = new Map(Object.entries(schemas));
  }

  of(type: string): ValidateFunction | undefined {
    const compiled = this.#compiled.get(type);
    if (compiled) return compiled;
    const schema = this.#schemas.get(type);
    if (!schema) return undefined;
    const validate = ajv.compile(schema);
    this.#compiled.set(type, validate);
    return validate;
  }

  /** Compiles those that are left, each in a turn of its own; how many that were. */
  async prepare(): Promise<number> {
    let count = 0;
    for (const type of this.#schemas.keys()) {
      if (this.#compiled.has(type)) continue;
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
      this.of(type);
      count += 1;
    }
    return count;
  }
}

const fromSupernode = new Validators(FROM_SUPERNODE);
const fromProxy = new Validators(FROM_PROXY);

/**
 * Compiles, between other work, the validators of all messages from one side, so that no pull has to wait for them: together some hundred
 * milliseconds in a process that has just started. How many were left to compile.
 */
export function prepareToHear(side: 'supernode' | 'proxy'): Promise<number> {
  return (side === 'supernode' ? fromSupernode : fromProxy).prepare();
}

export function encode(message: FromSupernode | FromProxy): string {
  return JSON.stringify(message);
}

/** What a supernode says. Throws MESSAGE_INVALID. */
export function parseFromSupernode(json: string): FromSupernode {
  return parse(json, fromSupernode) as FromSupernode;
}

/** What a proxy says. Throws MESSAGE_INVALID. */
export function parseFromProxy(json: string): FromProxy {
  return parse(json, fromProxy) as FromProxy;
}

/**
 * The protocol version that a `hello` or `challenge` names, whatever else is in it: of another major version nothing else can
 * be understood.
 */
export function protocolOf(json: string): string | undefined {
  try {
    const { protocol } = JSON.parse(json) as { protocol?: unknown };
    return typeof protocol === 'string' && protocol.length <= 64 ? protocol : undefined;
  } catch {
    return undefined;
  }
}

function parse(json: string, validators: Validators): unknown {
  // A character takes at least a byte; what takes more the WebSocket's own limit has kept out.
  if (json.length > MAX_MESSAGE_BYTES) throw new MessageInvalid({ why: `it has more than ${MAX_MESSAGE_BYTES} bytes` });
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    // The parser's message quotes the text, which may hold a proof.
    throw new MessageInvalid({ why: 'it is not JSON' });
  }
  const type = typeof value === 'object' && value !== null && 't' in value ? value.t : undefined;
  const validate = typeof type === 'string' ? validators.of(type) : undefined;
  if (!validate) throw new MessageInvalid({ why: 'its type is not known' });
  if (validate(value)) return value;
  const { instancePath, message } = validate.errors![0]!;
  throw new MessageInvalid({ why: `${String(type)}${instancePath} ${message ?? 'is wrong'}` });
}
