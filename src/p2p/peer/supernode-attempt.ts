import type { Clock } from '../../base/clock.ts';
import { asError } from '../../base/errors.ts';
import type { Membership } from '../protocol/membership.ts';
import { CLOSE } from '../protocol/socket.ts';
import { SupernodeLost } from './session-errors.ts';
import type { SelfDescription } from './session-hello.ts';
import { SessionLink, type LinkListener } from './session-link.ts';
import type { Candidate } from './supernode-dial.ts';

/** What attempts are made with. */
export interface AttemptContext {
  /** Asked at each attempt, with the local address of its connection. */
  readonly self: (localAddress: string | undefined) => SelfDescription;
  readonly membership: Membership;
  readonly clock: Clock;
  /** What becomes of the session once it is open. */
  readonly session: LinkListener;
}

export interface AttemptListener {
  /** A supernode is there, and waits for this proxy's `hello`. */
  held(attempt: Attempt): void;
  opened(attempt: Attempt): void;
  /** Once, and not after `opened` nor after `stop`. */
  failed(attempt: Attempt, error: Error): void;
}

/** One try to open a session at one address: up to the supernode's first message by itself, on from there when it is told to. */
export class Attempt {
  readonly address: string;
  /** When the supernode answered, on the monotonic clock. */
  heldAt = 0;
  phase: 'opening' | 'held' | 'asked' | 'over' = 'opening';
  #link: SessionLink | undefined;
  readonly #stop = new AbortController();
  readonly #context: AttemptContext;
  readonly #listener: AttemptListener;

  constructor(candidate: Candidate, context: AttemptContext, listener: AttemptListener) {
    this.address = candidate.address;
    this.#context = context;
    this.#listener = listener;
    void this.#open(candidate);
  }

  /** Of the supernode's present life; '' before it is known. */
  get epoch(): string {
    return this.#link?.epoch ?? '';
  }

  /** Registers with the supernode that is held. */
  hello(): void {
    if (this.phase !== 'held') return;
    this.phase = 'asked';
    this.#link!.hello();
  }

  /** Gives it up, in order where there is a connection. */
  stop(): void {
    if (this.phase === 'over') return;
    this.phase = 'over';
    this.#stop.abort(new SupernodeLost({ address: this.address, why: 'this proxy gave the attempt up' }));
    this.#link?.goodbye('this proxy gave the attempt up');
  }

  async #open(candidate: Candidate): Promise<void> {
    let socket;
    try {
      socket = await candidate.open(this.#stop.signal);
    } catch (error) {
      this.#failed(asError(error));
      return;
    }
    if (this.#stop.signal.aborted) {
      socket.close(CLOSE.normal, '');
      return;
    }
    const { self, membership, clock, session } = this.#context;
    let wasOpen = false;
    const listener: LinkListener = {
      held: () => {
        this.phase = 'held';
        this.heldAt = clock.monotonic();
        this.#listener.held(this);
      },
      opened: (link, welcome) => {
        wasOpen = true;
        this.phase = 'over';
        this.#listener.opened(this);
        session.opened(link, welcome);
      },
      message: (link, message) => session.message(link, message),
      ended: (link, error) => {
        if (wasOpen) session.ended(link, error);
        else this.#failed(error);
      },
      doubted: (link, inDoubt) => session.doubted?.(link, inDoubt),
      paused: (link, ms) => session.paused?.(link, ms),
    };
    const { address } = this;
    const about = self(socket.localAddress);
    this.#link = new SessionLink({ address, socket, self: about, membership, clock, listener, hold: true });
  }

  #failed(error: Error): void {
    if (this.phase === 'over') return;
    this.phase = 'over';
    this.#listener.failed(this, error);
  }
}
