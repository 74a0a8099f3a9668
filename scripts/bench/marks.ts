import { medians, OURS, type Runs, type Sample } from './measure.ts';

/** What is asked of one figure of Hawker's. */
export interface Mark {
  /** The name of the figure in a `Sample`. */
  readonly figure: string;
  /** How it is compared: as a multiple of the rival's, as what it has more than the rival's, or by itself. */
  readonly as: 'ratio' | 'excess' | 'value';
  readonly rule: 'at least' | 'at most';
  readonly bound: number;
  /** The rivals it is held against; of several, the best. None for a `value`. */
  readonly against?: readonly string[];
  /** The figure by which the best rival is chosen, and whether more of it is better; left out: by `figure` itself. */
  readonly best?: { readonly figure: string; readonly more: boolean };
}

/** A line of the table: one mark, and what was measured. */
export interface Row {
  readonly case: string;
  readonly figure: string;
  readonly ours: number;
  /** Medians of all others that have the figure. */
  readonly rivals: Sample;
  /** The rival that it is held against. */
  readonly against: string | undefined;
  /** What the bound is for: the ratio, the excess, or the figure itself. */
  readonly judged: number;
  readonly as: Mark['as'];
  readonly mark: string;
  readonly met: boolean;
}

export function judge(name: string, marks: readonly Mark[], runs: Runs): Row[] {
  const all = Object.fromEntries(Object.entries(runs).map(([contender, samples]) => [contender, medians(samples)]));
  return marks.map((mark) => rowOf(name, mark, all));
}

function rowOf(name: string, mark: Mark, all: Readonly<Record<string, Sample>>): Row {
  const { figure, as, rule, bound } = mark;
  const ours = all[OURS]?.[figure] ?? Number.NaN;
  const others = Object.entries(all).filter(
    ([contender, sample]) => contender !== OURS && sample[figure] !== undefined,
  );
  const against = as === 'value' ? undefined : bestOf(mark, all);
  const theirs = against === undefined ? Number.NaN : (all[against]?.[figure] ?? Number.NaN);
  const judged = as === 'value' ? ours : as === 'ratio' ? ours / theirs : ours - theirs;
  return {
    case: name,
    figure,
    ours,
    rivals: Object.fromEntries(others.map(([contender, sample]) => [contender, sample[figure]!])),
    against,
    judged,
    as,
    mark: markText(mark),
    // A figure that is not there meets nothing.
    met: rule === 'at least' ? judged >= bound : judged <= bound,
  };
}

function bestOf({ figure, rule, against = [], best }: Mark, all: Readonly<Record<string, Sample>>): string | undefined {
  const by = best?.figure ?? figure;
  const more = best?.more ?? rule === 'at least';
  const present = against.filter((rival) => all[rival]?.[by] !== undefined);
  const value = (rival: string) => all[rival]![by]!;
  return present.toSorted((a, b) => (more ? value(b) - value(a) : value(a) - value(b)))[0];
}

function markText({ as, rule, bound }: Mark): string {
  const sign = rule === 'at least' ? '≥' : '≤';
  if (as === 'ratio') return `${sign} ${bound} ×`;
  return as === 'excess' ? `${sign} ${bound} more` : `${sign} ${bound}`;
}
