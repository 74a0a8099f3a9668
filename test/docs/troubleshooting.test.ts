import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { readSources } from '../support/codes.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const GROUPS = [
  'Supernode and registration',
  'Peers and pieces',
  'Origins',
  'Store',
  'Mirror',
  'Configuration and commands',
  'Starting and stopping',
  'Findings of hawker doctor',
];

/** What looks like a code and is not for operators, and why. */
const NOT_LISTED: ReadonlyMap<string, string> = new Map([
  ['BAD_RESPONSE_HEAD', 'the cause behind PEER_BAD_RESPONSE and the like, which tell its text'],
  ['ABORT_ERR', 'of Node'],
  ['EBADF', 'of the system'],
  ['ECONNRESET', 'of the system'],
  ['TIMEOUT', 'in the place of a code of the system, where a socket did not answer'],
  ['ABORTED', 'told to the supernode of a read that nobody needs any more; no text shows it'],
  ['CLIENT_GONE', 'a client that hung up: its line has the code REQUEST'],
  ...['BLOB_UNKNOWN', 'MANIFEST_INVALID', 'MANIFEST_UNKNOWN', 'NAME_UNKNOWN', 'RANGE_INVALID', 'UNSUPPORTED'].map(
    (code) => [code, 'of the OCI distribution spec; the detail beside it has the code of Hawker'] as const,
  ),
  ...[
    'ERR_HTTP_REQUEST_TIMEOUT',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'ERR_STREAM_PREMATURE_CLOSE',
    'HPE_HEADER_OVERFLOW',
    'EAI_AGAIN',
    'EFBIG',
    'EISDIR',
    'ELOOP',
    'EPERM',
    'ETIMEDOUT',
  ].map((code) => [code, 'of Node or the system'] as const),
  ...['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_SOCKET'].map((code) => [code, 'of undici'] as const),
  ...[
    'LC_ALL',
    'LC_CTYPE',
    'NO_COLOR',
    'UV_THREADPOOL_SIZE',
    'XDG_CONFIG_HOME',
    'XDG_DATA_HOME',
    'XDG_RUNTIME_DIR',
    'CONTAINERS_REGISTRIES_CONF',
    'DOCKER_HOST',
  ].map((name) => [name, 'a variable of the environment'] as const),
]);

/** Warnings whose text, made elsewhere, says what to do. */
const TODO_IN_TEXT: readonly [file: string, fields: string][] = [
  ['cli/reload.ts', '{ code, key }'],
  ['cli/run-service.ts', '{ code, key }'],
  ['p2p/peer/session.ts', "{ code: 'PROTOCOL_VERSION_DIFFERS'"],
  ['p2p/peer/supernode-statuses.ts', "{ code: 'NO_SUPERNODE'"],
];

interface Row {
  readonly group: string;
  readonly code: string;
  readonly cells: readonly string[];
}

/** The rows of the tables of codes. */
function rowsOf(page: string): Row[] {
  let group = '';
  const rows: Row[] = [];
  for (const line of page.split('\n')) {
    group = /^## (.+)$/.exec(line)?.[1] ?? group;
    const cells = line.startsWith('| ')
      ? line
          .slice(1, -1)
          .split(/(?<!\\)\|/)
          .map((cell) => cell.trim())
      : [];
    const code = /^`([A-Z][A-Z0-9_]+)`$/.exec(cells[0] ?? '')?.[1];
    if (code !== undefined) rows.push({ group, code, cells: cells.slice(1) });
  }
  return rows;
}

const { codes, warnings } = readSources(resolve(ROOT, 'src'));
const page = readFileSync(resolve(ROOT, 'docs/troubleshooting.md'), 'utf8');
const rows = rowsOf(page);

t.test('every code in src has a line, and every line has its code in src', async (t) => {
  const listed = new Set(rows.map(({ code }) => code));
  const missing = [...codes].filter(([code]) => !listed.has(code) && !NOT_LISTED.has(code));
  t.same(
    missing.map(([code, places]) => `${code} (${places.join(', ')})`),
    [],
    'codes without a line in docs/troubleshooting.md',
  );
  t.same(
    [...listed].filter((code) => !codes.has(code)),
    [],
    'lines whose code is gone from src',
  );
  t.same(
    [...NOT_LISTED.keys()].filter((code) => !codes.has(code)),
    [],
    'exceptions that are gone from src',
  );
  t.same(
    [...NOT_LISTED.keys()].filter((code) => listed.has(code)),
    [],
    'exceptions that have a line all the same',
  );
  t.ok(listed.size > 100, `${listed.size} codes`);
});

t.test('the tables: each code once, in its group by the alphabet, with nothing left empty', async (t) => {
  t.same([...new Set(rows.map(({ group }) => group))], GROUPS);
  const all = rows.map(({ code }) => code);
  t.same(
    all.filter((code, i) => all.indexOf(code) !== i),
    [],
    'codes with two lines',
  );
  for (const group of GROUPS) {
    const inGroup = rows.filter((row) => row.group === group).map(({ code }) => code);
    t.same(inGroup, inGroup.toSorted(), group);
  }
  const wanting = rows.filter(({ cells }) => cells.length !== 3 || cells.some((cell) => !/\w.*[\w).`”]$/.test(cell)));
  t.same(wanting, [], 'where, what it means and what to do');
});

t.test('what the text before the tables names is in them', async (t) => {
  const intro = page.slice(0, page.indexOf('\n## Codes\n'));
  const named = [...intro.matchAll(/\b[A-Z]+(?:_[A-Z]+)+\b/g)].map(([code]) => code);
  t.ok(named.length > 10);
  t.same(
    named.filter((code) => !rows.some((row) => row.code === code)),
    [],
  );
});

t.test('every warning in the log says what to do', async (t) => {
  const isExcepted = (place: string, fields: string) =>
    TODO_IN_TEXT.some(([file, start]) => place.startsWith(`${file}:`) && fields.startsWith(start));
  const mute = warnings.filter(({ place, fields }) => !/todo/i.test(fields) && !isExcepted(place, fields));
  t.same(mute, []);
  t.ok(warnings.length > 30, `${warnings.length} warnings`);
});
