import { App } from './app.tsx';
import { h, render } from './preact.js';
import { routeOf } from './route.ts';
import { summaryText } from './rows.ts';
import { listen } from './stream.ts';
import type { BlobDetail, Detail, PeerDetail, Update, ViewState } from './view-state.ts';

/** The page of one peer or blob is asked for so often. */
const DETAIL_MS = 2000;
/** Times that are shown as an age move on, and screen readers are told what has become of the peers. */
const CLOCK_MS = 5000;

const root = document.querySelector('#app')!;
let isDue = false;
let state: ViewState = {
  connection: 'connecting',
  heardAt: 0,
  said: '',
  snapshot: undefined,
  route: routeOf(location.hash),
  detail: {},
  query: { text: '', state: '', column: 'state', descending: false, page: 0 },
  now: Date.now(),
};

/** At most once a frame, and not at all while nobody sees it. */
const update: Update = (change) => {
  state = { ...state, ...(typeof change === 'function' ? change(state) : change) };
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    render(<App state={state} update={update} />, root);
  });
};

async function ask<T>(path: string): Promise<T | string> {
  try {
    const answer = await fetch(path, { headers: { accept: 'application/json' } });
    const body = (await answer.json()) as T & { message?: string };
    return answer.ok ? body : (body.message ?? `status ${answer.status}`);
  } catch {
    return 'the supernode did not answer';
  }
}

async function look(): Promise<void> {
  const { route } = state;
  let detail: Detail = {};
  if (route.kind === 'peer') {
    const peer = await ask<PeerDetail>(`/api/v1/peers/${encodeURIComponent(route.id)}`);
    detail = typeof peer === 'string' ? { missing: peer } : { peer };
  } else if (route.kind === 'blob') {
    const blob = await ask<BlobDetail>(`/api/v1/blobs/${encodeURIComponent(route.digest)}`);
    detail = typeof blob === 'string' ? { missing: blob } : { blob };
  }
  // Meanwhile somebody may have gone on to another page.
  if (route === state.route) update({ detail });
}

async function keepLooking(): Promise<void> {
  for (;;) {
    if (state.route.kind !== 'overview' && !document.hidden) await look();
    await new Promise((resolve) => setTimeout(resolve, DETAIL_MS));
  }
}

function tell(): void {
  const { connection, snapshot } = state;
  const said =
    connection === 'lost' ? 'No connection to the supernode.' : snapshot ? `Peers: ${summaryText(snapshot)}.` : '';
  update({ now: Date.now(), said });
}

window.addEventListener('hashchange', () => {
  update({ route: routeOf(location.hash), detail: {} });
  void look();
  // Who listens to the page, or goes by keys, begins at its head.
  requestAnimationFrame(() => {
    document.querySelector<HTMLElement>('h1')?.focus();
    window.scrollTo(0, 0);
  });
});
setInterval(tell, CLOCK_MS);
update({});
listen({
  open: () => new EventSource('/api/v1/events'),
  onSnapshot: (snapshot) => {
    // The page is of the program that serves it: a newer one has a newer page.
    if (state.snapshot && state.snapshot.version !== snapshot.version) location.reload();
    const isBack = state.connection !== 'live';
    update({ connection: 'live', snapshot, now: Date.now() });
    if (isBack) tell();
  },
  onHeard: () => update({ heardAt: Date.now() }),
  onLost: () => {
    if (state.connection === 'lost') return;
    update({ connection: 'lost' });
    tell();
  },
});
void keepLooking();
