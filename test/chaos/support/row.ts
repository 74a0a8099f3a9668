import type { Edit } from '../../../scripts/support/build-copy.ts';
import type { Hawker } from '../../e2e/support/hawker.ts';
import type { Metrics } from './metrics.ts';
import type { Pull } from './pull.ts';
import type { Scene } from './scene.ts';

/** One fault: what is broken, what a client is to see of it, what the node is to say, and the handling that all of that depends on. */
export interface Row {
  /** Its group and its name: `origin/stall-before-headers`. */
  readonly id: `${string}/${string}`;
  /** The fault, as the table has it. */
  readonly fault: string;
  readonly seen: Seen;
  /** Codes of the node's log: each of them must be there, and no other warning or error. */
  readonly codes: readonly string[];
  /** Codes of warnings and errors that may be there too. */
  readonly mayLog?: readonly string[];
  readonly moved: readonly Moved[];
  readonly blamed: Blamed;
  /** For all that the row does, far more than it takes. In milliseconds. */
  readonly boundMs?: number;
  readonly without: Without;
  /** Builds what it needs in the scene, breaks it, and pulls. */
  run(scene: Scene): Promise<Evidence>;
}

/** What each of the row's pulls is to be. */
export type Seen =
  /** Every byte, by length and SHA-256. `source`: what `X-Hawker-Source` says. */
  | { readonly kind: 'whole'; readonly source: string | RegExp; readonly status?: 200 | 206 }
  /** A 404 before any byte, whose detail has this code: the client goes to the origin at once. */
  | { readonly kind: 'refused'; readonly code: string }
  /** No source could give the rest, or the bytes are wrong: an early FIN after right headers, never a whole answer. */
  | { readonly kind: 'cut' }
  /** It is all said by `Evidence.faults`; the words are for the table. */
  | { readonly kind: 'told'; readonly words: string };

/** A metric of the node that must have moved, since its start or `Evidence.before`. */
export interface Moved {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly by: number | { readonly atLeast: number; readonly atMost?: number };
}

/** Whom the node holds to blame. */
export interface Blamed {
  /** For the table: `the upstream`, `the peer`, `nobody`. */
  readonly who: string;
  /** The log line that says so, by its code, and the field that names them. Undefined: the row looks itself, as at an API. */
  readonly code?: string;
  readonly field?: string;
  /** Undefined: the row's evidence has it. */
  readonly name?: string;
}

/** The handling that a row guards, taken out of the built program: the row must fail then. */
export interface Without {
  /** What was taken out, in words. */
  readonly taken: string;
  readonly edits: readonly Edit[];
}

export interface Evidence {
  /** The node whose log and metrics count. */
  readonly node: Hawker;
  /** The node's metrics before the fault; undefined: it has just started. */
  readonly before?: Metrics | undefined;
  /** Each of them is to be as `seen` says. */
  readonly pulls: readonly Pull[];
  /** Who is to be blamed, where that is known only now. */
  readonly blamed?: string;
  /** What else is wrong, a line each. */
  readonly faults?: readonly string[];
  /** What it took, where that is not the longest pull. */
  readonly seconds?: number;
}
