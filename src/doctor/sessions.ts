import type { ProxyStatusAnswer } from '../app/answers.ts';
import { isOwn } from '../app/own-url.ts';
import type { Config } from '../config/config.ts';
import { REFUSALS, type RefusalCode } from '../p2p/protocol/errors.ts';
import type { Finding } from './check.ts';
import { OtherConfig } from './errors.ts';
import { failedBy, withoutTodo } from './failed-by.ts';
import { failed, ok, skipped } from './findings.ts';
import type { ProxyLook } from './services.ts';

type Status = NonNullable<ProxyStatusAnswer['supernodes']>[number];

const NO_SESSION = 'without a session the proxy works alone: it asks the peers that it knew last, then the registries';

/** The running proxy looks for the supernodes that this configuration names: else what follows is about others. */
export function checkSameConfig({ supernodes, supernode }: Config, { status }: ProxyLook): Finding[] {
  if (!status?.supernodes) return [];
  const about = { code: 'SAME_CONFIG', title: 'the running proxy has this configuration' };
  // `hawker up` calls its own supernode by the address that it listens on.
  const plain = (url: string) => (isOwn(url, supernode.listen) ? 'own' : new URL(url).origin);
  const running = status.supernodes.map(({ url }) => url);
  if (running.map(plain).join() === supernodes.map(plain).join()) {
    return [ok(about, `both name ${supernodes.join(', ') || 'no supernode'}`)];
  }
  const names = (urls: readonly string[]) => urls.join(', ') || 'none';
  const error = new OtherConfig({ running: names(running), here: names(supernodes) });
  return [failedBy(about, error, 'what is said of supernodes below is not about those of the running proxy')];
}

/** What the running proxy says of its session with each supernode. */
export function checkSessions({ supernodes }: Config, { status, isDown }: ProxyLook): Finding[] {
  return supernodes.map((url, index) => {
    const about = { code: 'SESSION', title: `the proxy's session with ${new URL(url).host}` };
    if (!status) return skipped(about, isDown ? 'no proxy runs here' : 'the proxy does not say');
    const session = sessionOf(status, index, supernodes);
    if (!session) return skipped(about, 'the running proxy does not look for it');
    const since = `since ${session.since}`;
    if (session.state === 'connected') return ok(about, `connected ${since}`);
    if (session.state === 'standby') return ok(about, `not needed: an earlier one of the list is connected (${since})`);
    const first = status.supernodes!.find(({ state }) => state === 'connected');
    if (session.code === '') return skipped(about, `${session.state} ${since}: there is no result yet`);
    const meaning = first
      ? `it is no use as a substitute while that lasts; the session with ${first.url} is up`
      : NO_SESSION;
    const { message, code, todo = todoOf(session.code) } = session;
    return failed(about, {
      seen: withoutTodo(`${session.state} ${since}: ${message}`, todo),
      meaning,
      todo,
      error: code,
    });
  });
}

function todoOf(code: string): string {
  return Object.hasOwn(REFUSALS, code)
    ? REFUSALS[code as RefusalCode]
    : 'see the checks above, and the log of the proxy';
}

/** Under the name of the list; else at its place in it, for `hawker up` calls its own supernode by where that listens. */
export function sessionOf(
  { supernodes = [] }: ProxyStatusAnswer,
  index: number,
  urls: readonly string[],
): Status | undefined {
  const named = supernodes.find(({ url }) => url === urls[index]);
  return named ?? (supernodes.length === urls.length ? supernodes[index] : undefined);
}
