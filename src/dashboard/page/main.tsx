import { App } from './app.tsx';
import { applyChange, type Change, type Snapshot } from './model.ts';
import { h, render } from './preact.js';
import { routeOf } from './route.ts';
import type { BlobDetail, Detail, PeerDetail, ViewState } from './view-state.ts';

/** After an answer that ends a stream for good (no room, no right): a browser does not ask again by itself then. */
const ASK_AGAIN_MS = 5000;
/** The page of one peer or blob is asked for so often. */
const DETAIL_MS = 2000;
/** Times that are shown as an age move on. */
const CLOCK_MS = 10_000;

const root = document.querySelector('#app')!;
let isDue = false;
let state: ViewState = {
  connection: 'connecting',
  snapshot: undefined,
  route: routeOf(location.hash),
  detail: {},
  query: { text: '', state: '', column: 'state', descending: false, page: 0 },
  now: Date.now(),
};

/** At most once a frame, and not at all while nobody sees it. */
function update(change: Partial<ViewState>): void {
  state = { ...state, ...change };
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    render(<App state={state} update={update} />, root);
  });
}

function listen(): void {
  const events = new EventSource('/api/v1/events');
  events.addEventListener('snapshot', (event) => {
    update({ connection: 'live', snapshot: JSON.parse(event.data as string) as Snapshot, now: Date.now() });
  });
  events.addEventListener('change', (event) => {
    if (!state.snapshot) return;
    const snapshot = applyChange(state.snapshot, JSON.parse(event.data as string) as Change);
    update({ snapshot, now: Date.now() });
  });
  events.addEventListener('error', () => {
    update({ connection: 'lost' });
    if (events.readyState !== EventSource.CLOSED) return;
    events.close();
    setTimeout(listen, ASK_AGAIN_MS);
  });
}

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

window.addEventListener('hashchange', () => {
  update({ route: routeOf(location.hash), detail: {} });
  void look();
  // Who listens to the page, or goes by keys, begins at its head.
  requestAnimationFrame(() => {
    document.querySelector<HTMLElement>('h1')?.focus();
    window.scrollTo(0, 0);
  });
});
setInterval(() => update({ now: Date.now() }), CLOCK_MS);
update({});
listen();
void keepLooking();
