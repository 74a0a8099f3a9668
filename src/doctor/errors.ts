import { codedError } from '../base/errors.ts';

export const CheckFault = codedError('DOCTOR_FAULT', {
  message: (p: { why: string }) => `the check itself failed: ${p.why}`,
  todo: 'this is a fault in Hawker: report it, with what it printed',
});

/** Who listens where a part of Hawker is to be. */
export const PortTaken = codedError('PORT_TAKEN', {
  message: (p: { address: string; holder: string; why: string }) =>
    `${p.holder} has ${p.address}, and is not what belongs there: ${p.why}`,
  todo: (p) => `stop it, or give Hawker another address than ${p.address} in its configuration`,
});

export const NotRunning = codedError('NOT_RUNNING', {
  message: (p: { address: string; command: string }) => `nothing listens on ${p.address}`,
  todo: (p) => `start it (\`${p.command}\`); if it was started, its log says why it ended`,
});

/** It listens, and says nothing. */
export const ServiceHangs = codedError('SERVICE_HANGS', {
  message: (p: { address: string; holder: string; why: string }) => `${p.holder} has ${p.address}, and ${p.why}`,
  todo: (p) =>
    /packets are dropped/.test(p.why)
      ? 'look for a firewall on this very node that drops packets to that port (`iptables -S INPUT`, `nft list ruleset`), then for a stopped process'
      : 'look at its log and its load (a stopped process, a disk that hangs?), and start it again',
});

export const OtherConfig = codedError('OTHER_CONFIG', {
  message: (p: { running: string; here: string }) =>
    `the proxy that runs here looks for ${p.running}; this configuration names ${p.here}`,
  todo: 'give `hawker doctor` the flags, variables and --config of the proxy; or restart the proxy, if the file has changed since',
});

/** A supernode beyond loopback wants a token that this configuration has not. */
export const ApiTokenRefused = codedError('OPERATOR_TOKEN_WRONG', {
  message: (p: { url: string; sent: boolean }) =>
    `${p.url} does not tell who is there: it ${p.sent ? 'does not take the token of this configuration' : 'wants a token, and this configuration has none'}`,
  todo: "correct cluster.operatorTokenFile (the supernode's own file has the token), or leave it out: members are told without",
});

export const ApiUnreadable = codedError('SUPERNODE_API_UNREADABLE', {
  message: (p: { url: string; why: string }) => `${p.url} does not tell who is there: ${p.why}`,
  todo: 'check that both sides are Hawker of the same version (`hawker version`), and see the log of the supernode',
});

/** Of this node, or of those that it goes back to. */
export const CertificateEnds = codedError('CERTIFICATE_ENDS', {
  message: (p: { name: string; until: string; left: string }) => `${p.name} ends in ${p.left}, at ${p.until}`,
  todo: 'make a new certificate (docs/tls.md) in the place of the old one: a Hawker that runs takes it up within a minute, or at once on SIGHUP',
});

/** A peer's clock and the supernode's are too far apart. */
export const ClockSkewed = codedError('CLOCK_SKEW', {
  message: (p: { skew: string }) => `this node's clock is ${p.skew} the supernode's`,
  todo: 'set both by NTP (`timedatectl set-ntp true`, chrony), and see which of the two is wrong',
});

export const NoOtherPeers = codedError('NO_OTHER_PEERS', {
  message: (p: { causes: string }) => `no other peer is ready: ${p.causes}`,
  todo: 'run `hawker doctor` on the nodes that are missing: it says which step fails there',
});

export const DialBackFailed = codedError('DIAL_BACK_FAILED', {
  message: (p: { by: string; error: string; port: number; onLoopback: boolean }) =>
    `${p.by} cannot reach this node's piece port: ${p.error}`,
  todo: (p) =>
    p.onLoopback
      ? 'set peer.listen to an address of this node that others reach (10.0.0.5:65002, say): what listens on loopback is for this machine only'
      : `let TCP ${p.port} through from the other nodes to this one (firewall, security group, network policy), or set peer.advertise to an address at which they reach it`,
});

/** A state of this node's peer, as the roster has it, that keeps others from fetching. */
export const NotReady = codedError('PEER_NOT_READY', {
  message: (p: { state: string; since: string; reason: string }) =>
    `it is ${p.state} since ${p.since}${p.reason === '' ? '' : `: ${p.reason}`}`,
  todo: (p) => NOT_READY_TODO[p.state] ?? 'see the log of the supernode',
});

const NOT_READY_TODO: Readonly<Record<string, string>> = {
  unreachable:
    'open the piece port to the other nodes, or set peer.advertise to an address at which they reach it; it is tried again by itself',
  stale:
    'see whether the proxy hangs (its log, its load) or the network to the supernode drops packets; it comes back by itself',
  left: 'start the proxy; if it runs, its log and `hawker status` say why it has no session',
};

export const NotRegistered = codedError('PEER_MISSING', {
  message: (p: { peer: string }) => `it knows no peer ${p.peer}`,
  todo: 'see `hawker status`: what keeps the proxy from a session stands there; a supernode that was started anew knows it within seconds',
});

/** Two proxies go by the same id. */
export const IdTaken = codedError('DUPLICATE_ID', {
  message: (p: { peer: string; host: string; from: string }) =>
    `peer id ${p.peer} is taken by another proxy, on ${p.host} (${p.from})`,
  todo: 'on the copy: stop it, remove v1/peer-id in its store.dir, and start it again',
});

export const VersionsDiffer = codedError('VERSIONS_DIFFER', {
  message: (p: { seen: string }) => p.seen,
  todo: 'upgrade the nodes with the lower version: same major versions work together, so one after the other is fine within one',
});

export const RegistrationsFail = codedError('REGISTRATIONS_FAIL', {
  message: (p: { seen: string }) => p.seen,
  todo: (_) => 'see the list with `hawker peers`, and run `hawker doctor` on the nodes that are named',
});
