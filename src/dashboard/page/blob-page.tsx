import { countText } from './format.ts';
import { Pieces, Size } from './parts.tsx';
import { h, type JSX } from './preact.js';
import { peerLink } from './route.ts';
import type { BlobDetail, ViewState } from './view-state.ts';

/** Peers that are shown in each list. */
const MOST = 200;

export function BlobPage({ state, digest }: { state: ViewState; digest: string }): JSX.Element {
  const { blob, missing } = state.detail;
  const hosts = new Map(state.snapshot!.peers.map(({ id, host }) => [id, host]));
  return (
    <div>
      <nav class="trail" aria-label="Breadcrumb">
        <a href="#/">Overview</a> <span aria-hidden="true">/</span> blob
      </nav>
      <h1 tabIndex={-1} class="mono">
        {digest}
      </h1>
      {missing !== undefined && <p class="plain">{missing}</p>}
      {blob && <Peers blob={blob} hosts={hosts} />}
    </div>
  );
}

function Peers({ blob, hosts }: { blob: BlobDetail; hosts: ReadonlyMap<string, string> }): JSX.Element {
  const { size, pieces, holders, downloading, downloaded } = blob;
  const hostOf = (peer: string) => hosts.get(peer) || peer;
  return (
    <div>
      <p>
        <Size bytes={size} />
        {pieces !== null && `, ${countText(pieces, 'piece')}`}
      </p>
      <section aria-labelledby="downloading">
        <h2 id="downloading">{countText(downloading.length, 'peer')} downloading</h2>
        <ul class="bars wide">
          {downloading.slice(0, MOST).map((peer, index) => (
            <li key={peer}>
              <a href={peerLink(peer)}>{hostOf(peer)}</a>
              <Pieces name={hostOf(peer)} have={downloaded[index]!} of={pieces} />
            </li>
          ))}
        </ul>
        {downloading.length > MOST && <p class="quiet">and {downloading.length - MOST} more</p>}
      </section>
      <section aria-labelledby="holders">
        <h2 id="holders">{countText(holders.length, 'peer has', 'peers have')} all of it</h2>
        <ul class="names">
          {holders.slice(0, MOST).map((peer) => (
            <li key={peer}>
              <a href={peerLink(peer)}>{hostOf(peer)}</a>
            </li>
          ))}
        </ul>
        {holders.length > MOST && <p class="quiet">and {holders.length - MOST} more</p>}
      </section>
    </div>
  );
}
