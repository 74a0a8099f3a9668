import type { Bench } from './bench-rig.ts';
import type { Mark } from './marks.ts';
import type { Runs } from './measure.ts';

/** One case of the benchmark, in processes and on a network of its own. */
export interface Case {
  readonly name: string;
  /** What is done, in one line. */
  readonly title: string;
  readonly marks: readonly Mark[];
  run(bench: Bench): Promise<Runs>;
}
