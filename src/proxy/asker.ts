/** Who asks, as far as the mirror knows. */
export interface Asker {
  /** The client's address; a connection that has just ended has none. */
  readonly address: string;
  /** A client on this machine. */
  readonly isLocal: boolean;
  /** Who has logged in at the mirror, or whose certificate it is; undefined: nobody said. */
  readonly user: string | undefined;
}
