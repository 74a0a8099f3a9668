import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { nameOf, readTlsFiles } from '../../src/p2p/protocol/tls-files.ts';

const PAGE = readFileSync(resolve(import.meta.dirname, '../../../docs/tls.md'), 'utf8');

/** The commands behind a mark of the page. */
function recipe(name: string): string {
  const [, commands] = new RegExp(`<!-- recipe: ${name} -->\\n\\n\`\`\`sh\\n([^]*?)\`\`\``).exec(PAGE) ?? [];
  if (commands === undefined) throw new Error(`no recipe ${name}`);
  return commands;
}

t.test('the recipe makes what a node can be started with', async (t) => {
  const cwd = t.testdir({});
  for (const name of ['ca', 'node']) {
    execFileSync('sh', ['-euc', recipe(name)], { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  }
  const files = { cert: `${cwd}/tls.crt`, key: `${cwd}/tls.key`, ca: `${cwd}/ca.crt` };
  const { chain } = await readTlsFiles(files, Date.now());
  t.same(chain.map(nameOf), ['CN=sn1.example', 'CN=hawker cluster CA']);
  t.match(chain[0]!.subjectAltName, /DNS:sn1\.example, IP Address:10\.0\.0\.5/);
  t.notOk(chain[0]!.ca);
  const later = Date.now() + 300 * 24 * 3_600_000;
  t.ok(await readTlsFiles(files, later), 'and it lasts');
});
