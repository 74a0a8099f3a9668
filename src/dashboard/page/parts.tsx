import { agoText, sizeText, timeText } from './format.ts';
import { StateIcon } from './icon.tsx';
import { h, type ComponentChildren, type JSX } from './preact.js';

/** Head and cells say what they are: on a narrow screen the style takes the table apart, and with it what browsers know of it. */
export function Table(props: {
  name: string;
  /** Texts in brackets are read out only; those with a `#` before them stand over numbers. */
  heads: readonly (string | JSX.Element)[];
  children: ComponentChildren;
}): JSX.Element {
  return (
    <table role="table" aria-label={props.name}>
      <thead role="rowgroup">
        <tr role="row">
          {props.heads.map((head) =>
            typeof head === 'string' ? (
              <th key={head} role="columnheader" scope="col" class={head.startsWith('#') ? 'number' : ''}>
                {head.startsWith('(') ? <span class="hidden">{head.slice(1, -1)}</span> : head.replace('#', '')}
              </th>
            ) : (
              head
            ),
          )}
        </tr>
      </thead>
      <tbody role="rowgroup">{props.children}</tbody>
    </table>
  );
}

/** `label` stands beside it where the table is taken apart. */
export function Cell(props: { label: string; kind?: string; children: ComponentChildren }): JSX.Element {
  return (
    <td role="cell" data-label={props.label} class={props.kind ?? ''}>
      {props.children}
    </td>
  );
}

export function State({ state }: { state: string }): JSX.Element {
  return (
    <span class={`state ${state}`}>
      <StateIcon state={state} />
      {state}
    </span>
  );
}

/** What to do about something. Words between backticks are to be typed. */
export function Todo({ children }: { children: string }): JSX.Element {
  return (
    <p class="todo">
      <b>To do:</b>{' '}
      {children.split('`').map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}
    </p>
  );
}

export function Ago({ time, now }: { time: string; now: number }): JSX.Element {
  return (
    <time dateTime={time} title={timeText(time)}>
      {agoText(time, now)}
    </time>
  );
}

/** How many pieces of a blob somebody has. */
export function Pieces(props: { name: string; have: number; of: number | null }): JSX.Element {
  const { name, have, of } = props;
  const text = of === null ? `${have} pieces` : `${have} of ${of} pieces`;
  return (
    <span class="pieces">
      <progress max={of ?? 1} value={of === null ? 0 : have} aria-label={`${name}: ${text}`} title={text} />
      <span class="number" aria-hidden="true">
        {have}
        {of === null ? '' : ` / ${of}`}
      </span>
    </span>
  );
}

export function Size({ bytes }: { bytes: number | null }): JSX.Element {
  return bytes === null ? (
    <span class="quiet">size unknown</span>
  ) : (
    <span title={`${bytes} bytes`} class="number">
      {sizeText(bytes)}
    </span>
  );
}
