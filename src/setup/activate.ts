import { findProgram, runProgram } from '../doctor/programs.ts';
import { NotActivated } from './errors.ts';
import type { Activation, Runtime, RuntimeName, SetupAround } from './runtime.ts';

/** systemd waits up to 90 s for a unit to stop, and as long for it to start. */
const RESTART_BOUND_MS = 180_000;
const ASK_BOUND_MS = 5000;

/** What became of it: `pending` is for a person to do. */
export type Activated = 'nothing' | 'done' | 'pending';

/**
 * Has a runtime take up its files. A reload is done, for nobody notices it; a restart only where it was asked for. Rejects with
 * SETUP_NOT_ACTIVATED where what was to be done failed.
 */
export async function activate(
  around: SetupAround,
  {
    name,
    runtime,
    activation,
    restart,
  }: { name: RuntimeName; runtime: Runtime; activation: Activation; restart: boolean },
): Promise<Activated> {
  const { kind, command } = activation;
  if (kind === 'none') return 'nothing';
  if (kind === 'reload' && (await runtime.reload?.(around)) === true) return 'done';
  if (kind === 'restart' && !restart) return 'pending';
  const failed = (why: string) => new NotActivated({ runtime: name, why, command });
  // Of the daemons of a root nobody but its own systemd knows.
  const systemctl = around.root === '/' ? await findProgram(around, 'systemctl') : undefined;
  if (systemctl === undefined) {
    if (kind === 'reload' && !restart) return 'pending';
    throw failed('there is no systemd here to ask for that');
  }
  const { environment } = around;
  const run = (boundMs: number, ...args: string[]) => runProgram(systemctl, args, { environment, boundMs });
  for (const unit of runtime.units) {
    if ((await run(ASK_BOUND_MS, 'is-active', '--quiet', unit)).status !== 0) continue;
    const { status, said } = await run(RESTART_BOUND_MS, kind, unit);
    if (status !== 0) throw failed(`systemctl ${kind} ${unit} failed: ${said}`);
    return 'done';
  }
  if (kind === 'reload' && !restart) return 'pending';
  throw failed(`none of systemd’s units runs it (${runtime.units.join(', ')})`);
}
