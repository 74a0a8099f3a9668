import { systemClock } from '../base/clock.ts';
import type { ConfigSources } from '../config/load.ts';
import type { Finding } from '../doctor/check.ts';
import { examine } from '../doctor/doctor.ts';
import { DONE, FAILED } from './exit.ts';
import type { ProcessPort } from './process-port.ts';
import { counted, paint, printable, type Colour } from './table.ts';
import { hasColour } from './terminal.ts';

type Status = Finding['status'];

const MARKS: Readonly<Record<Status, { text: string; colour: Colour }>> = {
  ok: { text: 'ok', colour: 'green' },
  failed: { text: 'FAILED', colour: 'red' },
  skipped: { text: 'skipped', colour: 'yellow' },
};
const MARK_CHARACTERS = 7;
/** Written as in the other commands. */
const ISO_TIME = /(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d+Z/g;
const INDENT = ' '.repeat(MARK_CHARACTERS + 2);

/** Examines this node, and prints each finding as it comes; gives the exit status, 1 where anything failed. */
export async function runDoctor(
  sources: ConfigSources,
  port: ProcessPort,
  { json }: { json: boolean },
): Promise<number> {
  const colour = hasColour(port);
  const checks: Finding[] = [];
  for await (const finding of examine(sources, { clock: systemClock, root: '/' })) {
    checks.push(finding);
    if (!json) port.print(findingText(finding, { colour }));
  }
  port.print(json ? `${JSON.stringify({ checks })}\n` : `\n${summary(checks)}\n`);
  return checks.some(({ status }) => status === 'failed') ? FAILED : DONE;
}

/** One line; what failed with three more that say what was seen, what it means, what to do. */
export function findingText({ status, title, seen, meaning, todo, error }: Finding, look: { colour: boolean }): string {
  const { text, colour } = MARKS[status];
  const plain = (line: string) => printable(line.replaceAll(ISO_TIME, '$1 $2Z'));
  const padded = text.padEnd(MARK_CHARACTERS);
  const mark = look.colour ? paint(padded, colour) : padded;
  if (status !== 'failed') return `${mark}  ${plain(`${title}: ${seen}`)}\n`;
  const lines = [
    `seen     ${error === undefined ? '' : `${error}: `}${seen}`,
    ...(meaning === '' ? [] : [`meaning  ${meaning}`]),
    ...(todo === '' ? [] : [`to do    ${todo}`]),
  ];
  return [`${mark}  ${plain(title)}`, ...lines.map((line) => INDENT + plain(line)), ''].join('\n');
}

function summary(checks: readonly Finding[]): string {
  const count = (status: Status) => checks.filter((check) => check.status === status).length;
  return `${counted(checks.length, 'check')}: ${count('ok')} ok, ${count('failed')} failed, ${count('skipped')} skipped`;
}
