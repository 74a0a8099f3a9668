import t from 'tap';
import type { AuditEvent } from '../../../src/base/audit.ts';
import { digestOf } from '../../../src/base/digest.ts';
import { createLogger, silentLogger } from '../../../src/base/log.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { SupernodeMetrics } from '../../../src/p2p/supernode/metrics.ts';
import { OperatorNews } from '../../../src/p2p/supernode/operator-news.ts';
import type { PeerState } from '../../../src/p2p/supernode/roster-events.ts';
import { Roster } from '../../../src/p2p/supernode/roster.ts';
import { registration } from './session-rig.ts';

function rig() {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
  const log = createLogger({ level: 'debug', format: 'json', destination });
  const audited: AuditEvent[] = [];
  const metrics = new Metrics();
  const news = new OperatorNews({
    log,
    metrics: new SupernodeMetrics(metrics, () => ({})),
    audit: { record: (event) => void audited.push(event) },
  });
  return { news, audited, metrics, take: () => lines.splice(0) };
}

t.test(
  'a peer that comes is no warning, one that cannot be reached or is not heard any more is, with what to do',
  async (t) => {
    const { news, take } = rig();
    const roster = new Roster({ heartbeatMs: 1000, random: Math.random });
    roster.apply({ kind: 'register', connection: 1, from: 'x', registration: registration('a') }, 0);
    const member = { ...roster.find('a')! };
    const say = (state: PeerState, reason: string, was: PeerState | undefined) => {
      news.stateChanged({ ...member, state, reason }, was);
      const [line] = take();
      return `${String(line!['level'])} ${String(line!['code'])} ${'todo' in line! ? '+' : '-'} ${String(line!['msg'])}`;
    };
    t.match(
      say('unreachable', 'its port is being tested', undefined),
      /^info PEER_UNREACHABLE - a peer has registered: its/,
    );
    t.equal(say('ready', '', 'unreachable'), 'info PEER_READY - a peer is ready: it can be reached');
    t.equal(say('unreachable', 'refused', 'ready'), 'warn PEER_UNREACHABLE + a peer is unreachable: refused');
    t.equal(say('stale', 'silent', 'ready'), 'warn PEER_STALE + a peer is stale: silent');
    t.equal(say('left', 'it stopped', 'ready'), 'info PEER_LEFT - a peer is left: it stopped');
    news.stateChanged(member, undefined);
    t.match(take(), [{ peer: 'a', host: 'host-of-a', addresses: ['a:65002'] }], 'who it is');
  },
);

t.test('a refusal is counted each time, and said once', async (t) => {
  const { news, take, metrics } = rig();
  const refused = { address: '10.0.0.1', host: '', peer: '', code: 'NOT_A_MEMBER', message: 'no', at: 0 } as const;
  news.refused({ ...refused, count: 1 });
  news.refused({ ...refused, count: 2 });
  const [line, ...more] = take();
  t.match(line, { level: 'warn', code: 'NOT_A_MEMBER', address: '10.0.0.1', todo: /cluster.secretFile/ });
  t.notOk('host' in line!, 'nobody has said one');
  t.same(more, []);
  t.match(await metrics.registry.metrics(), 'hawker_registration_failures_total{code="NOT_A_MEMBER"} 2');
});

t.test('who may not join is in the audit; what is not believed is counted', async (t) => {
  const { news, audited, metrics, take } = rig();
  news.denied('10.0.0.1', 'NOT_A_MEMBER');
  t.same(audited, [{ role: 'session', client: '10.0.0.1', decision: 'denied', code: 'NOT_A_MEMBER' }]);
  news.rejectedEvent('NO_DISPUTE');
  t.match(await metrics.registry.metrics(), 'hawker_swarm_rejected_total{code="NO_DISPUTE"} 1');
  t.same(take(), []);
  const quiet = new OperatorNews({ log: silentLogger, metrics: new SupernodeMetrics(new Metrics(), () => ({})) });
  quiet.denied('10.0.0.1', 'FULL');
});

t.test('each other thing has its code, and each warning what to do', async (t) => {
  const { news, take } = rig();
  const digest = digestOf('x');
  news.readsWrongBytes({ kind: 'blamed', peer: 'a', digest, piece: 3, right: 'b' }, 'node');
  news.paused(5000);
  const counts = { ready: 1, unreachable: 1, stale: 0, left: 0, rejected: 0 };
  news.missing({ counts, message: 'one is missing', todo: 'look' });
  const lines = take();
  t.match(lines, [
    { level: 'warn', code: 'READS_WRONG_BYTES', peer: 'a', host: 'node', digest, piece: 3, right: 'b' },
    { level: 'warn', code: 'SUPERNODE_PAUSED', ms: 5000, msg: /5000 ms/ },
    { level: 'warn', code: 'PEERS_MISSING', unreachable: 1, msg: 'one is missing', todo: 'look' },
  ]);
  for (const line of lines) t.type(line['todo'], 'string');
  news.versionsDiffer({ peer: 'a', host: 'node', version: '1.2.3' }, 'they differ');
  t.match(take(), [{ level: 'info', code: 'PROTOCOL_VERSION_DIFFERS', version: '1.2.3', msg: 'they differ' }]);
});
