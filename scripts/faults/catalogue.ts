import type { Cause } from './cause.ts';
import type { Outcome } from './outcome.ts';
import type { Service } from './service.ts';
import { clusterOf, outcomeOf, strike, type Terms } from './strike.ts';
import type { World } from './world.ts';

export interface CatalogueOptions {
  readonly causes: readonly Cause[];
  /** Causes at the same time. */
  readonly jobs: number;
  readonly freezeMs: number;
  readonly quick: boolean;
  /** Told as they come. */
  readonly onOutcome?: (outcome: Outcome) => void;
}

/** Runs causes, each on a node of its own; gives what they did, in the order of the catalogue. */
export async function runCatalogue(world: World, options: CatalogueOptions): Promise<Outcome[]> {
  const { causes, jobs, freezeMs, quick, onOutcome } = options;
  const [shared, marred] = await Promise.all([
    clusterOf(world, { supernode: 'sn', others: ['well-1', 'well-2'] }),
    clusterOf(world, { supernode: 'marred-sn', others: ['well-3', 'well-4'] }),
  ]);
  const clusterFor = { own: undefined, marred, shared };
  const terms: Terms = { world, freezeMs, quick, hasDoctor: await hasDoctor(shared.others[0]!) };
  const outcomes = new Map<Cause, Outcome>();
  // Those that take long come first, so that none of them is last.
  const queue = causes.toSorted((a, b) => Number(b.cluster === 'own') - Number(a.cluster === 'own'));
  const work = async () => {
    for (let cause = queue.shift(); cause; cause = queue.shift()) {
      const outcome = await outcomeOfCause(terms, cause, clusterFor[cause.cluster ?? 'shared']);
      outcomes.set(cause, outcome);
      onOutcome?.(outcome);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return causes.map((cause) => outcomes.get(cause)!);
}

async function outcomeOfCause(terms: Terms, cause: Cause, shared: Parameters<typeof strike>[2]): Promise<Outcome> {
  const struck = await strike(terms, cause, shared);
  const outcome = await outcomeOf(terms, struck);
  const { site } = struck;
  await Promise.all(
    [site.node, ...(site.spare ? [site.supernode, site.spare, ...site.others] : [])].map((one) => one.stop()),
  );
  return outcome;
}

/** Whether the program has the command `doctor`. */
export async function hasDoctor(service: Service): Promise<boolean> {
  return /^ +doctor\b/m.test((await service.ask('--help')).stdout);
}
