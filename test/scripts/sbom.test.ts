import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { billOfMaterials } from '../../scripts/support/sbom.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

interface Component {
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}

interface Bom {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly dev?: boolean; integrity?: string }>>;
}

const read = (name: string): unknown => JSON.parse(readFileSync(`${ROOT}/${name}`, 'utf8'));

t.test('the bill of materials lists exactly what runs, each package with its hash', async (t) => {
  const bom = JSON.parse(billOfMaterials(ROOT)) as Bom;
  t.match(bom, { bomFormat: 'CycloneDX', specVersion: /^1\.\d$/ });
  const { name, version, dependencies, optionalDependencies } = read('package.json') as {
    name: string;
    version: string;
    dependencies: Record<string, string>;
    optionalDependencies: Record<string, string>;
  };
  t.match(bom.metadata.component, { name, version });

  const { packages } = read('package-lock.json') as Lock;
  const expected = Object.entries(packages).flatMap(([path, { version, dev, integrity }]) =>
    path === '' || dev ? [] : [[`${path.split('node_modules/').at(-1)}@${version}`, integrity] as const],
  );
  const found = bom.components.map(({ name, version, hashes }) => [`${name}@${version}`, hashes?.[0]] as const);
  t.same([...new Set(found.map(([id]) => id))].toSorted(), [...new Set(expected.map(([id]) => id))].toSorted());
  t.ok(found.length > Object.keys(dependencies).length);
  for (const [id, hash] of found) {
    const integrity = `${hash?.alg.toLowerCase().replace('-', '')}-${Buffer.from(hash?.content ?? '', 'hex').toString('base64')}`;
    t.ok(
      expected.some((each) => each[0] === id && each[1] === integrity),
      `${id}: ${integrity}`,
    );
  }

  const own = bom.dependencies.find(({ ref }) => ref === bom.metadata.component['bom-ref']);
  t.same(
    own?.dependsOn.toSorted(),
    Object.entries({ ...dependencies, ...optionalDependencies })
      .map((each) => each.join('@'))
      .toSorted(),
  );
});
