import { countText, shortDigest } from './format.ts';
import type { BlobRow, Snapshot } from './model.ts';
import { Pieces, Size } from './parts.tsx';
import { h, type JSX } from './preact.js';
import { blobLink, peerLink } from './route.ts';

/** Blobs, and peers of each, that are shown here; a blob's own page has more. */
const MOST_BLOBS = 24;
const MOST_PEERS = 8;

/** What is being downloaded just now, a bar a blob and peer. */
export function Swarms({ snapshot }: { snapshot: Snapshot }): JSX.Element {
  const { blobs } = snapshot;
  const hosts = new Map(snapshot.peers.map(({ id, host }) => [id, host]));
  return (
    <section aria-labelledby="swarms">
      <h2 id="swarms">Filling now</h2>
      {blobs.length === 0 ? (
        <p class="quiet">Nobody is downloading anything.</p>
      ) : (
        <ul class="cards">
          {blobs.slice(0, MOST_BLOBS).map((blob) => (
            <Swarm key={blob.digest} blob={blob} hosts={hosts} />
          ))}
        </ul>
      )}
      {blobs.length > MOST_BLOBS && <p class="quiet">and {countText(blobs.length - MOST_BLOBS, 'more blob')}</p>}
    </section>
  );
}

function Swarm({ blob, hosts }: { blob: BlobRow; hosts: ReadonlyMap<string, string> }): JSX.Element {
  const { digest, size, pieces, holders, downloaders, downloading } = blob;
  const shown = downloading.slice(0, MOST_PEERS);
  return (
    <li class="card">
      <h3>
        <a class="mono" href={blobLink(digest)}>
          {shortDigest(digest)}
        </a>
        <Size bytes={size} />
      </h3>
      <p class="quiet number">
        {countText(holders, 'peer has', 'peers have')} all of it, {downloaders} downloading
      </p>
      <ul class="bars">
        {shown.map(([peer, have]) => {
          const host = hosts.get(peer) || peer;
          return (
            <li key={peer}>
              <a href={peerLink(peer)}>{host}</a>
              <Pieces name={host} have={have} of={pieces} />
            </li>
          );
        })}
      </ul>
      {downloaders > shown.length && <p class="quiet">and {countText(downloaders - shown.length, 'more peer')}</p>}
    </li>
  );
}
