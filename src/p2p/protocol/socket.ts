/**
 * One end of a session's connection: text messages, in order. `WebSocketEnd` is the one over the network, `socketPair` makes
 * two ends within a process.
 */
export interface SessionSocket {
  /** Bytes that were sent and are not on their way yet. */
  readonly backlog: number;
  /** This end's IP address, as the system gives it (with a scope where it is link-local); undefined: within a process. */
  readonly localAddress?: string | undefined;
  /** Has no effect once it is closed. */
  send(text: string): void;
  /** Ends it in order; `code` 1000 to 4999, `reason` up to 123 bytes (RFC 6455, 7.4). The listener is told like the other end. */
  close(code: number, reason: string): void;
  /** Ends it at once, where the other end does not answer. */
  terminate(): void;
  /** The other end is a member: it may say more than a stranger. */
  proved?(): void;
  /** Called once; nothing that came before is lost. Never calls from within a call. */
  listen(listener: SocketListener): void;
}

export interface SocketListener {
  message(text: string): void;
  /** Called once, whoever ended it. `fault`: what went wrong, where it did not end in order. */
  closed(code: number, reason: string, fault?: string): void;
}

/** Names the code for which a supernode refuses a connection before there is a session, in its HTTP answer. */
export const REFUSAL_HEADER = 'Hawker-Refusal';

/** Closing codes of RFC 6455 and, from 4000 on, Hawker's own. */
export const CLOSE = {
  normal: 1000,
  goingAway: 1001,
  abnormal: 1006,
  policy: 1008,
  tooBig: 1009,
  restart: 1012,
  again: 4000,
} as const;

/**
 * Two ends of one connection within this process. Messages arrive in a later turn of the event loop, as on a network.
 * `localAddress`: which the first end would have on one.
 */
export function socketPair(localAddress?: string): [SessionSocket, SessionSocket] {
  const a = new PairedEnd(localAddress);
  const b = new PairedEnd();
  a.other = b;
  b.other = a;
  return [a, b];
}

type Delivery = { readonly text: string } | { readonly code: number; readonly reason: string };

class PairedEnd implements SessionSocket {
  readonly localAddress: string | undefined;
  readonly backlog = 0;
  other!: PairedEnd;
  #listener: SocketListener | undefined;
  #inbox: Delivery[] = [];
  #isDue = false;
  #closed = false;

  constructor(localAddress?: string) {
    this.localAddress = localAddress;
  }

  send(text: string): void {
    if (!this.#closed) this.other.#deliver({ text });
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.other.#closed = true;
    this.#deliver({ code, reason });
    this.other.#deliver({ code, reason });
  }

  terminate(): void {
    this.close(CLOSE.abnormal, '');
  }

  listen(listener: SocketListener): void {
    this.#listener = listener;
    this.#schedule();
  }

  #deliver(delivery: Delivery): void {
    this.#inbox.push(delivery);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isDue || !this.#listener || this.#inbox.length === 0) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      const due = this.#inbox;
      this.#inbox = [];
      for (const delivery of due) {
        if ('text' in delivery) this.#listener!.message(delivery.text);
        else this.#listener!.closed(delivery.code, delivery.reason);
      }
    });
  }
}
