import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { whoListens } from '../../src/doctor/listener.ts';
import { closedPort, silent } from '../support/odd-servers.ts';

t.test(
  'this very process, by a real /proc',
  { skip: process.platform !== 'linux' && 'there is no /proc' },
  async (t) => {
    t.match(await whoListens(await silent(t), '/'), new RegExp(String.raw`\(pid ${process.pid}\)$`));
    t.equal(await whoListens(await closedPort(), '/'), undefined);
  },
);

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const row = (port: string, state: string, inode: number) =>
  `   0: 0100007F:${port} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100`;

t.test('by tables and descriptors below a root', async (t) => {
  const root = t.testdir({
    proc: {
      net: {
        tcp: `${HEAD}\n${row('1A85', '01', 7)}\n`,
        tcp6: `${HEAD}\n${row('1A85', '0A', 8)}\n${row('0050', '0A', 9)}\n`,
      },
      12: { cmdline: 'nginx: master\0-g\0', fd: {} },
      13: { cmdline: '', comm: 'kthread\n', fd: {} },
      self: {},
    },
  });
  const link = (pid: string, inode: number) => symlinkSync(`socket:[${inode}]`, join(root, 'proc', pid, 'fd', '3'));
  mkdirSync(join(root, 'proc', '11'));
  t.equal(await whoListens(6789, root), undefined, 'nobody whose descriptors can be seen');
  link('12', 8);
  link('13', 9);
  t.equal(await whoListens(6789, root), 'nginx: master -g (pid 12)', 'not who only has a connection');
  t.equal(await whoListens(80, root), 'kthread (pid 13)');
  t.equal(await whoListens(81, root), undefined);
  t.equal(await whoListens(80, join(root, 'nowhere')), undefined);
});
