import { runCli } from '../../src/cli/cli.ts';
import type { ProcessPort } from '../../src/cli/process-port.ts';

/** Runs a command in this process, as a user who has set nothing; `more` replaces parts of the process around it. */
export async function runCommand(
  argv: readonly string[],
  more: Partial<ProcessPort> = {},
): Promise<{ status: number; out: string; err: string }> {
  const result = { status: -1, out: '', err: '' };
  result.status = await runCli({
    argv,
    environment: {},
    account: { root: false, home: '/home/me' },
    directory: '/',
    isTerminal: false,
    print: (text) => void (result.out += text),
    write: async (bytes) => void (result.out += Buffer.from(bytes).toString('latin1')),
    complain: (text) => void (result.err += text),
    readSecret: async () => ({ text: '', isTyped: false }),
    onSignal: () => {},
    onCrash: () => {},
    terminalGone: () => false,
    exit: () => {},
    ...more,
  });
  return result;
}
