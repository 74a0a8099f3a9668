import { findProgram, runProgram } from '../doctor/programs.ts';
import { planRegistriesConf } from './registries-conf.ts';
import type { Plan, Pull, Runtime, SetupAround } from './runtime.ts';

const PULL_BOUND_MS = 120_000;

/** podman, buildah and skopeo read registries.conf at each pull. */
export const podman: Runtime = {
  plan,
  activation: () => Promise.resolve({ kind: 'none', command: '', why: 'podman reads it at each pull' }),
  units: [],
  pull,
};

async function plan(around: SetupAround): Promise<Plan> {
  const { edits, notes } = await planRegistriesConf(around);
  return { edits, notes: ['buildah, skopeo and CRI-O read the same file', ...notes] };
}

async function pull(around: SetupAround, image: string): Promise<Pull | string> {
  if (around.root !== '/') return 'podman reads this machine’s files, not those of --root';
  const program = await findProgram(around, 'podman');
  if (program === undefined) return 'there is no podman on the PATH to pull with';
  const { environment } = around;
  const run = (...args: string[]) => runProgram(program, args, { environment, boundMs: PULL_BOUND_MS });
  const { status: known } = await run('image', 'exists', image);
  const { status, said } = await run('pull', '--quiet', image);
  if (known !== 0) await run('rmi', image);
  return { failure: status === 0 ? undefined : said };
}
