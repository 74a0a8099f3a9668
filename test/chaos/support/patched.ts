import { join } from 'node:path';
import { copyBuild, type Edit } from '../../../scripts/support/build-copy.ts';
import type { Scene } from './scene.ts';

const SEND = 'const paced = limiter.isUnlimited ? body : pacedBy(limiter, body, slice.end);';

/** A build of a peer that does not do what it should; its main file. */
export function patchedBuild(scene: Scene, name: string, edits: readonly Edit[]): Promise<string> {
  return copyBuild(join(scene.rig.dir, `build-${name}`), edits);
}

/** A peer that does `work` (JavaScript) before each read of what it uploads: `b` is the buffer, `p` the position in the blob. */
export function uploadsWith(work: string, after = ''): Edit {
  const read = `read: async (b, p) => { ${work}; const n = await body.read(b, p); ${after}; return n; }`;
  const replace = `const paced = { size: body.size, ready: (p) => body.ready(p), ${read} };`;
  return { file: 'p2p/peer/blob-answers.js', find: SEND, replace };
}
