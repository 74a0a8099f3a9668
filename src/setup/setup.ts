import { changeOf, type Change } from './change.ts';
import { containerd } from './containerd.ts';
import { crio } from './crio.ts';
import { docker } from './docker.ts';
import { k3s } from './k3s.ts';
import { podman } from './podman.ts';
import type { Runtime, RuntimeName, SetupAround } from './runtime.ts';

export const RUNTIMES: Readonly<Record<RuntimeName, Runtime>> = { docker, containerd, podman, crio, k3s };

/** What setting up a runtime changes; nothing where it is set up. Rejects with an error of errors.ts, and has changed nothing then. */
export async function prepare(
  around: SetupAround,
  name: RuntimeName,
): Promise<{ changes: readonly Change[]; notes: readonly string[] }> {
  const { edits, notes } = await RUNTIMES[name].plan(around);
  const changes: Change[] = [];
  for (const { path, text } of edits) changes.push(await changeOf(around.root, path, text));
  return { changes, notes };
}
