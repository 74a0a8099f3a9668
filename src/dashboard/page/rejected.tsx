import type { RejectedRow } from './model.ts';
import { Ago, Cell, Table, Todo } from './parts.tsx';
import { h, type JSX } from './preact.js';

export function Rejected({ rejected, now }: { rejected: readonly RejectedRow[]; now: number }): JSX.Element {
  return (
    <section aria-labelledby="rejected">
      <h2 id="rejected">Rejected registrations</h2>
      {rejected.length === 0 ? (
        <p class="quiet">None since this supernode was started.</p>
      ) : (
        <Table name="Rejected registrations" heads={['Address', 'Host', 'Code', 'Why', '#Times', 'Last']}>
          {rejected.map((one) => (
            <tr key={`${one.code} ${one.address} ${one.host}`} role="row">
              <Cell label="Address" kind="mono">
                {one.address}
              </Cell>
              <Cell label="Host" kind="name">
                {one.host === '' ? '–' : one.host}
              </Cell>
              <Cell label="Code" kind="mono">
                {one.code}
              </Cell>
              <Cell label="Why" kind="words">
                {one.message}
                <Todo>{one.todo}</Todo>
              </Cell>
              <Cell label="Times" kind="number">
                {one.count}
              </Cell>
              <Cell label="Last" kind="time">
                <Ago time={one.at} now={now} />
              </Cell>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}
