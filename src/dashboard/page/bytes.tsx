import { percentText, sizeText } from './format.ts';
import type { Snapshot } from './model.ts';
import { h, type JSX } from './preact.js';

const HEIGHT = 100;
/** As the supernode keeps them (its `MAX_SAMPLES`). */
const SAMPLES = 180;
const SOURCES = ['store', 'peers', 'origin'] as const;
const LABELS = { store: 'from the store', peers: 'from peers', origin: 'from the origin' };

/** What clients got, and from where; what origins sent; the last quarter of an hour. */
export function Bytes({ snapshot }: { snapshot: Snapshot }): JSX.Element {
  const { bytes } = snapshot;
  const sent = bytes.store + bytes.peers + bytes.origin;
  return (
    <section aria-labelledby="bytes">
      <h2 id="bytes">Bytes to clients</h2>
      <dl class="tiles">
        <div class="tile saved">
          <dt>saved</dt>
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
          <dt>read from origins</dt>
          <dd title={`${bytes.read} bytes`}>{sizeText(bytes.read)}</dd>
          <dd class="quiet">by all peers</dd>
        </div>
      </dl>
      <Chart history={snapshot.history} />
    </section>
  );
}

function Chart({ history }: { history: Snapshot['history'] }): JSX.Element {
  const rates = history.map(([at, ...bytes], index) => {
    const before = history[index - 1]?.[0] ?? at - 5000;
    return bytes.map((count) => (1000 * count) / Math.max(1, at - before));
  });
  const sums = rates.map(([store = 0, peers = 0, origin = 0]) => store + peers + origin);
  const top = Math.max(0, ...sums);
  const name = `Bytes a second to clients over the last 15 minutes: at most ${sizeText(top)}/s, now ${sizeText(sums.at(-1) ?? 0)}/s`;
  return (
    <figure>
      <svg viewBox={`0 0 ${SAMPLES} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={name}>
        {rates.map((rate, index) => {
          let y = HEIGHT;
          return SOURCES.map((source, number) => {
            const height = top === 0 ? 0 : (HEIGHT * rate[number]!) / top;
            y -= height;
            const x = SAMPLES - rates.length + index;
            return height > 0 && <rect key={`${source}${x}`} class={source} x={x} y={y} width="1" height={height} />;
          });
        })}
      </svg>
      <figcaption class="quiet">
        <span>the last 15 minutes; top: {sizeText(top)}/s</span>
        <span class="legend">
          {SOURCES.map((source) => (
            <span key={source} class={source}>
              {LABELS[source]}
            </span>
          ))}
        </span>
      </figcaption>
    </figure>
  );
}
