/**
 * The package as `npm pack` makes it: what is in it, and that it works by `npx` from an empty directory, where nothing of the source tree is at hand.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { hashFile } from './support/clients/client.ts';
import { listeningAddress } from './support/hawker.ts';
import { publishLarge } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { must, run } from './support/programs.ts';
import { e2e, type Rig } from './support/rig.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BOUND_MS = 120_000;
const MiB = 1024 * 1024;

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
}

interface Packed {
  readonly filename: string;
  readonly version: string;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

/** Runs a command in a directory. */
function inside(dir: string, env: NodeJS.ProcessEnv, ...command: string[]) {
  return run('sh', ['-c', 'cd "$1" && shift && exec "$@"', 'sh', dir, ...command], { env, boundMs: BOUND_MS });
}

/** Installs as a user does, with no network and nothing in npm's cache: the package holds what it depends on, as the lock file has it. */
async function install(rig: Rig, tarball: string): Promise<string> {
  const dir = await rig.folder('empty');
  const env = rig.environment({ npm_config_cache: await rig.folder('npm-cache') });
  const { code, stderr } = await inside(dir, env, 'npm', 'install', '--offline', '--no-audit', '--no-fund', tarball);
  if (code !== 0) throw new Error(`npm install: exit ${code}\n${stderr}`);
  return dir;
}

e2e(t, 'packed, installed into an empty directory, it serves a pull', [...ORIGIN_PROGRAMS, 'curl'], async (t, rig) => {
  const env = rig.environment();
  const pack = ['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', rig.dir];
  const packed = await inside(ROOT, env, ...pack);
  t.equal(packed.code, 0, packed.stderr);
  const [about] = JSON.parse(packed.stdout) as [Packed];
  const paths = about.files.map(({ path }) => path);
  for (const path of [
    'dist/main.js',
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
    'package.json',
    'config/hawker.yaml',
    'dist/dashboard/page/main.js',
    // Optional, for speed: a package that names it without having it would have npm look for it where there is no network.
    'node_modules/@node-rs/crc32/index.js',
  ]) {
    t.ok(paths.includes(path), path);
  }
  const odd = paths.filter(
    (path) =>
      !/^(?:dist\/.*\.js|node_modules\/.*|config\/.*|(?:README|CHANGELOG)\.md|LICENSE|package\.json)$/.test(path),
  );
  t.same(odd, [], 'nothing else: no source, no tests, no maps');
  const { dependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Manifest;
  for (const name of Object.keys(dependencies)) t.ok(paths.includes(`node_modules/${name}/package.json`), name);
  t.notOk(
    paths.some((path) => path.startsWith('node_modules/typescript/')),
    'nothing that only builds or tests',
  );

  const dir = await install(rig, join(rig.dir, about.filename));
  const version = await inside(dir, env, 'npx', '--no-install', 'hawker', 'version');
  t.equal(version.code, 0, version.stderr);
  t.match(version.stdout, about.version);

  const origin = await Origin.start(rig);
  const image = await publishLarge(rig, origin, 'library/large', 2 * MiB);
  const layer = image.native.layers[0]!;
  const config = join(rig.dir, 'npm.json');
  const any = { listen: '127.0.0.1:0' };
  await writeFile(
    config,
    JSON.stringify({
      proxy: any,
      peer: any,
      api: any,
      supernode: any,
      store: { dir: await rig.folder('npm-store') },
      upstreams: { 'docker.io': { url: origin.url } },
      log: { format: 'json' },
    }),
  );
  const up = ['-c', 'cd "$1" && exec npx --no-install hawker up --config "$2"', 'sh', dir, config];
  const daemon = rig.daemon('npx', 'sh', up);
  const mirror = await daemon.ready('LISTENING', BOUND_MS, () => listeningAddress(daemon.log(), 'mirror'));
  const file = join(rig.dir, 'pulled');
  const url = `http://${mirror}/v2/${image.repository}/blobs/${layer}`;
  await must('curl', ['--silent', '--show-error', '--fail', '--output', file, url]);
  t.equal(await hashFile(file), layer);

  const dashboard = `http://${listeningAddress(daemon.log(), 'supernode')}`;
  const page = await must('curl', ['--silent', '--show-error', '--fail', `${dashboard}/`]);
  const parts = [...page.matchAll(/(?:href|src)="(\/[^"]+)"/g)].map(([, path]) => path!);
  t.ok(
    ['main', 'preact', 'model'].every((name) => parts.includes(`/dashboard/${name}.js`)),
    'the dashboard',
  );
  for (const path of parts) t.ok(await must('curl', ['--silent', '--fail', `${dashboard}${path}`]), path);
});
