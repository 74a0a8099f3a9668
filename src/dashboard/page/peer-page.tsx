import { countText, shortDigest, sizeText } from './format.ts';
import { Ago, Cell, Pieces, Size, State, Table } from './parts.tsx';
import { h, type JSX } from './preact.js';
import { blobLink } from './route.ts';
import type { PeerDetail, ViewState } from './view-state.ts';

export function PeerPage({ state, id }: { state: ViewState; id: string }): JSX.Element {
  const { peer, missing } = state.detail;
  return (
    <div>
      <p>
        <a href="#/">All peers</a>
      </p>
      <h1 tabIndex={-1}>{peer?.host || id}</h1>
      {missing !== undefined && <p class="plain">{missing}</p>}
      {peer && <Facts peer={peer} now={state.now} />}
      {peer && <Parts peer={peer} />}
    </div>
  );
}

function Facts({ peer, now }: { peer: PeerDetail; now: number }): JSX.Element {
  const { bytes } = peer;
  return (
    <dl class="facts">
      <dt>State</dt>
      <dd>
        <State state={peer.state} /> <Ago time={peer.since} now={now} />
        {peer.reason !== '' && <span class="reason">{peer.reason}</span>}
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
      <dd>{(peer.clockSkewMs / 1000).toFixed(1)} s ahead of the supernode's</dd>
      <dt>To its clients</dt>
      <dd>
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
  return (
    <section aria-labelledby="parts">
      <h2 id="parts">{countText(peer.blobs, 'whole blob')}</h2>
      {parts.length === 0 ? (
        <p class="quiet">It has announced none.</p>
      ) : (
        <Table name="Blobs" heads={['Blob', 'Size', 'Pieces', '']}>
          {parts.map(({ digest, size, pieces, held, downloading }) => (
            <tr key={digest} role="row">
              <Cell label="Blob" kind="mono">
                <a href={blobLink(digest)}>{shortDigest(digest)}</a>
              </Cell>
              <Cell label="Size">
                <Size bytes={size} />
              </Cell>
              <Cell label="Pieces">
                <Pieces name={host} have={held} of={pieces} />
              </Cell>
              <Cell label="">{downloading ? 'downloading' : held === pieces ? 'whole' : 'a part'}</Cell>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}
