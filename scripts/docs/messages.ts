import { MESSAGES } from '../../src/p2p/protocol/messages.ts';
import { code, tableOf } from './markdown.ts';

type Side = keyof typeof MESSAGES;

/** What each message is for; the schemas have the rest. */
const MEANINGS: Readonly<Record<Side, Readonly<Record<string, string>>>> = {
  supernode: {
    challenge:
      'The first word: the nonce over which membership is to be proved; the epoch of this life of the supernode.',
    welcome:
      'The proxy is registered; the proof that the supernode is a member too; whom to ask when every supernode is gone.',
    reject: 'It is not, and why, by code; the session ends.',
    error: 'Why the session ends.',
    beat: 'The answer to a heartbeat.',
    ping: 'Is the proxy there? To be answered by a heartbeat at once.',
    dial: "Try to reach another peer's piece port.",
    tested: "What came of trying this proxy's own piece port.",
    preheat: 'An order to fetch an image.',
    cancel: 'An order to fetch an image is called off.',
    a: 'Assignments, in a batch: see below.',
  },
  proxy: {
    hello: 'Who it is, where its pieces are, its zone and version, and its proof of membership.',
    beat: 'It lives; the bytes that it has moved since its process started.',
    test: 'Asks for a try of its own piece port.',
    announce:
      'What it holds: whole blobs and parts, with CRCs; what it holds no more. After `welcome` all, then changes.',
    want: 'It fetches a blob: what it has of it, which bytes are awaited, whether it may read the origin, which image it belongs to.',
    awaiting: 'Other bytes are awaited now.',
    r: 'Reports, in a batch: see below.',
    leave: 'It fetches that blob no more.',
    dialed: 'The answer to `dial`.',
    preheating: 'How an order to preheat stands.',
    bye: 'It stops: it is not missed but gone.',
    error: 'Why the session ends.',
  },
};

/** What the lists of the two batches hold. */
const BATCHES: Readonly<Record<'a' | 'r', Readonly<Record<string, string>>>> = {
  a: {
    p: 'introduces peers by numbers',
    c: 'cuts leases: the last piece still to read',
    l: 'leases: a run of pieces to read from the origin with one request',
    f: 'fetches: a piece, the peer to ask, its CRC-32',
    w: 'nothing for these wishes just now',
    q: 'leases to read again what is disputed',
    h: 'second readings, for those who dispute',
    o: 'how disputes stand',
    n: 'nothing ever: nobody can give it, or the proxy decides alone',
  },
  r: {
    s: 'sizes that have become known',
    n: 'wishes whose origin gives no ranges',
    g: 'leases on which bytes come',
    x: 'pieces of a disputed blob that are thrown away',
    p: 'pieces that have come: from whom, how long it took, CRC-32',
    f: 'pieces that have not, and why (reset, timeout, busy, gone, bad)',
    q: 'what second readings have brought',
    e: 'leases that are over, and why',
    d: 'wishes whose pieces are all here, and the whole has another digest',
    y: 'pieces that were replaced before the whole had its digest',
  },
};

/** The parts of docs/architecture.md about the session. Throws where a message or a list has no meaning here, or is gone. */
export function messageParts(): Map<string, string> {
  return new Map([
    ['messages of a supernode', messagesOf('supernode')],
    ['messages of a proxy', messagesOf('proxy')],
    ['assignments', listsOf('supernode', 'a')],
    ['reports', listsOf('proxy', 'r')],
  ]);
}

function messagesOf(side: Side): string {
  const rows = matched(Object.keys(MESSAGES[side]), MEANINGS[side]).map(([type, meaning]) => {
    const fields = fieldsOf(side, type).map(([name, isOptional]) => code(isOptional ? `${name}?` : name));
    return [code(type), type in BATCHES ? 'see below' : fields.join(', ') || 'none', meaning];
  });
  return tableOf(['message', 'fields', 'meaning'], rows);
}

function listsOf(side: Side, type: 'a' | 'r'): string {
  const names = fieldsOf(side, type).map(([name]) => name);
  return tableOf(
    ['list', 'what it holds'],
    matched(names, BATCHES[type]).map(([name, meaning]) => [code(name), meaning]),
  );
}

function fieldsOf(side: Side, type: string): (readonly [name: string, isOptional: boolean])[] {
  const { properties, required = [] } = MESSAGES[side][type] as unknown as {
    readonly properties: Readonly<Record<string, unknown>>;
    readonly required?: readonly string[];
  };
  const names = Object.keys(properties).filter((name) => name !== 't');
  return names.map((name) => [name, !required.includes(name)]);
}

function matched(names: readonly string[], meanings: Readonly<Record<string, string>>): [string, string][] {
  const gone = Object.keys(meanings).filter((name) => !names.includes(name));
  if (gone.length > 0) throw new Error(`scripts/docs/messages.ts: there is no ${gone.join(', ')} any more`);
  return names.map((name) => {
    const meaning = meanings[name];
    if (meaning === undefined) throw new Error(`scripts/docs/messages.ts: what is ${name} for?`);
    return [name, meaning];
  });
}
