import { BlobPage } from './blob-page.tsx';
import { timeText } from './format.ts';
import { Mark } from './icon.tsx';
import { Overview } from './overview.tsx';
import { PeerPage } from './peer-page.tsx';
import { h, type JSX } from './preact.js';
import type { Update, ViewState } from './view-state.ts';

const CONNECTIONS = { connecting: 'connecting', live: 'live', lost: 'no connection' };

export function App({ state, update }: { state: ViewState; update: Update }): JSX.Element {
  const { snapshot, connection, heardAt, said } = state;
  return (
    <div class="page">
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header>
        <a class="brand" href="#/">
          <Mark />
          Hawker
        </a>
        <span class="quiet where">{location.host}</span>
        <span class={`connection ${connection}`}>{CONNECTIONS[connection]}</span>
      </header>
      <p class="hidden" aria-live="polite" role="status">
        {said}
      </p>
      {snapshot && connection === 'lost' && (
        <p class="notice">
          The supernode does not answer. What you see is from {timeText(heardAt)}; this page goes on asking, and catches
          up by itself.
        </p>
      )}
      <main id="main" tabIndex={-1}>
        {snapshot ? <Page state={state} update={update} /> : <Waiting connection={connection} />}
      </main>
      <Foot state={state} />
    </div>
  );
}

/** The address says which page is shown, so the link must not change it. */
function skip(event: Event): void {
  event.preventDefault();
  document.querySelector<HTMLElement>('#main')?.focus();
}

function Page({ state, update }: { state: ViewState; update: Update }): JSX.Element {
  if (state.route.kind === 'peer') return <PeerPage state={state} id={state.route.id} />;
  if (state.route.kind === 'blob') return <BlobPage state={state} digest={state.route.digest} />;
  return <Overview state={state} update={update} />;
}

function Waiting({ connection }: { connection: ViewState['connection'] }): JSX.Element {
  return (
    <p class="plain">
      {connection === 'lost'
        ? 'The supernode does not answer: it is down or out of reach, too many of these pages are open, or the token is not accepted any more (load the page again to enter it).'
        : 'Asking the supernode…'}
    </p>
  );
}

function Foot({ state: { snapshot } }: { state: ViewState }): JSX.Element {
  return (
    <footer class="quiet">
      <p>
        {snapshot &&
          `Supernode ${snapshot.version}, protocol ${snapshot.protocol}, up since ${timeText(snapshot.since)}. `}
        The same as text: <code>hawker peers</code>, <code>hawker blobs</code>; as JSON:{' '}
        <a href="/api/v1/peers">peers</a>, <a href="/api/v1/blobs">blobs</a>, <a href="/api/v1/status">status</a>; for
        Prometheus: <a href="/metrics">metrics</a>.
      </p>
      <p>
        On loopback anybody on this machine may look. Beyond it, the browser asks for a password: the operator’s token (
        <code>hawker token --operator</code>), under any name. The browser keeps it until it is closed; it is in no
        address, and this page stores it nowhere.
      </p>
    </footer>
  );
}
