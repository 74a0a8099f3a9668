import { chartPaths, HEIGHT, SAMPLES } from './chart-paths.ts';
import { sizeText } from './format.ts';
import type { Snapshot } from './model.ts';
import { h, type JSX } from './preact.js';
import { LABELS, SOURCES } from './sources.ts';

/** Bytes a second to clients, by source. */
export function Chart({ history }: { history: Snapshot['history'] }): JSX.Element {
  const { top, most, last, paths } = chartPaths(history);
  const name = `Bytes a second to clients over the last 15 minutes: at most ${sizeText(most)}/s, now ${sizeText(last)}/s`;
  return (
    <figure>
      <div class="plot">
        <div class="axis number" aria-hidden="true">
          <span>{most === 0 ? '' : `${sizeText(top)}/s`}</span>
          <span>{most === 0 ? '' : `${sizeText(top / 2)}/s`}</span>
          <span>0</span>
        </div>
        <svg viewBox={`0 0 ${SAMPLES} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={name}>
          {(most === 0 ? [HEIGHT] : [0, HEIGHT / 2, HEIGHT]).map((y) => (
            <path key={y} class="grid" d={`M0 ${y}h${SAMPLES}`} />
          ))}
          {SOURCES.map((source, index) => (
            <path key={source} class={source} d={paths[index]} />
          ))}
        </svg>
        <div class="times" aria-hidden="true">
          <span>15 min ago</span>
          <span>10</span>
          <span>5</span>
          <span>now</span>
        </div>
      </div>
      <figcaption class="quiet">
        <span class="legend">
          {SOURCES.map((source) => (
            <span key={source} class={source}>
              {LABELS[source]}
            </span>
          ))}
        </span>
        <span class="number">
          {most === 0 ? 'nothing in the last 15 minutes' : `now ${sizeText(last)}/s, at most ${sizeText(most)}/s`}
        </span>
      </figcaption>
    </figure>
  );
}
