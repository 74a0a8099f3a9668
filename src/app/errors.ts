import { codedError, codeOf, type CodedError } from '../base/errors.ts';

export const PartStartTimeout = codedError('START_TIMEOUT', {
  message: (p: { part: string; boundMs: number }) => `${p.part} did not start within ${p.boundMs} ms`,
  todo: 'look at the log above; --log-level debug says more',
});

export const AlreadyStopping = codedError('STOPPING', {
  message: (p: { part: string }) => `${p.part} was not started: Hawker is stopping`,
  todo: 'start it again',
});

/** A cluster becomes open, or closed. */
export const MembershipNeedsRestart = codedError('MEMBERSHIP_NEEDS_RESTART', {
  message: (p: { now: string }) =>
    `cluster.secretFile: this process was started ${p.now}, and keeps to that until it is restarted`,
  todo: 'restart it; a join secret that takes the place of another one needs none (docs/rotation.md)',
});

export const AuditUnusable = codedError('AUDIT_UNUSABLE', {
  message: (p: { path: string; why: string }) => `the audit log ${p.path} cannot be used: ${p.why}`,
  todo: 'audit.file is the path of an ordinary file of the user that Hawker runs as, in a directory that is there and that this user may write to',
});

export const ClusterTlsTakenAway = codedError('CLUSTER_TLS_TAKEN_AWAY', {
  message: (_: object) => 'cluster.tls is not set any more, and this process speaks TLS until it is started again',
  todo: 'restart it, when the other nodes of the cluster speak no TLS either; or set cluster.tls again',
});

/** The piece port listens on all addresses of this machine, and it is not to be seen which of them the others reach. */
export const OwnAddressUnknown = codedError('OWN_ADDRESS_UNKNOWN', {
  message: (p: { listen: string; why: string }) =>
    `no address is advertised, and nobody can fetch from this node: peer.listen is ${p.listen}, peer.advertise is empty, the session with the supernode shows no address that others reach (it is within this machine), and ${p.why}`,
  todo: "set peer.advertise (HAWKER_PEER_ADVERTISE) to host:port at which the other nodes reach this one, or name this machine's supernode in `supernodes` by that address",
});

interface ListenParams {
  readonly address: string;
  /** ` (proxy.listen)`, or nothing where the key is not known. */
  readonly key: string;
}

const AddressInUse = codedError('ADDRESS_IN_USE', {
  message: (p: ListenParams) => `another process listens on ${p.address}${p.key}`,
  todo: 'stop that process, or choose another address (--proxy-listen, --peer-listen, --api-listen, --supernode-listen)',
});

const AddressNotAllowed = codedError('ADDRESS_NOT_ALLOWED', {
  message: (p: ListenParams) => `this user may not listen on ${p.address}${p.key}`,
  todo: 'choose a port above 1023, or run as root',
});

const AddressNotHere = codedError('ADDRESS_NOT_HERE', {
  message: (p: ListenParams) => `${p.address}${p.key} is no address of this machine`,
  todo: 'choose one that `ip address` shows, or 127.0.0.1',
});

const LISTEN_ERRORS: Record<string, typeof AddressInUse> = {
  EADDRINUSE: AddressInUse,
  EACCES: AddressNotAllowed,
  EADDRNOTAVAIL: AddressNotHere,
  ENOTFOUND: AddressNotHere,
  EAI_AGAIN: AddressNotHere,
};

/** The coded error for a failed `listen` on `address` (host:port), which the setting `key` asked for; undefined for other errors. */
export function listenError(cause: unknown, address: string, key?: string): CodedError | undefined {
  const Known = LISTEN_ERRORS[codeOf(cause)];
  return Known && new Known({ address, key: key === undefined ? '' : ` (${key})` });
}

/** Sockets were handed down to this process that it cannot make sense of. */
export const SocketsWrong = codedError('SOCKETS_WRONG', {
  message: (p: { why: string }) => `the sockets that were handed down (LISTEN_FDS) cannot be used: ${p.why}`,
  todo: 'give each one of the names mirror, pieces, api, supernode: FileDescriptorName= in the .socket unit (config/systemd)',
});

export const SocketElsewhere = codedError('SOCKET_ELSEWHERE', {
  message: (p: { name: string; host: string; key: string }) =>
    `the socket ${p.name} that was handed down listens on ${p.host}, and ${p.key} is on loopback`,
  todo: (p) =>
    `set ${p.key} to the address of the .socket unit, with what that needs (a join secret), or the unit to loopback`,
});
