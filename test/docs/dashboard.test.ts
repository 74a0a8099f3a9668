import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { MAX_LISTENERS } from '../../src/dashboard/event-hub.ts';
import { PAGE_ROWS } from '../../src/dashboard/page/rows.ts';
import { MAX_PARTS } from '../../src/dashboard/routes.ts';
import { MAX_SHOWN_BLOBS, MAX_SHOWN_DOWNLOADERS, MAX_SHOWN_PEERS } from '../../src/dashboard/snapshot.ts';
import { Roster } from '../../src/p2p/supernode/roster.ts';

const text = readFileSync(resolve(import.meta.dirname, '../../../docs/dashboard.md'), 'utf8').replaceAll(/\s+/g, ' ');

t.test('docs/dashboard.md says what the code holds', async (t) => {
  const said = [
    `${PAGE_ROWS} a page`,
    `(${MAX_PARTS} at most)`,
    `${MAX_LISTENERS} pages may be open at a time`,
    `${MAX_SHOWN_PEERS.toLocaleString('en')} peers, the ${MAX_SHOWN_BLOBS} blobs that are being downloaded, and ${MAX_SHOWN_DOWNLOADERS} peers of each`,
  ];
  for (const words of said) t.ok(text.includes(words), words);
});

t.test('each state of a peer has a row, with what to do', async (t) => {
  const states = Object.keys(new Roster({ heartbeatMs: 1000, random: Math.random }).counts());
  for (const state of states) t.match(text, new RegExp(`\\| ${state} +\\| `), state);
});
