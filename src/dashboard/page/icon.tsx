import { h, type JSX } from './preact.js';

/** In a square of 16: what is said by colour and word is said by a shape, too. */
const SHAPES: Readonly<Record<string, string>> = {
  ready: 'M4.5 8.4l2.4 2.4 4.6-5.2',
  done: 'M4.5 8.4l2.4 2.4 4.6-5.2',
  running: 'M8 4.5v6.6M5 8.4l3 3 3-3',
  unreachable: 'M4 12l8-8',
  stale: 'M8 4.4V8l2.4 1.6',
  left: 'M5 8h6',
  rejected: 'M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2',
  failed: 'M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2',
};

export function StateIcon({ state }: { state: string }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <circle cx="8" cy="8" r="6.5" />
      <path d={SHAPES[state] ?? ''} />
    </svg>
  );
}

/** A dragonfly. */
export function Mark(): JSX.Element {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path d="M16 5v23M16 11 4 7m12 4 12-4M16 15 5 18m11-3 11 3" />
      <circle cx="16" cy="5" r="3" />
    </svg>
  );
}
