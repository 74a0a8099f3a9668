import type { Proxy, Supernode } from './service.ts';
import type { World } from './world.ts';

/** Where a cause strikes. */
export interface Site {
  readonly world: World;
  readonly supernode: Supernode;
  /** A second supernode, which does not run. Only where the cause has a cluster of its own. */
  readonly spare: Supernode | undefined;
  /** The node that it strikes. */
  readonly node: Proxy;
  /** Others of the cluster, ready: at least one. */
  readonly others: readonly Proxy[];
  /** The supernode whose roster counts, and its place in the node's list. */
  current: { readonly supernode: Supernode; readonly index: number };
  /** Of the blob that is pulled while the fault lasts. */
  digest: string;
}

/** Removes the cause, as its operator would. What is launched for that need not be of use yet. */
export type Cure = () => void | Promise<void>;

/** What may be wrong with a cluster. */
export interface Cause {
  /** The name of the host that it strikes, so of 12 characters at most. */
  readonly name: string;
  /** As the table has it. */
  readonly title: string;
  /**
   * Of a supernode and two proxies that are well. Undefined: one that many nodes share. `marred`: another such, for what
   * everyone sees (refused registrations, mixed versions). `own`: its alone, with one other proxy, for it is about the supernode.
   */
  readonly cluster?: 'marred' | 'own';
  /** True: much like another one, left out where time is short. */
  readonly variant?: boolean;
  /** The node was a `ready` member before, or it starts into the fault. */
  readonly from: 'ready' | 'start';
  /** True: it lasts as long as the lid of a laptop stays shut (`freezeMs`), at least. */
  readonly frozen?: boolean;
  /** True: the node cannot be pulled through, so that another one is. */
  readonly pullElsewhere?: boolean;
  /** Before anything of the site that is not shared starts. */
  prepare?(site: Site): Promise<void>;
  /** Without a cure there is nothing that had to heal. */
  begin(site: Site): Promise<Cure | undefined>;
}
