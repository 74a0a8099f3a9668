import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { documentOf } from './document.ts';
import { STYLE } from './style.ts';

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
  /** Strong (RFC 9110, 8.8.3). */
  readonly etag: string;
}

const SCRIPT = 'text/javascript; charset=utf-8';
/** What tsc made of page/. */
const PAGE = join(import.meta.dirname, 'page');

/** All that the dashboard's page is made of, by path. Nothing of it comes from anywhere else. */
export async function loadAssets(): Promise<ReadonlyMap<string, Asset>> {
  const assets = new Map<string, Asset>();
  assets.set('/dashboard/style.css', assetOf('text/css; charset=utf-8', STYLE));
  const preact = await readFile(fileURLToPath(import.meta.resolve('preact')), 'utf8');
  assets.set('/dashboard/preact.js', assetOf(SCRIPT, withoutMap(preact)));
  for (const name of await readdir(PAGE)) {
    if (!name.endsWith('.js')) continue;
    assets.set(`/dashboard/${name}`, assetOf(SCRIPT, withoutMap(await readFile(join(PAGE, name), 'utf8'))));
  }
  const scripts = [...assets].filter(([, { type }]) => type === SCRIPT).map(([path]) => path);
  assets.set('/', assetOf('text/html; charset=utf-8', documentOf(scripts)));
  return assets;
}

/** Maps are not served: a browser's tools would ask for them in vain. */
function withoutMap(script: string): string {
  return script.replace(/\n\/\/# sourceMappingURL=\S+\s*$/, '\n');
}

function assetOf(type: string, text: string): Asset {
  const body = Buffer.from(text);
  return { type, body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` };
}
