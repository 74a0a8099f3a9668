import { formatAddress, type Address } from '../config/formats.ts';
import { notRight, type Answer } from './ask.ts';
import type { Finding } from './check.ts';
import { NotRunning, PortTaken, ServiceHangs } from './errors.ts';
import { failedBy } from './failed-by.ts';
import type { Subject } from './findings.ts';
import { whoListens } from './listener.ts';

export const PORT_UNKNOWN = 'port 0 is a free one, which only the log names';

export interface Missing {
  readonly answer: Answer;
  readonly address: Address;
  readonly root: string;
  readonly command: string;
  readonly meaning: string;
}

/** What stands where a part of Hawker is expected, if anything. */
export async function notThere(
  about: Subject,
  { answer, address: listen, root, command, meaning }: Missing,
): Promise<Finding> {
  const address = formatAddress(listen);
  if (answer.kind === 'refused') return failedBy(about, new NotRunning({ address, command }), meaning);
  const holder = await holderOf(listen, root);
  if (answer.kind === 'silent') return failedBy(about, new ServiceHangs({ address, holder, why: answer.why }), meaning);
  const why = answer.kind === 'http' ? `${notRight(answer)}, and not as Hawker does` : notRight(answer);
  return failedBy(about, new PortTaken({ address, holder, why }), meaning);
}

export async function holderOf({ port }: Address, root: string): Promise<string> {
  return (await whoListens(port, root)) ?? 'a process that this user may not look at';
}
