import { causesOf, type Cause } from './causes.ts';
import { agoText, countText } from './format.ts';
import { StateIcon } from './icon.tsx';
import type { Snapshot } from './model.ts';
import { Todo } from './parts.tsx';
import { h, type JSX } from './preact.js';
import { peerLink } from './route.ts';

/** Causes, and peers of each, that are shown: the tables below have all. */
const MOST_CAUSES = 8;
const MOST_PEERS = 4;
/** Proxies that know a supernode come back to it within so long (their longest backoff, and a margin). */
const RETURN_MS = 40_000;

/** A zero does not stand alone: what keeps the peers away comes with it, and what to do. So do single peers that are in trouble. */
export function Attention({ snapshot, now }: { snapshot: Snapshot; now: number }): JSX.Element | null {
  const causes = causesOf(snapshot);
  const isNone = snapshot.counts.ready === 0;
  if (!isNone && causes.length === 0) return null;
  return (
    <section class={isNone ? 'why none-ready' : 'why'} aria-labelledby="why">
      <h2 id="why">{isNone ? 'Why no peer is ready' : 'Needs a look'}</h2>
      {causes.length === 0 ? (
        <NobodyCame since={snapshot.since} now={now} />
      ) : (
        <ul>
          {causes.slice(0, MOST_CAUSES).map((cause) => (
            <One key={`${cause.kind} ${cause.code} ${cause.todo}`} cause={cause} />
          ))}
        </ul>
      )}
      {causes.length > MOST_CAUSES && (
        <p class="quiet">and {countText(causes.length - MOST_CAUSES, 'more cause')}, in the tables below</p>
      )}
    </section>
  );
}

function One({ cause }: { cause: Cause }): JSX.Element {
  const { kind, code, todo, who } = cause;
  return (
    <li class="cause">
      <span class={`state ${kind}`}>
        <StateIcon state={kind} />
        {who.length} {kind}
      </span>
      <div class="words">
        {code !== '' && <b class="mono">{code}</b>}
        <ul>
          {who.slice(0, MOST_PEERS).map(({ name, peer, why, count }, index) => (
            <li key={index}>
              {peer === '' ? <b>{name}</b> : <a href={peerLink(peer)}>{name}</a>}
              {count > 1 ? `, ${count.toLocaleString('en')} times` : ''}: {why}
            </li>
          ))}
        </ul>
        {who.length > MOST_PEERS && <p class="quiet">and {who.length - MOST_PEERS} more, in the table below</p>}
        <Todo>{todo}</Todo>
      </div>
    </li>
  );
}

function NobodyCame({ since, now }: { since: string; now: number }): JSX.Element {
  const isFresh = now - Date.parse(since) < RETURN_MS;
  const isLoopback = /^(?:localhost|127\..*|\[::1\])$/.test(location.hostname);
  return (
    <div>
      <p>
        No proxy has tried to register since this supernode was started, {agoText(since, now)}.
        {isFresh && ' Proxies that knew it before come back within half a minute.'}
      </p>
      <ol>
        <li>
          On each node, start a proxy that looks for this supernode; <code>hawker token</code> on the supernode’s
          machine prints the command with the secret:
          <code class="command">hawker proxy --supernodes {location.origin}</code>
        </li>
        <li>
          Where one runs already, <code>hawker doctor</code> on that node goes the way of a registration (name,
          connection, TLS, secret, way back) and names the first step that fails.
        </li>
        {isLoopback && (
          <li>
            This page was asked for at a loopback address, which other nodes cannot reach. For theirs, set{' '}
            <code>supernode.listen</code> to an address on the network, with a join secret (
            <code>cluster.secretFile</code>).
          </li>
        )}
      </ol>
    </div>
  );
}
