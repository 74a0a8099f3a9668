import type { Around, Check, Finding } from './check.ts';
import { lookAtContainerd } from './containerd.ts';
import { lookAtDocker } from './docker.ts';
import { failed, ok, skipped, type Subject } from './findings.ts';
import { MirrorFaces } from './mirror-faces.ts';
import { lookAtPodman } from './podman.ts';
import { askProxyApi } from './proxy-api.ts';
import type { RuntimeLook } from './runtime-look.ts';

const AROUND = 'what this runtime pulls goes to the registries directly: nothing of it is shared';

/** Whether the node's container runtimes really use the mirror, and whether anybody has. */
export const checkRuntimes: Check = async (around) => {
  const looks = await Promise.all([lookAtDocker(around), lookAtContainerd(around), lookAtPodman(around)]);
  return [...mirrorHasPort(around), ...judgeRuntimes(looks), await checkRequests(around)];
};

/**
 * Which of them fails. A runtime that is meant to come to the mirror and does not, always: somebody has configured it. One that is
 * in use and does not name the mirror, only where no other does: a node that pulls with containerd may have an idle docker.
 */
export function judgeRuntimes(looks: readonly RuntimeLook[]): Finding[] {
  const meant = looks.filter(({ state, problems }) => state === 'pointed' || problems.length > 0);
  return looks.flatMap((look): Finding[] => {
    const { runtime, state, problems, inUse, todo } = look;
    const subject: Subject = { code: `RUNTIME_${runtime.toUpperCase()}`, title: `${runtime} uses this node’s mirror` };
    const seen = look.seen.join('; ');
    if (state === 'absent') return [skipped(subject, `it is not installed: ${seen}`)];
    if (problems.length > 0) return problems.map((problem) => failed(subject, problem));
    if (state === 'pointed') return [ok(subject, seen)];
    const others = meant.map((other) => other.runtime).join(' and ');
    if (others !== '') return [skipped(subject, `it does not, and need not where ${others} pulls: ${seen}`)];
    if (!inUse) return [skipped(subject, `it is not pointed at it, nor in use: ${seen}`)];
    return [failed(subject, { seen, meaning: AROUND, todo })];
  });
}

function mirrorHasPort({ config }: Around): Finding[] {
  if (new MirrorFaces(config).faces.every(({ listen }) => listen.port !== 0)) return [];
  const why =
    'proxy.listen, or one of proxy.listeners, has port 0: a mirror with another port at each start can be named by no runtime';
  return [skipped({ code: 'RUNTIME_MIRROR', title: 'address of the mirror' }, why)];
}

/** A hint only: a mirror that nobody has asked since it started shows that nothing is pointed at it, or that nothing was pulled. */
async function checkRequests({ config }: Around): Promise<Finding> {
  const subject = { code: 'RUNTIME_REQUESTS', title: 'requests that have come to the mirror' };
  const answer = await askProxyApi(config, '/metrics');
  if ('why' in answer) return skipped(subject, answer.why);
  const manifests = countRequests(answer.text, ['manifests']);
  const blobs = countRequests(answer.text, ['blobs']);
  const since = 'since the proxy started';
  if (manifests + blobs === 0) {
    return skipped(subject, `none for a manifest or a blob ${since}: pull something with a runtime, and look again`);
  }
  return ok(subject, `${manifests} for manifests and ${blobs} for blobs ${since}`);
}

/** How often the mirror was asked for what these handlers give, by the text of its metrics. */
export function countRequests(metrics: string, handlers: readonly string[] = ['manifests', 'blobs']): number {
  let total = 0;
  for (const [, labels, count] of metrics.matchAll(/^hawker_http_requests_total\{([^}]*)\} (\d+)/gm)) {
    const handler = /handler="([^"]*)"/.exec(labels!)?.[1] ?? '';
    if (handlers.includes(handler)) total += Number(count);
  }
  return total;
}
