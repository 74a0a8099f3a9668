/** What a name has just now: addresses, the word that there is no such name, or nobody's answer at all. */
export type Zone = readonly string[] | 'NXDOMAIN' | 'silence';

export interface Question {
  readonly id: number;
  readonly name: string;
  readonly type: number;
  /** Where the question ends: so much of the message goes back. */
  readonly end: number;
}

const HEADER_BYTES = 12;
/** RFC 1035 section 3.2.2, RFC 3596. */
const TYPE_A = 1;
const TYPE_AAAA = 28;
const CLASS_IN = 1;
/** RFC 1035 section 4.1.1: an answer, by the authority; recursion desired, and available. */
const ANSWER_FLAGS = 0x8580;
const RCODE_NXDOMAIN = 3;
/** A pointer to the name at byte 12 (section 4.1.4). */
const NAME_POINTER = 0xc000 | HEADER_BYTES;

/** The one question of a query; undefined where the message is no such thing. */
export function parseQuery(message: Buffer): Question | undefined {
  if (message.length < HEADER_BYTES || message.readUInt16BE(4) !== 1 || (message[2]! & 0x80) !== 0) return undefined;
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63 || at + 1 + length > message.length) return undefined;
    at += 1;
    if (length === 0) break;
    labels.push(message.toString('latin1', at, at + length));
    at += length;
  }
  if (at + 4 > message.length || message.readUInt16BE(at + 2) !== CLASS_IN) return undefined;
  const name = labels.join('.').toLowerCase();
  return { id: message.readUInt16BE(0), name, type: message.readUInt16BE(at), end: at + 4 };
}

/** The answer to a query, with nothing cached of it (TTL 0). */
export function answerTo(query: Buffer, question: Question, zone: Exclude<Zone, 'silence'>): Buffer {
  const records = zone === 'NXDOMAIN' ? [] : zone.flatMap((address) => recordOf(address, question.type));
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(question.id, 0);
  header.writeUInt16BE(ANSWER_FLAGS | (zone === 'NXDOMAIN' ? RCODE_NXDOMAIN : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  return Buffer.concat([header, query.subarray(HEADER_BYTES, question.end), ...records]);
}

function recordOf(address: string, type: number): Buffer[] {
  const isV6 = address.includes(':');
  if (type !== (isV6 ? TYPE_AAAA : TYPE_A)) return [];
  const data = isV6 ? ipv6Bytes(address) : Buffer.from(address.split('.').map(Number));
  const head = Buffer.alloc(12);
  head.writeUInt16BE(NAME_POINTER, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(CLASS_IN, 4);
  head.writeUInt32BE(0, 6);
  head.writeUInt16BE(data.length, 10);
  return [Buffer.concat([head, data])];
}

/** Of an address in one of the forms of RFC 4291 section 2.2 without an IPv4 part. */
function ipv6Bytes(address: string): Buffer {
  const [left = [], right = []] = address.split('::').map((side) => (side === '' ? [] : side.split(':')));
  const zeros = Array<string>(8 - left.length - right.length).fill('0');
  const groups = address.includes('::') ? [...left, ...zeros, ...right] : left;
  const bytes = Buffer.alloc(16);
  for (const [i, group] of groups.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), i * 2);
  return bytes;
}
