import type { Problem } from './findings.ts';

/** What was found out about one container runtime of this node. */
export interface RuntimeLook {
  readonly runtime: 'docker' | 'containerd' | 'podman';
  /** What was looked at, and what it said. */
  readonly seen: readonly string[];
  readonly state:
    | 'absent'
    /** Its pulls come to this node's mirror. */
    | 'pointed'
    /** It does not name this node's mirror. */
    | 'elsewhere';
  /** It is used on this node: its daemon runs, or (podman, which has none) somebody has written mirrors for it. */
  readonly inUse: boolean;
  /** It is meant to come to the mirror, for its files name it, and (some of) its pulls do not. */
  readonly problems: readonly Problem[];
  /** How it is pointed at the mirror. */
  readonly todo: string;
}

export function absent(runtime: RuntimeLook['runtime'], where: string): RuntimeLook {
  return { runtime, seen: [where], state: 'absent', inUse: false, problems: [], todo: '' };
}
