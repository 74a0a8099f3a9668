import { printable } from './table.ts';

/** Where bytes came from: each has its colour, or its letter. */
export type BarSource = 'origin' | 'peers' | 'store';

/** One thing that is under way. */
export interface Bar {
  readonly label: string;
  /** What is here, in the order in which it is drawn. */
  readonly parts: readonly { readonly source: BarSource; readonly size: number }[];
  /** Undefined while nobody knows it. */
  readonly total: number | undefined;
  /** What stands behind the bar. */
  readonly note: string;
}

/** What the terminal can show. */
export interface BarLook {
  readonly columns: number;
  readonly colour: boolean;
  /** It shows more than ASCII. */
  readonly unicode: boolean;
}

const MOST_BAR_COLUMNS = 40;
const LEAST_BAR_COLUMNS = 8;
const PERCENT_COLUMNS = 4;
const GAP = '  ';
/** ECMA-48, SGR. */
const COLOURS: Record<BarSource, string> = { origin: '\u001B[33m', peers: '\u001B[32m', store: '\u001B[36m' };
const FAINT = '\u001B[2m';
const PLAIN = '\u001B[0m';
const BLOCKS: Record<BarSource, string> = { origin: '▒', peers: '█', store: '▓' };
const LETTERS: Record<BarSource, string> = { origin: 'o', peers: '#', store: '=' };

/** A line a bar, all of them aligned, none as long as the terminal is wide. */
export function barLines(bars: readonly Bar[], look: BarLook): string[] {
  const labels = bars.map(({ label }) => printable(label));
  const notes = bars.map(({ note }) => printable(note));
  const labelColumns = longest(labels);
  // A terminal that is filled to its last column may wrap.
  const room = Math.max(0, look.columns - 1);
  const taken = 4 * GAP.length + labelColumns + PERCENT_COLUMNS + longest(notes);
  const width = Math.max(LEAST_BAR_COLUMNS, Math.min(MOST_BAR_COLUMNS, room - taken));
  return bars.map((bar, i) => {
    const before = `${GAP}${labels[i]!.padEnd(labelColumns)}${GAP}`;
    const left = room - before.length - width;
    // What does not fit is left out, the note first: the bar matters more.
    if (left < 0) return before.slice(0, room).trimEnd();
    const after = `${GAP}${percentOf(bar).padStart(PERCENT_COLUMNS)}${GAP}${notes[i]}`;
    return `${before}${cellsOf(bar, width, look)}${after.slice(0, left)}`.trimEnd();
  });
}

/** What is here, up to the total. */
function doneOf({ parts, total = Number.POSITIVE_INFINITY }: Bar): number {
  return Math.min(
    total,
    parts.reduce((sum, { size }) => sum + size, 0),
  );
}

function percentOf(bar: Bar): string {
  const { total } = bar;
  if (total === undefined) return '';
  return total > 0 ? `${Math.floor((doneOf(bar) / total) * 100)}%` : '100%';
}

/** `width` cells, the full ones in the colour or with the mark of where they came from. */
function cellsOf(bar: Bar, width: number, { colour, unicode }: BarLook): string {
  const { parts, total } = bar;
  const here = parts.reduce((sum, { size }) => sum + size, 0);
  const full = total === undefined || here === 0 ? 0 : Math.floor((doneOf(bar) / total) * width);
  let text = '';
  let drawn = 0;
  let sum = 0;
  for (const { source, size } of parts) {
    sum += size;
    const cells = Math.round((sum / Math.max(1, here)) * full) - drawn;
    drawn += cells;
    const mark = unicode ? (colour ? BLOCKS.peers : BLOCKS[source]) : LETTERS[source];
    if (cells > 0) text += tinted(mark.repeat(cells), COLOURS[source], colour);
  }
  return text + tinted((unicode ? '·' : '.').repeat(width - drawn), FAINT, colour);
}

function tinted(text: string, code: string, colour: boolean): string {
  return colour && text !== '' ? `${code}${text}${PLAIN}` : text;
}

function longest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map((text) => text.length));
}

/** How often bars are drawn anew. */
const REDRAW_MS = 100;

/**
 * Bars on a terminal, drawn over themselves until they are cleared. Each time one write goes over the old lines, without
 * clearing them first: nothing flickers.
 */
export class Progress {
  readonly #print: (text: string) => void;
  readonly #look: () => BarLook;
  #bars: () => readonly Bar[] = () => [];
  #shown: readonly string[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `look` is asked each time: the window may change. */
  constructor(print: (text: string) => void, look: () => BarLook) {
    this.#print = print;
    this.#look = look;
  }

  /** Shows what `bars` gives, now and until `clear`. */
  show(bars: () => readonly Bar[]): void {
    this.#bars = bars;
    this.draw();
    this.#timer ??= setInterval(() => this.draw(), REDRAW_MS);
    this.#timer.unref();
  }

  /** Takes the bars away: what is printed next stands in their place. */
  clear(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (this.#shown.length > 0) this.#print(`${up(this.#shown.length)}\u001B[J`);
    this.#shown = [];
  }

  /** Shows what is new, now. */
  draw(): void {
    const lines = barLines(this.#bars(), this.#look());
    if (lines.join('\n') === this.#shown.join('\n')) return;
    // Erases to the end of each line only, and what is below the last where there was more (ECMA-48: CUU, EL, ED).
    const text = lines.map((line) => `${line}\u001B[K\n`).join('');
    this.#print(`${up(this.#shown.length)}${text}${lines.length < this.#shown.length ? '\u001B[J' : ''}`);
    this.#shown = lines;
  }
}

function up(lines: number): string {
  return lines === 0 ? '' : `\u001B[${lines}A\r`;
}
