/** What each room of src/ is for, in a sentence: for docs/architecture.md. */
export const ROOMS: Readonly<Record<string, string>> = {
  base: 'Coded errors, log, metrics, clock, digests, the cutting of blobs into pieces, units: what everything may use.',
  http: 'Bodies out through reused buffers, ranges, ending a response early, the gate that keeps requests off private addresses, limits of connections, the routes that every service has.',
  config: 'One schema; flag, then variable, then file, then default; the rules that no schema can say.',
  store:
    'Verified blobs on disk within a quota, blobs that come in with their journal, what was read through which repository, the second shelf of containerd. It knows no network.',
  registry:
    'All about origin registries: names, tokens, credentials, redirects, retries, blobs by range. It knows no client and no peer.',
  'p2p/protocol': 'What a proxy and a supernode say to each other, and the port (`Coordinator`) to whoever decides.',
  'p2p/supernode':
    'The swarm and the roster as state machines without sockets and timers; sessions, API and orders to preheat around them.',
  'p2p/peer':
    'The downloads of a node: who reads them, from where, checked how; pieces from and to peers; the session; what a node does alone.',
  dashboard: 'The page that a supernode serves, and its stream of events; `page/` runs in the browser.',
  proxy:
    'The HTTP face of the mirror: which registry, may this client, manifests, blobs, what is passed on, errors as OCI has them.',
  files: 'Any file by its URL (`hawker get`), as a blob among others.',
  app: 'Puts one process together (proxy, supernode, both, the demo), starts and stops it in order, takes up settings again.',
  doctor: 'What `hawker doctor` looks at, a file a check.',
  setup: 'Points the files of a runtime at the mirror, and back, a file a runtime.',
  cli: 'A file a command: parse, call, print.',
};
