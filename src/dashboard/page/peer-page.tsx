import { todoOf } from './causes.ts';
import { countText, shortDigest, sizeText, skewText, timeText } from './format.ts';
import { Ago, Cell, Pieces, Size, State, Table, Todo } from './parts.tsx';
import { h, type JSX } from './preact.js';
import { blobLink } from './route.ts';
import type { PeerDetail, ViewState } from './view-state.ts';

export function PeerPage({ state, id }: { state: ViewState; id: string }): JSX.Element {
  const { peer, missing } = state.detail;
  return (
    <div>
      <nav class="trail" aria-label="Breadcrumb">
        <a href="#/">Overview</a> <span aria-hidden="true">/</span> peer
      </nav>
      <h1 tabIndex={-1}>{peer?.host || id}</h1>
      {missing !== undefined && <p class="plain">{missing}</p>}
      {peer && <Facts peer={peer} now={state.now} />}
      {peer && <Parts peer={peer} />}
    </div>
  );
}

function Facts({ peer, now }: { peer: PeerDetail; now: number }): JSX.Element {
  const { bytes } = peer;
  const todo = todoOf(peer);
  return (
    <dl class="facts">
      <dt>State</dt>
      <dd>
        <State state={peer.state} /> since {timeText(peer.since)} (<Ago time={peer.since} now={now} />)
        {peer.reason !== '' && <span class="reason">{peer.reason}</span>}
        {todo !== '' && <Todo>{todo}</Todo>}
      </dd>
      <dt>Id</dt>
      <dd class="mono">{peer.id}</dd>
      <dt>Addresses</dt>
      <dd class="mono">{peer.addresses.join(', ') || 'none: nobody can fetch from it'}</dd>
      <dt>Session from</dt>
      <dd class="mono">{peer.from}</dd>
      <dt>Zone</dt>
      <dd>{peer.zone === '' ? '–' : peer.zone}</dd>
      <dt>Version</dt>
      <dd>
        {peer.version} (protocol {peer.protocol})
      </dd>
      <dt>Last heard of</dt>
      <dd>
        <Ago time={peer.lastHeartbeat} now={now} />
      </dd>
      <dt>Its clock</dt>
      <dd>{skewText(peer.clockSkewMs)} of the supernode’s</dd>
      <dt>To its clients</dt>
      <dd class="number">
        {bytes
          ? `${sizeText(bytes.store)} from the store, ${sizeText(bytes.peers)} from peers, ${sizeText(bytes.origin)} from the origin`
          : 'not told yet'}
      </dd>
      <dt>Read from origins</dt>
      <dd>{bytes ? sizeText(bytes.read) : 'not told yet'}</dd>
    </dl>
  );
}

function Parts({ peer }: { peer: PeerDetail }): JSX.Element {
  const { parts, host } = peer;
  const inPart = parts.filter(({ held, pieces, downloading }) => downloading || held !== pieces).length;
  return (
    <section aria-labelledby="parts">
      <h2 id="parts">
        {countText(peer.blobs, 'whole blob')}
        {inPart > 0 && `, ${inPart} in part`}
      </h2>
      {parts.length === 0 ? (
        <p class="quiet">It has announced none.</p>
      ) : (
        <Table name="Blobs" heads={['Blob', '#Size', 'Pieces', '(How it stands)']}>
          {parts.map(({ digest, size, pieces, held, downloading }) => (
            <tr key={digest} role="row">
              <Cell label="Blob" kind="mono">
                <a href={blobLink(digest)}>{shortDigest(digest)}</a>
              </Cell>
              <Cell label="Size" kind="number">
                <Size bytes={size} />
              </Cell>
              <Cell label="Pieces">
                <Pieces name={host} have={held} of={pieces} />
              </Cell>
              <Cell label="Is">{downloading ? 'filling' : held === pieces ? 'whole' : 'a part'}</Cell>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}
