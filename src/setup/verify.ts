import { askProxyApi } from '../doctor/proxy-api.ts';
import { countRequests } from '../doctor/runtimes.ts';
import { lookAtContainerd } from '../doctor/containerd.ts';
import { lookAtDocker } from '../doctor/docker.ts';
import { lookAtPodman } from '../doctor/podman.ts';
import type { RuntimeLook } from '../doctor/runtime-look.ts';
import { formatTime } from '../base/units.ts';
import { NotVerified } from './errors.ts';
import type { Runtime, RuntimeName, SetupAround } from './runtime.ts';

/** Small, old, and of no account. */
export const TRIAL_IMAGE = 'docker.io/library/hello-world:latest';
/** A daemon that was told to read its files again does so in an instant. */
const TAKEN_UP_MS = 10_000;
const POLL_MS = 100;

/** Whether pulls come to the mirror; where that could not be tried, `seen` says why. */
export interface Verification {
  readonly status: 'ok' | 'skipped';
  readonly seen: string;
}

const LOOKS: Partial<Record<RuntimeName, (around: SetupAround) => Promise<RuntimeLook>>> = {
  docker: lookAtDocker,
  containerd: lookAtContainerd,
  podman: lookAtPodman,
};

/**
 * Looks at the runtime as `hawker doctor` does, then pulls an image with it, and compares what the mirror has been asked before
 * and after. Rejects with SETUP_NOT_VERIFIED where it has not been asked, or the pull failed.
 */
export async function verify(
  around: SetupAround,
  { name, runtime, image }: { name: RuntimeName; runtime: Runtime; image: string },
): Promise<Verification> {
  const failed = (why: string, todo: string) => new NotVerified({ runtime: name, why, todo });
  const look = await takenUp(around, LOOKS[name]);
  if (look?.state === 'absent') return { status: 'skipped', seen: `${name} is not here: ${look.seen.join('; ')}` };
  // With some registries only, those left out are no problem; the pull shows the rest.
  const [problem] = around.registries === undefined ? (look?.problems ?? []) : [];
  if (problem) throw failed(`${problem.seen}: ${problem.meaning}`, problem.todo);
  if (look?.state === 'elsewhere') throw failed(look.seen.join('; '), look.todo);
  const before = await askProxyApi(around.config, '/metrics');
  if ('why' in before) {
    return {
      status: 'skipped',
      seen: `no pull was tried, for no proxy runs here that could tell of it: ${before.why}`,
    };
  }
  const start = around.clock.monotonic();
  const pull = await runtime.pull(around, image);
  if (typeof pull === 'string') return { status: 'skipped', seen: `no pull was tried: ${pull}` };
  const took = formatTime(Math.round(around.clock.monotonic() - start));
  const after = await askProxyApi(around.config, '/metrics');
  const count = 'why' in after ? 0 : countRequests(after.text) - countRequests(before.text);
  if (pull.failure !== undefined) {
    throw failed(
      `${image} could not be pulled: ${pull.failure}`,
      'see the log of the proxy and `hawker doctor`; or try another image: --verify IMAGE',
    );
  }
  if (count <= 0) {
    throw failed(
      `${image} was pulled, and the mirror was not asked`,
      'run `hawker doctor` with the --config of the proxy: does it look at the same mirror?',
    );
  }
  return {
    status: 'ok',
    seen: `${image} was pulled through the mirror in ${took} (${count} request${count === 1 ? '' : 's'} there)`,
  };
}

/** What doctor sees, once the runtime has read its files. */
async function takenUp(
  around: SetupAround,
  look: ((around: SetupAround) => Promise<RuntimeLook>) | undefined,
): Promise<RuntimeLook | undefined> {
  if (!look) return undefined;
  const end = around.clock.monotonic() + TAKEN_UP_MS;
  for (;;) {
    const seen = await look(around);
    const isWell = seen.state === 'absent' || (seen.state === 'pointed' && seen.problems.length === 0);
    if (isWell || around.clock.monotonic() >= end) return seen;
    await around.clock.sleep(POLL_MS);
  }
}
