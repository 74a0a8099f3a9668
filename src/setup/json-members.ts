/** Where a member of a JSON object stands in its text. */
export interface JsonMember {
  readonly key: string;
  /** Of the key's first quote, and behind the value. */
  readonly start: number;
  readonly end: number;
  readonly valueStart: number;
}

/** An object or array of a JSON text: its braces, and what is in it. */
interface Span {
  /** Of the opening brace, and of the closing one. */
  readonly open: number;
  readonly close: number;
}

const SPACE = /[\t\n\r ]*/y;

/**
 * Sets a member of the object that a JSON text is, and leaves everything else as it is written: other members, their order, the
 * indentation. An array keeps what is in it, and gets `first` put in front; where there is none, it is made, behind the last
 * member. `text` must be valid JSON, and an object (RFC 8259); blank is taken for an empty one.
 */
export function putFirst(text: string, key: string, first: string): string {
  if (text.trim() === '') return `{\n  ${JSON.stringify(key)}: [${JSON.stringify(first)}]\n}\n`;
  const open = text.indexOf('{');
  const { members, close } = membersOf(text, open);
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  // Of several with one name the last counts, as in Go.
  const there = members.findLast((member) => member.key === key);
  if (there && text[there.valueStart] === '[') {
    const inner = { open: there.valueStart, close: there.end - 1 };
    return inFront(text, inner, JSON.stringify(first));
  }
  const array = `[${JSON.stringify(first)}]`;
  if (there) return text.slice(0, there.valueStart) + array + text.slice(there.end);
  const member = `${JSON.stringify(key)}: ${array}`;
  const last = members.at(-1);
  if (!last) return `${text.slice(0, open + 1)}${eol}  ${member}${eol}${text.slice(close)}`;
  return `${text.slice(0, last.end)},${spaceBefore(text, members[0]!.start, open)}${member}${text.slice(last.end)}`;
}

/** `item` before what is in an array, written as that is: each on a line of its own, or all on one. */
function inFront(text: string, { open, close }: Span, item: string): string {
  const inside = text.slice(open + 1, close);
  if (inside.trim() === '') return `${text.slice(0, open + 1)}${item}${text.slice(close)}`;
  const space = /^\s*/.exec(inside)![0];
  const between = space.includes('\n') ? `,${space}` : `, `;
  return `${text.slice(0, open + 1)}${space}${item}${between}${inside.slice(space.length)}${text.slice(close)}`;
}

/** The blanks with which an object's first member is set off, for one more. */
function spaceBefore(text: string, start: number, open: number): string {
  const space = text.slice(open + 1, start);
  return space === '' ? ' ' : space;
}

/** The members of the object whose brace is at `open`. */
function membersOf(text: string, open: number): { members: JsonMember[]; close: number } {
  const members: JsonMember[] = [];
  let at = skip(text, open + 1);
  while (text[at] !== '}') {
    const start = at;
    const keyEnd = endOfString(text, at);
    const valueStart = skip(text, text.indexOf(':', keyEnd) + 1);
    const end = endOfValue(text, valueStart);
    members.push({ key: JSON.parse(text.slice(start, keyEnd)) as string, start, end, valueStart });
    at = skip(text, end);
    if (text[at] === ',') at = skip(text, at + 1);
  }
  return { members, close: at };
}

function skip(text: string, at: number): number {
  SPACE.lastIndex = at;
  SPACE.test(text);
  return SPACE.lastIndex;
}

/** Behind the string whose quote is at `at`. */
function endOfString(text: string, at: number): number {
  let end = at + 1;
  while (text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  return end + 1;
}

function endOfValue(text: string, at: number): number {
  const first = text[at]!;
  if (first === '"') return endOfString(text, at);
  if (first !== '{' && first !== '[') return at + /^[^\s,\]}]*/.exec(text.slice(at))![0].length;
  let depth = 0;
  for (let end = at; ;) {
    const char = text[end]!;
    if (char === '"') end = endOfString(text, end);
    else {
      if (char === '{' || char === '[') depth += 1;
      if (char === '}' || char === ']') depth -= 1;
      end += 1;
      if (depth === 0) return end;
    }
  }
}
