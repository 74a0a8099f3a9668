import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import t from 'tap';
import { repositoryFile } from '../support/metrics-page.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** Named as a page of another project. */
const OF_OTHERS = new Set(['docs/hosts.md']);

const filesBelow = (dir: string) =>
  readdirSync(join(ROOT, dir), { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(join(ROOT, path)).isFile());

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...[...filesBelow('docs'), ...filesBelow('config')].filter((path) => path.endsWith('.md')),
];

/** Without what is shown as code, where brackets are no links. */
function textOf(page: string): string {
  return repositoryFile(page)
    .replaceAll(/^```[^]*?^```$/gm, '')
    .replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()]/g, '.'));
}

/** `[text](target)`, also where the text goes over a line, and pictures. */
function linksIn(page: string): string[] {
  return [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
}

/** The anchors of headings, as GitHub makes them. */
function anchorsIn(page: string): Set<string> {
  const anchors = new Set<string>();
  const seen = new Map<string, number>();
  const text = repositoryFile(page).replaceAll(/^```[^]*?^```$/gm, '');
  for (const [, heading] of text.matchAll(/^#{1,6} (.+)$/gm)) {
    const words = heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const base = words.replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-');
    const count = seen.get(base) ?? 0;
    seen.set(base, count + 1);
    anchors.add(count === 0 ? base : `${base}-${count}`);
  }
  return anchors;
}

/** Where a relative link leads to, from the top of the repository. */
function targetOf(page: string, link: string): { path: string; anchor: string } {
  const [file = '', anchor = ''] = link.split('#');
  const path = file === '' ? page : relative(ROOT, resolve(ROOT, dirname(page), file));
  return { path, anchor };
}

const relativeLinks = (page: string) => linksIn(page).filter((link) => !/^(?:https?|mailto):/.test(link));

t.test('every relative link leads to a file, and every anchor to a heading', async (t) => {
  let count = 0;
  for (const page of pages) {
    const dead = relativeLinks(page).filter((link) => {
      count += 1;
      const { path, anchor } = targetOf(page, link);
      if (path.startsWith('..') || !existsSync(join(ROOT, path))) return true;
      return anchor !== '' && !(path.endsWith('.md') && anchorsIn(path).has(anchor));
    });
    t.same(dead, [], page);
  }
  t.ok(count > 150, `${count} links`);
});

t.test('files that texts and settings name as code or in comments are there', async (t) => {
  const named = /(?<![\w./-])(?:docs|test|config|scripts|src)\/[\w./-]*\.(?:md|ts|yaml|json|mjs)\b/g;
  const texts = [...pages, ...filesBelow('config').filter((path) => !path.endsWith('.md'))];
  for (const page of texts) {
    const gone = [...repositoryFile(page).matchAll(named)].filter(
      ([path]) => !OF_OTHERS.has(path) && !existsSync(join(ROOT, path)),
    );
    t.same(
      gone.map(([path]) => path),
      [],
      page,
    );
  }
});

t.test('every page of docs/ is on docs/README.md, and can be reached from README.md', async (t) => {
  const all = pages.filter((page) => page.startsWith('docs/'));
  const listed = new Set(relativeLinks('docs/README.md').map((link) => targetOf('docs/README.md', link).path));
  t.same(
    all.filter((page) => page !== 'docs/README.md' && !listed.has(page)),
    [],
  );
  const reached = new Set(['README.md']);
  for (const page of reached) {
    for (const link of relativeLinks(page)) {
      const { path } = targetOf(page, link);
      if (path.endsWith('.md') && existsSync(join(ROOT, path))) reached.add(path);
    }
  }
  t.same(
    all.filter((page) => !reached.has(page)),
    [],
  );
});
