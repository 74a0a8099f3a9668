import type { Account } from '../config/defaults.ts';
import type { SecretLine } from './read-secret.ts';

export type Signal = 'SIGTERM' | 'SIGINT' | 'SIGHUP';

/** The process, as far as a command needs it. `main.ts` has the real one; nothing else touches argv, environment, signals or exit. */
export interface ProcessPort {
  /** Its own id. */
  readonly pid?: number;
  /** Without the program's own name. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly account: Account;
  /** The working directory. */
  readonly directory: string;
  /** Standard output is a terminal, on which a person reads. */
  readonly isTerminal: boolean;
  /** Its width now; undefined: not known. */
  columns?(): number | undefined;
  /** Writes to standard output. */
  print(text: string): void;
  /** Writes bytes to standard output; resolves when they have been taken, rejects where nobody takes them any more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Writes to standard error. */
  complain(text: string): void;
  /** Asks the person at the terminal, and gives the line that they type. Absent: nobody can be asked. */
  readonly ask?: (question: string) => Promise<string>;
  /** One line of standard input; a person is asked, and what is typed is not shown. */
  readSecret(question: string): Promise<SecretLine>;
  onSignal(signal: Signal, listener: () => void): void;
  /** What nobody caught: the process is in no known state any more. Replaces the listener before. */
  onCrash(listener: (error: unknown) => void): void;
  /** The terminal that the process was started on has been closed. */
  terminalGone(): boolean;
  exit(status: number): void;
  /**
   * Runs this same command in a process of its own, with these variables more, and gives its exit status. Signals go on to it,
   * and when this process is gone it is told to end. Absent: not possible here.
   */
  rerun?(environment: Readonly<Record<string, string>>): Promise<number>;
}
