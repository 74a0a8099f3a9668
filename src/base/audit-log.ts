import type { Audit, AuditEvent } from './audit.ts';
import type { Clock } from './clock.ts';
import { networkOf, plainAddress } from './networks.ts';

/** Denied attempts that have lines of their own in a minute, of one address and of all; the rest is summed up. */
export const DENIED_LINES_PER_ADDRESS = 20;
export const DENIED_LINES = 200;
/** Sums in a minute, each of one role, address and code; what does not fit is summed without its address. */
export const MAX_SUMS = 200;
const MINUTE_MS = 60_000;
/** Longer texts are cut: some are what a stranger has sent. In characters. */
const MAX_TEXT = 300;
/** A token that was given where a name belongs (`x-oauth-basic` and the like) would be a long run of these. */
const TOKEN_LIKE = /[A-Za-z0-9_]{32,}/;
const OTHERS = 'others';

interface Sum {
  readonly role: string;
  readonly client: string;
  readonly code: string | undefined;
  readonly since: number;
  count: number;
}

/** Who writes it, on every line. */
export interface AuditNode {
  readonly host: string;
  /** Its id in the cluster, once it is known. */
  peer?: string | undefined;
}

/**
 * Turns decisions into lines of JSON. What was allowed has a line each: whoever is allowed has shown who they are. What was denied
 * has so up to a rate, so that a stranger cannot fill the disk; beyond it there is a line for each address, role and code at the end of the minute.
 */
export class AuditLog implements Audit {
  readonly node: AuditNode;
  readonly #clock: Clock;
  /** Takes a line, with its end; undefined: the log is off. */
  write: ((line: string) => void) | undefined;
  readonly #lines = new Map<string, number>();
  #allLines = 0;
  #sums = new Map<string, Sum>();
  #minute = 0;
  #cancel: (() => void) | undefined;

  constructor({ clock, node }: { clock: Clock; node: AuditNode }) {
    this.#clock = clock;
    this.node = node;
  }

  record(event: AuditEvent): void {
    if (!this.write) return;
    const client = plainAddress(event.client ?? 'unknown');
    if (event.decision === 'denied' && !this.#hasLine(client)) this.#sum(event, client);
    else this.#write({ ...event, client, identity: nameOf(event.identity), subject: nameOf(event.subject) });
  }

  /** Writes the sums that are not written yet. */
  flush(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const sums = this.#sums;
    this.#sums = new Map();
    for (const { role, client, code, since, count } of sums.values()) {
      this.#write({ role, client, decision: 'denied', code, count, since: new Date(since).toISOString() });
    }
  }

  #hasLine(client: string): boolean {
    const minute = Math.floor(this.#clock.monotonic() / MINUTE_MS);
    if (minute !== this.#minute) {
      this.flush();
      this.#minute = minute;
      this.#lines.clear();
      this.#allLines = 0;
    }
    if (this.#allLines >= DENIED_LINES) return false;
    const network = networkOf(client);
    const lines = this.#lines.get(network) ?? 0;
    if (lines >= DENIED_LINES_PER_ADDRESS) return false;
    this.#lines.set(network, lines + 1);
    this.#allLines += 1;
    return true;
  }

  #sum({ role, code }: AuditEvent, client: string): void {
    const network = networkOf(client);
    const keyOf = (whose: string) => `${role} ${whose} ${code}`;
    const whose = this.#sums.has(keyOf(network)) || this.#sums.size < MAX_SUMS ? network : OTHERS;
    const sum = this.#sums.get(keyOf(whose));
    if (sum) sum.count += 1;
    else this.#sums.set(keyOf(whose), { role, client: whose, code, since: this.#clock.now(), count: 1 });
    const left = MINUTE_MS - (this.#clock.monotonic() % MINUTE_MS);
    this.#cancel ??= this.#clock.after(left, () => this.flush());
  }

  #write(fields: Readonly<Record<string, unknown>>): void {
    const line = { time: new Date(this.#clock.now()).toISOString(), ...this.node, ...fields };
    this.write?.(`${JSON.stringify(line, cut)}\n`);
  }
}

function cut(_key: string, value: unknown): unknown {
  return typeof value === 'string' && value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}…` : value;
}

function nameOf(name: string | undefined): string | undefined {
  return name !== undefined && TOKEN_LIKE.test(name) ? '[hidden: it may be a token]' : name;
}
