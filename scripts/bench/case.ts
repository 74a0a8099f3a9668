import type { Bench } from './bench-rig.ts';
import type { Mark } from './marks.ts';
import type { Runs } from './measure.ts';

/** What a case is run with that puts up a rig of its own. */
export type Outside = Pick<Bench, 'runs' | 'scale' | 'profile' | 'say'>;

/** One case of the benchmark: in processes and on a network of its own, or with a rig that has those itself. */
export type Case = {
  readonly name: string;
  /** What is done, in one line. */
  readonly title: string;
  readonly marks: readonly Mark[];
} & ({ run(bench: Bench): Promise<Runs> } | { runOutside(outside: Outside): Promise<Runs> });
