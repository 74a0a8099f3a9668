import type { ProcessPort } from './process-port.ts';
import type { BarLook } from './progress.ts';

const USUAL_COLUMNS = 80;

/** https://no-color.org */
export function hasColour({ isTerminal, environment }: ProcessPort): boolean {
  return isTerminal && (environment['NO_COLOR'] ?? '') === '';
}

/** How bars look on this terminal, to be asked each time; undefined: nobody would see them, or it cannot go back a line. */
export function terminalLook(port: ProcessPort): (() => BarLook) | undefined {
  const { isTerminal, environment } = port;
  if (!isTerminal || environment['TERM'] === 'dumb') return undefined;
  const unicode = isUtf8(environment);
  const colour = hasColour(port);
  return () => ({ columns: port.columns?.() ?? USUAL_COLUMNS, colour, unicode });
}

/** POSIX, chapter 8: LC_ALL goes before LC_CTYPE, that before LANG. */
function isUtf8(environment: ProcessPort['environment']): boolean {
  const locale = environment['LC_ALL'] || environment['LC_CTYPE'] || environment['LANG'] || '';
  return /utf-?8/i.test(locale);
}
