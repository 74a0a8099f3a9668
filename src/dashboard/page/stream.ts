import { applyChange, type Change, type Snapshot } from './model.ts';

/** After an answer that ends a stream for good (no room, no right): a browser does not ask again by itself then. */
const ASK_AGAIN_MS = 5000;
/** Without a word for so long (the supernode says something every 15 s) the connection is dead, although nobody has closed it. */
const SILENCE_MS = 40_000;

/** What is used of a browser's EventSource (HTML standard, 9.2.2). */
export interface Source {
  readonly readyState: number;
  addEventListener(name: string, listener: (event: { readonly data?: unknown }) => void): void;
  close(): void;
}

/** Of `readyState`. */
const CLOSED = 2;

export interface StreamOptions {
  readonly open: () => Source;
  /** It is there, or has changed: all of it. */
  readonly onSnapshot: (snapshot: Snapshot) => void;
  readonly onHeard: () => void;
  /** Called again and again while nothing comes of it. */
  readonly onLost: () => void;
  readonly askAgainMs?: number;
  readonly silenceMs?: number;
}

/** Listens to the supernode's events, and again whenever they end or nothing is heard. Gives what stops it. */
export function listen(options: StreamOptions): () => void {
  const { open, onSnapshot, onHeard, onLost, askAgainMs = ASK_AGAIN_MS, silenceMs = SILENCE_MS } = options;
  let source: Source | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = (inMs: number) => {
    source?.close();
    source = undefined;
    clearTimeout(timer);
    timer = setTimeout(begin, inMs);
  };
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      onLost();
      again(0);
    }, silenceMs);
  };
  const begin = () => {
    const own = open();
    source = own;
    let snapshot: Snapshot | undefined;
    wait();
    const hear = (name: string, take: (what: unknown) => void) =>
      own.addEventListener(name, ({ data }) => {
        if (own !== source) return;
        wait();
        onHeard();
        take(JSON.parse(data as string));
      });
    hear('snapshot', (what) => onSnapshot((snapshot = what as Snapshot)));
    hear('change', (what) => snapshot && onSnapshot((snapshot = applyChange(snapshot, what as Change))));
    hear('beat', () => undefined);
    own.addEventListener('error', () => {
      if (own !== source) return;
      onLost();
      if (own.readyState === CLOSED) again(askAgainMs);
    });
  };
  begin();
  return () => {
    clearTimeout(timer);
    source?.close();
    source = undefined;
  };
}
