import type { ReadStream } from 'node:tty';
import { Interrupted } from './errors.ts';

const MAX_BYTES = 64 * 1024;
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const ERASE = new Set(['\u007f', '\b']);

/** One line that a person has typed, or that was piped in. */
export interface SecretLine {
  readonly text: string;
  readonly isTyped: boolean;
}

/**
 * Reads one line from `input`, without its end. From a terminal after a question (`ask`), and nothing of it is shown; from anything else
 * without one. Rejects with INTERRUPTED on Ctrl-C.
 */
export async function readSecret(
  input: NodeJS.ReadableStream & Partial<Pick<ReadStream, 'isTTY' | 'setRawMode'>>,
  question: string,
  ask: (text: string) => void,
): Promise<SecretLine> {
  const isTyped = input.isTTY === true;
  if (!isTyped) return { text: firstLine(await readUpTo(input)), isTyped };
  ask(question);
  input.setRawMode?.(true);
  try {
    return { text: await typedLine(input), isTyped };
  } finally {
    input.setRawMode?.(false);
    input.pause();
    ask('\n');
  }
}

function typedLine(input: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let line: string[] = [];
    const decoder = new TextDecoder();
    const done = (finish: () => void): void => {
      input.off('data', typed);
      input.off('end', ended);
      finish();
    };
    const ended = (): void => done(() => resolve(line.join('')));
    const typed = (chunk: Buffer | string): void => {
      for (const key of typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })) {
        if (key === '\r' || key === '\n' || key === CTRL_D) return ended();
        if (key === CTRL_C) return done(() => reject(new Interrupted({ signal: 'Ctrl-C' })));
        if (ERASE.has(key)) line = line.slice(0, -1);
        else if (line.length < MAX_BYTES) line.push(key);
      }
    };
    input.on('data', typed).once('end', ended);
    input.resume();
  });
}

async function readUpTo(input: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk);
    chunks.push(bytes);
    length += bytes.length;
    if (bytes.includes('\n') || length > MAX_BYTES) break;
  }
  return Buffer.concat(chunks).toString();
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]!.replace(/\r$/, '');
}
