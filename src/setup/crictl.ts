import { findProgram, runProgram } from '../doctor/programs.ts';
import type { Pull, SetupAround } from './runtime.ts';

const PULL_BOUND_MS = 120_000;

/** A pull as Kubernetes makes it, by `crictl`, or by a program that has it (`k3s crictl`). */
export async function pullByCri(around: SetupAround, image: string, by: readonly string[]): Promise<Pull | string> {
  const [name, ...before] = by;
  if (around.root !== '/') return `${by.join(' ')} asks this machine’s runtime, not that of --root`;
  const program = await findProgram(around, name!);
  if (program === undefined) return `there is no ${name} on the PATH to pull with`;
  const { environment } = around;
  const run = (...args: string[]) => runProgram(program, [...before, ...args], { environment, boundMs: PULL_BOUND_MS });
  const { status: known } = await run('inspecti', '--quiet', image);
  const { status, said } = await run('pull', image);
  if (known !== 0) await run('rmi', image);
  return { failure: status === 0 ? undefined : said };
}
