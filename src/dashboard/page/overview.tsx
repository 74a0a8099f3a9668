import { Attention } from './attention.tsx';
import { Bytes } from './bytes.tsx';
import { countText } from './format.ts';
import { StateIcon } from './icon.tsx';
import { PeerTable } from './peer-table.tsx';
import { h, type JSX } from './preact.js';
import { Preheats } from './preheats.tsx';
import { Rejected } from './rejected.tsx';
import { Swarms } from './swarms.tsx';
import type { Update, ViewState } from './view-state.ts';

const STATES = ['ready', 'unreachable', 'stale', 'left', 'rejected'] as const;

export function Overview({ state, update }: { state: ViewState; update: Update }): JSX.Element {
  const snapshot = state.snapshot!;
  const { counts, swarm } = snapshot;
  return (
    <div>
      <h1 tabIndex={-1}>{countText(counts.ready, 'peer')} ready</h1>
      <ul class="counts" aria-label="Peers by state">
        {STATES.map((name) => (
          <li key={name} class={`state ${name} ${counts[name] === 0 ? 'none' : ''}`}>
            <StateIcon state={name} />
            <b>{counts[name].toLocaleString('en')}</b> {name}
          </li>
        ))}
        <li class="quiet number">
          {countText(swarm.blobs, 'blob')} known, {countText(swarm.transfers, 'piece')} on the way,{' '}
          {countText(swarm.leases, 'origin read')}
        </li>
      </ul>
      <Attention snapshot={snapshot} now={state.now} />
      <Bytes snapshot={snapshot} />
      <Swarms snapshot={snapshot} />
      <PeerTable state={state} update={update} />
      <Rejected rejected={snapshot.rejected} now={state.now} />
      <Preheats preheats={snapshot.preheats} now={state.now} />
    </div>
  );
}
