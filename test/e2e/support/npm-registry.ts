import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { ROOT } from '../../support/manifests.ts';
import { must } from './programs.ts';
import type { Rig } from './rig.ts';

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity?: string }>>;
}

/** One version of a package, as a registry tells of it. */
type Version = Readonly<Record<string, unknown>> & { readonly version: string };

/**
 * An npm registry with the packages of this tree's lock file, for an `npm install` where none is at hand: what they say of themselves is that of
 * node_modules, and their tarballs are those that `npm ci` has left in npm's cache. Its URL.
 */
export async function startNpmRegistry(rig: Rig): Promise<string> {
  const cache = (await must('npm', ['config', 'get', 'cache'])).trim();
  const { packages } = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as Lock;
  const versions = new Map<string, Version[]>();
  const server = createServer((request, response) => {
    const name = decodeURIComponent(request.url!.slice(1));
    const found = versions.get(name);
    if (found) {
      const latest = found.at(-1)!.version;
      const all = Object.fromEntries(found.map((each) => [each.version, each]));
      response.end(JSON.stringify({ name, 'dist-tags': { latest }, versions: all }));
      return;
    }
    const tarball = /^tarball\/(\w+)-(.+)$/.exec(name);
    const content = tarball ? readFile(cachedFile(cache, tarball[1]!, tarball[2]!)) : Promise.reject(new Error('none'));
    content.then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  rig.onClose(async () => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const [path, { version, integrity }] of Object.entries(packages)) {
    if (path === '' || integrity === undefined) continue;
    // What is for another platform is not here.
    const text = await readFile(join(ROOT, path, 'package.json'), 'utf8').catch(() => '');
    if (text === '') continue;
    const name = path.split('node_modules/').at(-1)!;
    const tarball = `${url}/tarball/${encodeURIComponent(integrity)}`;
    const about = { ...(JSON.parse(text) as object), version, dist: { tarball, integrity } };
    versions.set(name, [...(versions.get(name) ?? []), about]);
  }
  return url;
}

/** Where npm keeps a tarball by its hash (cacache, lib/content/path.js). */
function cachedFile(cache: string, algorithm: string, hash: string): string {
  const hex = Buffer.from(hash, 'base64').toString('hex');
  return join(cache, '_cacache/content-v2', algorithm, hex.slice(0, 2), hex.slice(2, 4), hex.slice(4));
}
