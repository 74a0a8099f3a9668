import { Chart } from './chart.tsx';
import { percentText, sizeText } from './format.ts';
import type { Snapshot } from './model.ts';
import { h, type JSX } from './preact.js';
import { LABELS, SOURCES } from './sources.ts';

/** What clients got, and from where; what origins sent; the last quarter of an hour. */
export function Bytes({ snapshot }: { snapshot: Snapshot }): JSX.Element {
  const { bytes } = snapshot;
  const sent = bytes.store + bytes.peers + bytes.origin;
  return (
    <section aria-labelledby="bytes">
      <h2 id="bytes">Bytes to clients</h2>
      <dl class="tiles">
        <div class="tile saved">
          <dt>Saved</dt>
          <dd title={`${bytes.saved} bytes`}>{sizeText(bytes.saved)}</dd>
          <dd class="quiet">{percentText(bytes.saved, sent)} of what clients got</dd>
        </div>
        {SOURCES.map((source) => (
          <div key={source} class={`tile ${source}`}>
            <dt>{LABELS[source]}</dt>
            <dd title={`${bytes[source]} bytes`}>{sizeText(bytes[source])}</dd>
            <dd class="quiet">{percentText(bytes[source], sent)}</dd>
          </div>
        ))}
        <div class="tile read">
          <dt>Read from origins</dt>
          <dd title={`${bytes.read} bytes`}>{sizeText(bytes.read)}</dd>
          <dd class="quiet">by all peers</dd>
        </div>
      </dl>
      <Chart history={snapshot.history} />
    </section>
  );
}
