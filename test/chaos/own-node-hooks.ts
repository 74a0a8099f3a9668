import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Scene } from './support/scene.ts';

/** A call of the file system, by a part of the path that it is about (of a rename, of where to). */
export interface FileCall {
  readonly op: 'rename' | 'unlink';
  readonly path: string;
}

/** What happens to a node at its calls of the file system. It happens once: not in the process that is started after it. */
export interface Strike {
  /** The process is killed, before the call or right behind it. */
  readonly kill: FileCall & { readonly when: 'before' | 'after' };
  /** These calls never come to their end. */
  readonly hang?: FileCall;
}

/** The environment of a node that kills itself at a call, as a kill -9 that comes just then. */
export async function killedAt(scene: Scene, strike: Strike): Promise<NodeJS.ProcessEnv> {
  const marker = join(scene.rig.dir, 'strike');
  await writeFile(marker, '');
  return hooked(
    scene,
    `
    const { kill, hang } = ${JSON.stringify(strike)};
    const marker = ${JSON.stringify(marker)};
    const isArmed = fs.existsSync(marker);
    const die = () => {
      fs.unlinkSync(marker);
      process.kill(process.pid, 'SIGKILL');
    };
    for (const op of ['rename', 'unlink']) {
      const call = fs.promises[op];
      const is = (one, args) => isArmed && one?.op === op && args.at(-1).includes(one.path);
      fs.promises[op] = async (...args) => {
        if (is(hang, args)) await new Promise(() => {});
        if (is(kill, args) && kill.when === 'before') die();
        await call(...args);
        if (is(kill, args)) die();
      };
    }`,
  );
}

/** The environment of a node whose time of day goes back by so much at each SIGUSR2; what timers run by goes on. */
export function clockThatGoesBack(scene: Scene, byMs: number): Promise<NodeJS.ProcessEnv> {
  return hooked(
    scene,
    `
    const { now } = Date;
    let back = 0;
    Date.now = () => now() - back;
    process.on('SIGUSR2', () => (back += ${byMs}));`,
  );
}

async function hooked(scene: Scene, code: string): Promise<NodeJS.ProcessEnv> {
  const path = join(scene.rig.dir, 'hook.mjs');
  const head = `import fs from 'node:fs';\nimport { syncBuiltinESMExports } from 'node:module';\n`;
  await writeFile(path, `${head}${code}\nsyncBuiltinESMExports();\n`);
  return { NODE_OPTIONS: `--import=file://${path}` };
}
