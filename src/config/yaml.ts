import { isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, Parser, Composer, type Document, type Node } from 'yaml';
import { ConfigSyntax } from './errors.ts';
import { dotted } from './settings.ts';

export type Path = readonly (string | number)[];

/** What was written, and where: line and column for each key and value. */
export interface ParsedYaml {
  readonly value: unknown;
  /** `file:line:column` of the value at `path`, or of its key; of the nearest thing around it where it is not there. */
  readonly placeOf: (path: Path, part: 'key' | 'value') => string;
}

/** Anchors multiply what they hold; a configuration has a few hundred nodes. */
const MAX_NODES = 10_000;
const MAX_DEPTH = 32;
const TOO_LARGE = 'this is larger than any configuration';

/**
 * Parses YAML 1.2 (JSON is YAML too). Numbers come as the text that was written, since every number here is a quantity with a
 * unit or part of a name. Throws CONFIG_SYNTAX: bad syntax, a key that is there twice, too many nodes.
 */
export function parseYaml(text: string, name: string): ParsedYaml {
  const lines = new LineCounter();
  lines.addNewLine(0);
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const document = parse(text, lines, at);
  const fault = document.errors[0];
  if (fault) throw new ConfigSyntax({ place: at(fault.pos[0]), why: whyOf(fault.message) });
  const reader = new Reader(document, at);
  const value = document.contents ? reader.read(document.contents, [], 0) : undefined;
  return {
    value: value ?? {},
    placeOf(path, part) {
      for (let length = path.length; length >= 0; length -= 1) {
        const found = reader.offsets.get(JSON.stringify(path.slice(0, length)));
        if (found) return at(length === path.length && part === 'value' ? found.value : found.key);
      }
      return `${name}:1:1`;
    },
  };
}

/** What the parser says without what it quotes, which may be a password. */
function whyOf(message: string): string {
  return message
    .replace(/(YAML stream|YAML document|Unresolved tag|extra characters|Not a YAML token): .*$/s, '$1')
    .replace(/\.$/, '');
}

function parse(text: string, lines: LineCounter, at: (offset: number) => string): Document.Parsed {
  const composer = new Composer({ lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const documents = [...composer.compose(tokens(text, lines, at), true, text.length)];
  const second = documents[1];
  if (second) throw new ConfigSyntax({ place: at(second.range[0]), why: 'a second document starts here' });
  return documents[0]!;
}

/** The parser keeps a stack, the composer after it recurses: what is too deep must not come that far. */
function* tokens(text: string, lines: LineCounter, at: (offset: number) => string) {
  const parser = new Parser(lines.addNewLine);
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    if (parser.stack.length > 2 * MAX_DEPTH) throw new ConfigSyntax({ place: at(parser.offset), why: TOO_LARGE });
  }
  yield* parser.end();
}

/** Turns nodes into plain values, noting where each was. */
class Reader {
  readonly offsets = new Map<string, { key: number; value: number }>();
  readonly #document: Document.Parsed;
  readonly #at: (offset: number) => string;
  #nodes = 0;

  constructor(document: Document.Parsed, at: (offset: number) => string) {
    this.#document = document;
    this.#at = at;
  }

  read(node: Node | null, path: Path, keyOffset: number): unknown {
    const offset = node?.range?.[0] ?? keyOffset;
    this.offsets.set(JSON.stringify(path), { key: path.length === 0 ? offset : keyOffset, value: offset });
    this.#nodes += 1;
    if (this.#nodes > MAX_NODES || path.length > MAX_DEPTH) this.#fail(offset, TOO_LARGE);
    if (isAlias(node))
      return this.read(node.resolve(this.#document) ?? this.#fail(offset, 'no such anchor'), path, keyOffset);
    if (isMap<Node, Node | null>(node)) {
      const seen = new Set<string>();
      return Object.fromEntries(
        node.items.map((pair) => {
          const key = this.#keyOf(pair.key, offset);
          const start = pair.key.range?.[0] ?? offset;
          if (seen.has(key)) this.#fail(start, `${dotted([...path, key])} is there twice`);
          seen.add(key);
          return [key, this.read(pair.value, [...path, key], start)];
        }),
      );
    }
    if (isSeq<Node | null>(node))
      return node.items.map((item, i) => this.read(item, [...path, i], item?.range?.[0] ?? offset));
    if (!isScalar(node)) return null;
    return typeof node.value === 'number' || typeof node.value === 'bigint'
      ? (node.source ?? String(node.value))
      : node.value;
  }

  #keyOf(key: Node, offset: number): string {
    if (isScalar(key)) return key.source ?? String(key.value);
    return this.#fail(key.range?.[0] ?? offset, 'a key must be plain text');
  }

  #fail(offset: number, why: string): never {
    throw new ConfigSyntax({ place: this.#at(offset), why });
  }
}
