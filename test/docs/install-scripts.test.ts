import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';

const ROOT = resolve(import.meta.dirname, '../../..');
/** Those that npm runs for a package of its own accord when it, or what depends on it, is installed. */
const RUN_BY_NPM = /^(?:(?:pre|post)?(?:install|prepare)|prepublish)$/;

interface Lock {
  readonly packages: Readonly<Record<string, { readonly hasInstallScript?: boolean }>>;
}

t.test('`npm ci --ignore-scripts` leaves nothing out: no package that is locked has a script to install', async (t) => {
  const { packages } = JSON.parse(readFileSync(`${ROOT}/package-lock.json`, 'utf8')) as Lock;
  t.ok(Object.keys(packages).length > 100);
  const withScripts = Object.entries(packages).flatMap(([path, { hasInstallScript }]) =>
    hasInstallScript ? [path] : [],
  );
  t.same(withScripts, [], 'choose another package, or say in CONTRIBUTING.md what is to be run by hand');
  const { scripts } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as { scripts: Record<string, string> };
  t.same(
    Object.keys(scripts).filter((name) => RUN_BY_NPM.test(name)),
    [],
    'nor has Hawker itself',
  );
});
