import { hasDoctor } from './catalogue.ts';
import type { Cause } from './cause.ts';
import { CAUSES } from './causes.ts';
import { type Diagnosis, diagnosisOf } from './outcome.ts';
import { strike, type Struck, type Terms } from './strike.ts';
import type { World } from './world.ts';

/** One for each node; the first is up before the others, and is whose peer id the third has. */
export const EIGHT = [
  'clock',
  'wrong-secret',
  'copied-id',
  'other-major',
  'piece-drop',
  '6789-drop',
  'nxdomain',
  'node-frozen',
] as const;

export interface EightNode {
  readonly host: string;
  readonly cause: Pick<Cause, 'name' | 'title'>;
  /** What `hawker doctor` prints there, and what it found. Undefined: this build has no such command. */
  readonly doctor: { readonly text: string; readonly found: Diagnosis } | undefined;
  /** What is not as it must be. */
  readonly faults: readonly string[];
}

export interface Eight {
  /** What `hawker peers` prints. */
  readonly peers: string;
  readonly nodes: readonly EightNode[];
}

/** A cluster of eight, each node with a fault of its own, as an operator sees it. */
export async function runEight(world: World, freezeMs: number): Promise<Eight> {
  const supernode = await world.supernode('supernode');
  await supernode.start();
  const terms: Terms = { world, freezeMs, quick: false, hasDoctor: await hasDoctor(supernode) };
  const [first, ...rest] = EIGHT.map((name) => CAUSES.find((cause) => cause.name === name)!);
  const original = await strike(terms, first!, { supernode, others: [] }, 'node-1');
  const cluster = { supernode, others: [original.site.node] };
  const all = [
    original,
    ...(await Promise.all(rest.map((cause, i) => strike(terms, cause, cluster, `node-${i + 2}`)))),
  ];
  const { stdout: peers } = await supernode.ask('peers', '--supernodes', supernode.url);
  const nodes: EightNode[] = [];
  for (const struck of all) nodes.push(await lookedAt(terms, struck));
  for (const { cure } of all) await cure?.();
  return { peers, nodes };
}

async function lookedAt({ hasDoctor }: Terms, { site, cause, faults }: Struck): Promise<EightNode> {
  const { node } = site;
  if (!hasDoctor) return { host: node.name, cause, doctor: undefined, faults };
  const [text, json] = await Promise.all([node.ask('doctor'), node.ask('doctor', '--json')]);
  return { host: node.name, cause, doctor: { text: text.stdout, found: diagnosisOf(json) }, faults };
}
