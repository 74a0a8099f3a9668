import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import * as auditFile from '../../src/app/audit-file.ts';
import * as proxyApi from '../../src/app/proxy-api.ts';
import * as auditLog from '../../src/base/audit-log.ts';
import * as dashboard from '../../src/dashboard/event-hub.ts';
import * as apiServer from '../../src/http/api-server.ts';
import * as pieces from '../../src/p2p/peer/piece-server.ts';
import * as protocol from '../../src/p2p/protocol/limits.ts';
import * as swarm from '../../src/p2p/supernode/limits.ts';
import * as supernode from '../../src/p2p/supernode/supernode.ts';
import * as exchange from '../../src/proxy/exchange.ts';
import * as mirror from '../../src/proxy/http-server.ts';
import * as path from '../../src/proxy/request-path.ts';

/** Where the constants of each part of the page are; the first that has one counts. */
const MODULES: Readonly<Record<string, readonly object[]>> = {
  Mirror: [mirror, path, exchange],
  Pieces: [pieces],
  APIs: [apiServer, proxyApi, dashboard],
  Sessions: [supernode, protocol, swarm],
  Audit: [auditLog, auditFile],
};

const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1000, KiB: 1024, MiB: 1024 * 1024 };

t.test('docs/limits.md says what the code holds', async (t) => {
  const page = readFileSync(resolve(import.meta.dirname, '../../../docs/limits.md'), 'utf8');
  let modules: readonly object[] = [];
  let rows = 0;
  for (const line of page.split('\n')) {
    const heading = /^## (\w+)/.exec(line)?.[1];
    if (heading !== undefined) modules = MODULES[heading] ?? [];
    const [, number, unit = '', name = ''] = /^\| .* \| (\d+) ?(\w*) +\| `(\w+)` +\|$/.exec(line) ?? [];
    if (number === undefined) continue;
    rows += 1;
    const found = modules
      .map((module) => (module as Record<string, unknown>)[name])
      .find((value) => value !== undefined);
    t.equal(Number(number) * UNITS[unit]!, found, `${name}: ${line}`);
  }
  t.equal(rows, page.split('\n').filter((line) => /^\| .*`\w+`/.test(line)).length, 'every row was read');
  t.ok(rows > 30);
});
