import { BlobPage } from './blob-page.tsx';
import { Overview } from './overview.tsx';
import { PeerPage } from './peer-page.tsx';
import { h, type JSX } from './preact.js';
import { summaryText } from './rows.ts';
import type { Update, ViewState } from './view-state.ts';

const CONNECTIONS = { connecting: 'connecting', live: 'live', lost: 'no connection; trying again' };

export function App({ state, update }: { state: ViewState; update: Update }): JSX.Element {
  const { snapshot, connection } = state;
  return (
    <div class="page">
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header>
        <a class="brand" href="#/">
          <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
            <path d="M16 5v23M16 11 4 7m12 4 12-4M16 15 5 18m11-3 11 3" />
            <circle cx="16" cy="5" r="3" />
          </svg>
          Hawker
        </a>
        <span class="quiet">{snapshot ? `supernode ${snapshot.version}` : 'supernode'}</span>
        <span class={`connection ${connection}`}>{CONNECTIONS[connection]}</span>
      </header>
      <p class="hidden" aria-live="polite" role="status">
        {snapshot ? `Peers: ${summaryText(snapshot)}` : ''}
      </p>
      <main id="main" tabIndex={-1}>
        {snapshot ? <Page state={state} update={update} /> : <Waiting connection={connection} />}
      </main>
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
