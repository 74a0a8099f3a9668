import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** How a part of a process says what it takes up on SIGHUP (src/app/reloads.ts). */
const ADDED = /\breloads\.add\(\{\s*keys: \[([^\]]*)\]/g;
/** What the process takes up by itself (src/cli/reload.ts). */
const OWN = /^const OWN = '([\w.]+)';$/m;

/** The dotted keys that a running process takes up. Throws where the sources say it in a way that is not understood here. */
export function reloadedKeys(root: string): ReadonlySet<string> {
  const app = join(root, 'src/app');
  const files = readdirSync(app, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const keys = files.flatMap((file) => {
    const text = readFileSync(join(app, file), 'utf8');
    const added = [...text.matchAll(ADDED)];
    const calls = [...text.matchAll(/\breloads\??\.add\(/g)].length;
    if (calls !== added.length)
      throw new Error(`src/app/${file}: ${calls} parts are added, ${added.length} understood`);
    return added.flatMap(([, list]) => [...list!.matchAll(/'([\w.]+)'/g)].map(([, key]) => key!));
  });
  const own = OWN.exec(readFileSync(join(root, 'src/cli/reload.ts'), 'utf8'))?.[1];
  if (own === undefined) throw new Error('src/cli/reload.ts: which key does the process take up?');
  return new Set([own, ...keys]);
}
