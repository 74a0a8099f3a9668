import { readFileSync } from 'node:fs';
import type { LoadHook } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * A loader that has one file open at a time: Node's own opens all that a module imports at the same time, some 130 here, and ends the
 * process where it may not. It costs a thread, and so a few descriptors: `main.ts` takes it where the limit is low.
 */
export const load: LoadHook = (url, context, next) => {
  if (context.format !== 'module' || !url.startsWith('file:')) return next(url, context);
  return { format: 'module', source: readFileSync(fileURLToPath(url)), shortCircuit: true };
};
