/** A host of the rig: a network namespace with one link, shaped both ways. */
export interface Host {
  readonly name: string;
  /** IPv4, without a prefix. */
  readonly address: string;
}

/** Arguments of nsenter(1) that run the command that follows in a host's namespace. */
export function within({ name }: Pick<Host, 'name'>): string[] {
  return [`--net=/run/netns/${name}`, '--'];
}
