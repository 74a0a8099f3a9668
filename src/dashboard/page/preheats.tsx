import type { PreheatRow } from './model.ts';
import { Ago, Cell, State, Table } from './parts.tsx';
import { h, type JSX } from './preact.js';

export function Preheats({ preheats, now }: { preheats: readonly PreheatRow[]; now: number }): JSX.Element | null {
  if (preheats.length === 0) return null;
  return (
    <section aria-labelledby="preheats">
      <h2 id="preheats">Preheats</h2>
      <Table name="Preheats" heads={['Image', 'State', 'Peers', 'Ordered']}>
        {preheats.map(({ id, image, state, at, counts }) => (
          <tr key={id} role="row">
            <Cell label="Image" kind="mono words">
              {image}
            </Cell>
            <Cell label="State">
              <State state={state} />
            </Cell>
            <Cell label="Peers">
              {Object.entries(counts)
                .filter(([, count]) => count > 0)
                .map(([name, count]) => `${count} ${name}`)
                .join(', ')}
            </Cell>
            <Cell label="Ordered" kind="time">
              <Ago time={at} now={now} />
            </Cell>
          </tr>
        ))}
      </Table>
    </section>
  );
}
