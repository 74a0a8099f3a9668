import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { arrows } from '../../scripts/docs/arrows.ts';
import { allCommands } from '../../scripts/docs/commands.ts';
import { withParts } from '../../scripts/docs/markers.ts';
import { madeParts, pageAsMade } from '../../scripts/docs/pages.ts';
import { remarksOf } from '../../scripts/docs/shipped-file.ts';
import { SETTINGS } from '../../src/config/settings.ts';
import { runCommand } from '../support/cli.ts';
import { repositoryFile } from '../support/metrics-page.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

t.test('the pages say what the code gives', async (t) => {
  const pages = madeParts(ROOT);
  t.ok(pages.size > 3);
  for (const [page, parts] of pages) {
    t.equal(await pageAsMade(ROOT, page, parts), repositoryFile(page), `${page}: run \`npm run docs\``);
  }
});

t.test('docs/commands.md: a heading for each command, and each flag of its help', async (t) => {
  const page = repositoryFile('docs/commands.md');
  const sections = new Map(
    [...page.matchAll(/^## hawker (\w+)\n([^]*?)(?=^## |(?![^]))/gm)].map(([, name, text]) => [name!, text!]),
  );
  t.same(
    [...sections.keys()],
    allCommands().map((command) => command.name()),
  );
  const settings = new Map<string, string>(
    SETTINGS.flatMap(({ flag, key }) => (flag === undefined ? [] : [[`--${flag}`, key] as const])),
  );
  for (const [name, text] of sections) {
    const { out } = await runCommand([name, '--help']);
    const flags = [...out.matchAll(/^ +(?:-\w, )?(--[\w-]+)/gm)]
      .map(([, flag]) => flag!)
      .filter((flag) => flag !== '--help');
    t.ok(flags.length > 0 || /^(?:password|completion)$/.test(name), name);
    const isAll = text.includes('a flag for every setting');
    const but = text.split('but not')[1] ?? '';
    for (const flag of flags) {
      const isThere =
        text.includes(`${flag}\``) || text.includes(`${flag} `) || (isAll && settings.has(flag) && !but.includes(flag));
      t.ok(isThere, `${name} ${flag}`);
    }
    // What the page names in its table is taken.
    for (const [, flag] of text.matchAll(/^\| `(?:-\w, )?(--[\w-]+)/gm)) t.ok(flags.includes(flag!), `${name} ${flag}`);
  }
});

t.test('docs/configuration.md: each setting once, with its default, flag and variable', async (t) => {
  const page = repositoryFile('docs/configuration.md');
  const headings = [...page.matchAll(/^### `([\w.]+)`$/gm)].map(([, key]) => key!);
  t.same(
    headings,
    SETTINGS.map(({ key }) => key),
  );
  for (const { variable, flag } of SETTINGS) {
    t.match(page, `- variable: \`${variable}\``);
    if (flag !== undefined) t.match(page, `- flag: \`--${flag}\``);
  }
});

t.test('comments and examples of a configuration', async (t) => {
  const yaml = `# Of the file.

proxy:
  # Where clients
  # pull.
  listen: x
  #listen: y
  #  - z
  tls:
    # A key.
    key: ''
peer:
  zone: ''
`;
  t.same(
    [...remarksOf(yaml)].filter(([, { text, example }]) => text !== '' || example !== ''),
    [
      ['proxy.listen', { text: 'Where clients pull.', example: 'listen: y\n  - z\n' }],
      ['proxy.tls.key', { text: 'A key.', example: '' }],
    ],
  );
});

t.test('parts of a page: none is left out in silence', async (t) => {
  const begin = (name: string) => `<!-- ${name}: written by \`npm run docs\`: begin -->`;
  const page = `a\n${begin('one')}\nold\n<!-- end -->\nb\n${begin('two')}<!-- end -->\n`;
  const parts = new Map([
    ['two', 'new two'],
    ['one', 'new $1'],
  ]);
  const written = withParts(page, parts);
  t.equal(written, `a\n${begin('one')}\n\nnew $1\n\n<!-- end -->\nb\n${begin('two')}\n\nnew two\n\n<!-- end -->\n`);
  t.equal(withParts(written, parts), written, 'again');
  t.throws(() => withParts(page, new Map([['one', '']])), /two, which there is not/);
  t.throws(() => withParts(page, new Map([...parts, ['three', '']])), /no place for three/);
  t.throws(() => withParts(page.replace('<!-- end -->', ''), parts), /one has no end/);
  t.throws(() => withParts(page.slice(0, -13), parts), /two has no/);
});

t.test('docs/architecture.md: the sources import what the page allows, and all are in a room', async (t) => {
  const src = join(ROOT, 'src');
  const rooms = arrows(ROOT);
  const roomOf = (path: string) => [...rooms.keys()].find((room) => path.startsWith(`${room}/`));
  const used = new Map([...rooms.keys()].map((room) => [room, new Set<string>()]));
  for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => /\.tsx?$/.test(name))) {
    const room = roomOf(file);
    if (room === undefined) {
      t.equal(file, 'main.ts', 'every file but main.ts is in a room');
      continue;
    }
    const text = readFileSync(join(src, file), 'utf8');
    for (const [, target] of text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
      const other = roomOf(join(file, '..', target!));
      if (other !== undefined && other !== room) used.get(room)!.add(other);
    }
  }
  for (const [room, allowed] of rooms) {
    t.same(
      [...used.get(room)!].filter((other) => !allowed.includes(other)),
      [],
      room,
    );
  }
  t.ok([...used.values()].filter((others) => others.size > 0).length > 10);
});
