import type { Account } from '../config/defaults.ts';
import type { Around } from '../doctor/check.ts';

export const RUNTIME_NAMES = ['docker', 'containerd', 'podman', 'crio', 'k3s'] as const;
export type RuntimeName = (typeof RUNTIME_NAMES)[number];

/** What setting up a runtime has around it: the node as doctor sees it, and what was asked for. */
export interface SetupAround extends Around {
  readonly account: Account;
  /** The registries that were named, as they are in image names, or `*`; undefined: those of the allow-list. */
  readonly registries: readonly string[] | undefined;
  /**
   * Certificates (PEM) to trust at a mirror that speaks TLS; false: those that an earlier setup has brought are to go; undefined:
   * nothing is said of them.
   */
  readonly mirrorCa?: string | false | undefined;
}

/** One file as it is to be. */
export interface Edit {
  /** On the node. */
  readonly path: string;
  /** Undefined: it is to be gone. */
  readonly text: string | undefined;
}

/** How a runtime takes up what was written. */
export interface Activation {
  readonly kind: 'none' | 'reload' | 'restart';
  /** What does it by hand; '' where there is nothing to do. */
  readonly command: string;
  /** Why so, or why nothing need be done. */
  readonly why: string;
}

/** What has to be written for a runtime; without edits it is set up already. */
export interface Plan {
  readonly edits: readonly Edit[];
  /** What a person should know beside the change. */
  readonly notes: readonly string[];
}

/** What a trial pull has shown. */
export interface Pull {
  /** Undefined: it worked. */
  readonly failure: string | undefined;
}

/** One runtime: what to write, how it takes it up, how it pulls. */
export interface Runtime {
  readonly plan: (around: SetupAround) => Promise<Plan>;
  /** How it takes up that these files have been written, or put back. */
  readonly activation: (around: SetupAround, paths: readonly string[]) => Promise<Activation>;
  /** Has the running daemon read its files again, without a restart. False: it cannot be told so here. */
  readonly reload?: (around: SetupAround) => Promise<boolean>;
  /** The units of systemd under which it may run. */
  readonly units: readonly string[];
  /** Pulls an image, and takes it away again where it was not there before; a text says why that cannot be done here. */
  readonly pull: (around: SetupAround, image: string) => Promise<Pull | string>;
}
