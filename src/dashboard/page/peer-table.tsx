import { countText } from './format.ts';
import type { PeerRow } from './model.ts';
import { Ago, Cell, State, Table } from './parts.tsx';
import { h, type JSX } from './preact.js';
import { peerLink } from './route.ts';
import { peerRows, type PeerColumn, type PeerQuery } from './rows.ts';
import type { Update, ViewState } from './view-state.ts';

const COLUMNS: readonly [column: PeerColumn, head: string][] = [
  ['host', 'Peer'],
  ['state', 'State'],
  ['zone', 'Zone'],
  ['version', 'Version'],
  ['since', 'Since'],
  ['blobs', 'Blobs'],
];

export function PeerTable({ state, update }: { state: ViewState; update: Update }): JSX.Element {
  const { query, now } = state;
  const { peers, counts } = state.snapshot!;
  const known = counts.ready + counts.unreachable + counts.stale + counts.left;
  const { rows, found, page, pages } = peerRows(peers, query);
  const ask: Ask = (change) => update((last) => ({ query: { ...last.query, page: 0, ...change(last.query) } }));
  const heads = COLUMNS.map(([column, head]) => (
    <Head key={column} column={column} head={head} query={query} ask={ask} />
  ));
  const shown = found === peers.length ? countText(found, 'peer') : `${found} of ${countText(peers.length, 'peer')}`;
  const text = known > peers.length ? `${shown}; ${known} are known, GET /api/v1/peers has all` : shown;
  return (
    <section aria-labelledby="peers">
      <h2 id="peers">Peers</h2>
      {peers.length === 0 ? <p class="quiet">None is known.</p> : <Filters query={query} ask={ask} shown={text} />}
      {rows.length > 0 && (
        <Table name="Peers" heads={heads}>
          {rows.map((peer) => (
            <Row key={peer.id} peer={peer} now={now} />
          ))}
        </Table>
      )}
      {pages > 1 && (
        <nav class="pager" aria-label="Pages of peers">
          <button type="button" disabled={page === 0} onClick={() => ask(() => ({ page: page - 1 }))}>
            Back
          </button>
          <span>
            page {page + 1} of {pages}
          </span>
          <button type="button" disabled={page === pages - 1} onClick={() => ask(() => ({ page: page + 1 }))}>
            Next
          </button>
        </nav>
      )}
    </section>
  );
}

/** By the query as it is then: the next press may come before the page has been drawn again. */
type Ask = (change: (last: PeerQuery) => Partial<PeerQuery>) => void;

interface FiltersProps {
  readonly query: PeerQuery;
  readonly ask: Ask;
  readonly shown: string;
}

function Filters({ query, ask, shown }: FiltersProps): JSX.Element {
  const setText = (text: string) => ask(() => ({ text }));
  const setState = (state: string) => ask(() => ({ state }));
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <label>
        Find{' '}
        <input
          type="search"
          value={query.text}
          placeholder="host, id, zone, address, reason"
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <label>
        State{' '}
        <select value={query.state} onChange={(event) => setState(event.currentTarget.value)}>
          <option value="">all</option>
          {['ready', 'unreachable', 'stale', 'left'].map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <span class="quiet number" id="found" role="status">
        {shown}
      </span>
    </form>
  );
}

function Head(props: { column: PeerColumn; head: string; query: PeerQuery; ask: Ask }): JSX.Element {
  const { column, head, query, ask } = props;
  const isSorted = query.column === column;
  const order = isSorted ? (query.descending ? 'descending' : 'ascending') : 'none';
  return (
    <th role="columnheader" scope="col" aria-sort={order} class={column === 'blobs' ? 'number' : ''}>
      <button
        type="button"
        onClick={() => ask((last) => ({ column, descending: last.column === column && !last.descending }))}
      >
        {head}
        <span class="arrow" aria-hidden="true" />
      </button>
    </th>
  );
}

function Row({ peer, now }: { peer: PeerRow; now: number }): JSX.Element {
  const { id, host, state, reason, zone, version, since, blobs } = peer;
  return (
    <tr role="row" data-peer={id}>
      <Cell label="Peer">
        <a href={peerLink(id)}>{host === '' ? id : host}</a>
        <span class="quiet mono id">{id}</span>
      </Cell>
      <Cell label="State" kind={reason === '' ? '' : 'words'}>
        <State state={state} />
        {reason !== '' && <span class="reason">{reason}</span>}
      </Cell>
      <Cell label="Zone">{zone === '' ? '–' : zone}</Cell>
      <Cell label="Version">{version}</Cell>
      <Cell label="Since" kind="time">
        <Ago time={since} now={now} />
      </Cell>
      <Cell label="Blobs" kind="number">
        {blobs}
      </Cell>
    </tr>
  );
}
