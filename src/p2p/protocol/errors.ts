import { codedError } from '../../base/errors.ts';

export const SecretUnusable = codedError('SECRET_UNUSABLE', {
  message: (p: { path: string; why: string }) => `the secret file ${p.path} cannot be used: ${p.why}`,
  todo: 'a secret file holds one line of 32 characters or more (two while it is being replaced: docs/rotation.md) and has mode 0600 (chmod 0600); `hawker token` makes one',
});

/** Of the certificates of `cluster.tls`: which file, and what is wrong with it. */
export const ClusterTlsUnusable = codedError('CLUSTER_TLS_UNUSABLE', {
  message: (p: { setting: string; path: string; why: string }) => `${p.setting} (${p.path}) cannot be used: ${p.why}`,
  todo: 'correct the file that is named; docs/tls.md says how certificates are made, and `hawker doctor` looks at them again',
});

/** A message that is not one of the protocol's: no JSON, too large, of an unknown type, or not of its type's shape. */
export const MessageInvalid = codedError('MESSAGE_INVALID', {
  message: (p: { why: string }) => `a message is not one of the protocol's: ${p.why}`,
  todo: 'check that both sides are Hawker, and which versions they have (`hawker version`)',
});

export const WhoamiFailed = codedError('WHOAMI_FAILED', {
  message: (p: { address: string; why: string }) => `${p.address}: ${p.why}`,
  todo: 'open the piece port to the other members (a firewall?), or set peer.advertise to an address that they can reach',
});

export const SupernodeFaulty = codedError('SUPERNODE_FAULT', {
  message: (p: { faults: number; withinMs: number }) =>
    `the supernode ran into ${p.faults} faults within ${p.withinMs / 1000} s, and gives up`,
  todo: 'this is a fault in Hawker: report the stacks that its log has under this code as a bug; start it again',
});

/** What the operator can do about a process that did not run for a while. */
export const PAUSED_TODO =
  'nothing, if it was meant to (a suspended machine, SIGSTOP); else look for what starves this process of CPU time or memory';

/** Why a supernode turns a registration away or closes a session: code, and what the operator can do about it. */
export const REFUSALS = {
  PROTOCOL_VERSION: 'upgrade the side that the message names',
  NOT_A_MEMBER:
    'give the proxy the join secret of this cluster (cluster.secretFile); `hawker token` on the supernode shows it',
  SECRET_RETIRED:
    'nothing, if the proxy has the present join secret: it registers again by itself; else give it that one (cluster.secretFile) and send it SIGHUP',
  TLS_NEEDED:
    'this cluster speaks TLS: set cluster.tls on that node, and write https:// in its `supernodes` (docs/tls.md)',
  TLS_NOT_OFFERED:
    'that node speaks TLS and this supernode does not: set cluster.tls on the supernode, or take https:// and cluster.tls off that node',
  TLS_FAILED:
    'give both certificates of the same CA (cluster.tls), with the supernode’s name or address among the names of its own; `hawker doctor` on that node says which step fails',
  CERTIFICATE_NEEDED: 'set cluster.tls on that node: sessions are for who has a certificate of this cluster’s CA',
  CERTIFICATE_REFUSED:
    'give that node a certificate of this cluster’s CA that is valid now (cluster.tls), or this supernode the CA that has signed it (cluster.tls.ca)',
  DUPLICATE_ID:
    'two proxies have the same peer id: on the copy, stop it, remove v1/peer-id in its store.dir and start it again',
  BAD_ADDRESS: 'correct peer.advertise: a list of host:port that other members can reach',
  FULL: 'the supernode has as many sessions as it takes; start another one and point some proxies there',
  MESSAGE_INVALID: 'check that both sides are Hawker, and which versions they have',
  MESSAGE_ORDER: 'upgrade the side with the lower version; if both have the same, report it as a bug',
  OLD_EPOCH: 'nothing: the proxy registers again by itself',
  IMPOSSIBLE: 'upgrade the side with the lower version; if both have the same, report it as a bug',
  FLOOD: 'upgrade the side with the lower version; if both have the same, report it as a bug',
  TOO_SLOW: 'check the network between proxy and supernode, and the load of both',
  HOST_REFUSED: 'name the supernode by a loopback address (127.0.0.1, [::1] or localhost), for it listens on one only',
  BROWSER_REFUSED: 'nothing, if it was a page in a browser: only proxies may open a session',
  HELLO_TIMEOUT: 'check the network between proxy and supernode',
  STALE: 'nothing: the proxy registers again by itself',
  REPLACED: 'nothing: the proxy has opened a newer session',
  SUPERNODE_FAULT: "nothing: the proxy registers again by itself; report what the supernode's log says as a bug",
  SHUTTING_DOWN: 'nothing: the proxy registers again by itself when the supernode is back',
} as const;

export type RefusalCode = keyof typeof REFUSALS;
