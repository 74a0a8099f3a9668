/** A host of the rig: a network namespace with one link. */
export interface Host {
  readonly name: string;
  /** IPv4, without a prefix. */
  readonly address: string;
  /** A file that its programs see as /etc/resolv.conf; undefined: the machine's own. */
  readonly resolvConf?: string;
}

/** As ip-netns(8) does it with /etc/netns, but with a file anywhere; its name is the host's, for what says where it runs. */
const ENTER = `
echo "$1" > /proc/sys/kernel/hostname
mount --bind "$2" /etc/resolv.conf
shift 2
exec "$@"
`;

/** Arguments of nsenter(1) that run the command that follows on a host. Nothing forks: its pid is that of the nsenter. */
export function within({ name, resolvConf }: Pick<Host, 'name' | 'resolvConf'>): string[] {
  const network = [`--net=/run/netns/${name}`, '--'];
  if (resolvConf === undefined) return network;
  return [...network, 'unshare', '--mount', '--uts', 'sh', '-ec', ENTER, 'host', name, resolvConf];
}
