/** A fenced block of commands in a page, with what it says one sees. */
export interface Block {
  /** The line of its fence, from 1. */
  readonly line: number;
  readonly commands: string;
  /** Machines that it is run on, in this order (`on=a,b`). */
  readonly on: readonly string[];
  /** `stays`: goes on running, in a terminal of its own, as what is started in the foreground does. */
  readonly stays: boolean;
  /** `again`: looks at something that may take a moment, as a person looks again. */
  readonly again: boolean;
  /** `fails`: ends with another status than 0. */
  readonly fails: boolean;
  /** `after-ctrl-c`: what stays on that machine is ended first. */
  readonly afterCtrlC: boolean;
  /** The text of the block behind it, where that is a `text` block: a pattern (`seenAs`). */
  readonly shows: string | undefined;
}

interface Fence {
  readonly line: number;
  readonly language: string;
  readonly words: readonly string[];
  readonly text: string;
}

/** The blocks of the section under a heading, those that say where they are run. Fails where a fence says what is not known. */
export function blocksOf(page: string, heading: string): Block[] {
  const fences = fencesOf(page, heading);
  return fences.flatMap((fence, i): Block[] => {
    const { line, language, words, text } = fence;
    if (language !== 'sh') return [];
    const on = words.find((word) => word.startsWith('on='))?.slice('on='.length);
    if (on === undefined) throw new Error(`line ${line}: nothing says on which machine this is run`);
    const flags = words.filter((word) => !word.startsWith('on='));
    const odd = flags.find((flag) => !['stays', 'again', 'fails', 'after-ctrl-c'].includes(flag));
    if (odd !== undefined) throw new Error(`line ${line}: nothing is known of "${odd}"`);
    const next = fences[i + 1];
    return [
      {
        line,
        commands: text,
        on: on.split(','),
        stays: flags.includes('stays'),
        again: flags.includes('again'),
        fails: flags.includes('fails'),
        afterCtrlC: flags.includes('after-ctrl-c'),
        shows: next?.language === 'text' ? next.text : undefined,
      },
    ];
  });
}

/** As CommonMark has them, as far as the page uses it: three backticks, an info string, the text, three backticks. */
function fencesOf(page: string, heading: string): Fence[] {
  const lines = page.split('\n');
  const start = lines.indexOf(`## ${heading}`);
  if (start === -1) throw new Error(`the page has no section "${heading}"`);
  const fences: Fence[] = [];
  for (let i = start + 1; i < lines.length && !lines[i]!.startsWith('## '); i += 1) {
    const [, info] = /^```(.+)$/.exec(lines[i]!) ?? [];
    if (info === undefined) continue;
    const end = lines.indexOf('```', i);
    const [language = '', ...words] = info.trim().split(' ');
    fences.push({ line: i + 1, language, words, text: lines.slice(i + 1, end).join('\n') });
    i = end;
  }
  return fences;
}

/**
 * Whether a text is what a pattern says: line by line, where … stands for anything in a line, a line of … alone for any lines, and blanks for
 * any number of them. Lines of nothing, and what steers a terminal, do not count.
 */
export function seenAs(pattern: string, text: string): boolean {
  return new RegExp(`^${regExpOf(pattern)}$`).test(plainLines(text).join('\n'));
}

/** The same of the beginning of what is still being written. */
export function beginsAs(pattern: string, text: string): boolean {
  return new RegExp(`^${regExpOf(pattern)}(?:\n|$)`).test(plainLines(text).join('\n'));
}

function regExpOf(pattern: string): string {
  let source = '';
  for (const [i, line] of plainLines(pattern).entries()) {
    if (line === '…') source += i === 0 ? '(?:.*(?:\n|$))*?' : '(?:\n.*)*?';
    else source += (i === 0 || source === '(?:.*(?:\n|$))*?' ? '' : '\n') + lineSource(line);
  }
  return source;
}

function lineSource(line: string): string {
  return line
    .split(/(…| +)/)
    .map((part) => {
      if (part === '…') return '.*?';
      return part.startsWith(' ') ? ' +' : part.replaceAll(/[.+*?^${}()|[\]\\]/g, String.raw`\$&`);
    })
    .join('');
}

/** Without colours, carriage returns, blanks at the ends and lines of nothing. */
export function plainLines(text: string): string[] {
  const plain = text.replaceAll(/\u001B\[[\d;?]*[A-Za-z]/g, '').replaceAll('\r', '');
  return plain
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
}
