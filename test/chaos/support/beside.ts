import { setTimeout as sleep } from 'node:timers/promises';
import type { Hawker } from '../../e2e/support/hawker.ts';
import type { TestBlob } from '../../support/hostile-registry.ts';
import { pull, type Pull } from './pull.ts';

/**
 * What a client that behaves well sees while others do not: it pulls again and again, `pauseMs` after each, until `work` is done, and
 * once at least.
 */
export async function beside<T>(
  node: Hawker,
  blob: TestBlob,
  work: Promise<T>,
  pauseMs = 20,
): Promise<{ pulls: Pull[]; result: T }> {
  const pulls: Pull[] = [];
  const state = { isOver: false };
  const done = work.finally(() => (state.isOver = true));
  do {
    pulls.push(await pull(node, blob));
    await sleep(pauseMs);
  } while (!state.isOver);
  return { pulls, result: await done };
}
