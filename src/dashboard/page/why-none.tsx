import type { Snapshot } from './model.ts';
import { h, type JSX } from './preact.js';
import { peerLink } from './route.ts';

/** Causes that are shown of each kind. */
const MOST = 8;

/** A zero does not stand alone: what keeps the peers away comes with it. */
export function WhyNone({ snapshot }: { snapshot: Snapshot }): JSX.Element {
  const { rejected, counts } = snapshot;
  const away = snapshot.peers.filter(({ state }) => state !== 'ready');
  const more = Math.max(0, away.length - MOST) + Math.max(0, counts.rejected - MOST);
  return (
    <section class="why" aria-labelledby="why">
      <h2 id="why">Why no peer is ready</h2>
      {away.length === 0 && rejected.length === 0 ? (
        <p>
          No proxy has tried to register since this supernode was started. On a node, <code>hawker doctor</code> says
          whether its proxy runs, which supernodes it looks for, and what is in the way.
        </p>
      ) : (
        <ul>
          {rejected.slice(0, MOST).map((one, index) => (
            <li key={index}>
              <b>{one.code}</b> {one.count > 1 ? `${one.count} times` : 'once'}, from{' '}
              {one.host === '' ? one.address : `${one.host} (${one.address})`}: {one.message}
            </li>
          ))}
          {away.slice(0, MOST).map(({ id, host, state, reason }) => (
            <li key={id}>
              <b>{state}</b> <a href={peerLink(id)}>{host === '' ? id : host}</a>: {reason}
            </li>
          ))}
          {more > 0 && <li>and {more} more, below</li>}
        </ul>
      )}
    </section>
  );
}
