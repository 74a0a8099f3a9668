import { Type, type SchemaOptions, type Static, type TSchema } from '@sinclair/typebox';
import { LOG_LEVELS, type LogLevel } from '../base/log.ts';
import { FORMATS, type FormatName } from './formats.ts';

/**
 * The one schema of the configuration, as it is written. From it come the checks, the table of settings (settings.ts:
 * variables, flags, help) and the types. Each setting says what it is (`what`), what is allowed (`allowed`), and, where a
 * person sets it by hand, its `flag`.
 */
export interface Annotations extends SchemaOptions {
  readonly what: string;
  readonly allowed: string;
  readonly flag?: string;
}

export const LOG_FORMATS = ['auto', 'json', 'pretty'] as const;

/** What the protocol carries. */
const MAX_ADVERTISED = 8;

const closed = { additionalProperties: false };

function text(format: FormatName, options: Omit<SchemaOptions, 'format'> = {}) {
  const { what, allowed } = FORMATS[format];
  return Type.String({ format, what, allowed, ...options });
}

function choice<T extends string>(values: readonly T[], options: SchemaOptions) {
  return Type.Unsafe<T>(
    Type.String({ enum: values, what: 'one of the choices', allowed: values.join(', '), ...options }),
  );
}

function list(format: FormatName, options: SchemaOptions) {
  const { what, allowed } = FORMATS[format];
  return Type.Array(text(format), { what: `a list (each ${what})`, allowed: `a list, each ${allowed}`, ...options });
}

function map(what: string, properties: Record<string, TSchema>): SchemaOptions {
  return { ...closed, what, allowed: `a map with ${Object.keys(properties).join(', ')}` };
}

function flag(description: string, options: SchemaOptions = {}) {
  return Type.Boolean({ what: 'true or false', allowed: 'true or false', description, ...options });
}

const listenerProperties = {
  listen: text('address', { description: 'an address of its own' }),
  upstream: Type.Optional(
    text('registry', {
      description: 'the registry that everything pulled there comes from (default: all, as at proxy.listen)',
    }),
  ),
  login: Type.Optional(flag('true: ask clients there to log in at the mirror')),
  tls: Type.Optional(flag('false: plain HTTP there, whatever proxy.tls says')),
};
const Listener = Type.Object(listenerProperties, map('a listener', listenerProperties));

const ruleProperties = {
  users: list('user', { description: 'who: names, with * for a part; loopback: each client on this machine' }),
  repositories: list('repositories', {
    description: 'what: host/name, * for a part of a name, ** for any number of them',
  }),
};
const Rule = Type.Object(ruleProperties, map('a rule', ruleProperties));

const mirrorTls = {
  cert: text('path', {
    default: '',
    flag: 'proxy-tls-cert',
    description: 'a PEM file with the certificate of the mirror, which then speaks TLS; empty: plain HTTP',
  }),
  key: text('path', { default: '', flag: 'proxy-tls-key', description: 'its private key, mode 0600' }),
  clientCa: text('path', {
    default: '',
    flag: 'proxy-tls-client-ca',
    description: 'a PEM file: authorities of the certificates by which clients are known; empty: none is asked for',
  }),
};

const upstreamProperties = {
  url: text('origin', { description: 'where the registry is, when not at https://<its name>' }),
  username: Type.String({
    minLength: 1,
    what: 'a user name',
    allowed: 'a text that is not empty',
    description: 'with passwordFile',
  }),
  passwordFile: text('path', { description: 'a file with the password or access token, mode 0600' }),
  dockerConfig: text('path', { description: "a docker config.json with this registry's credentials" }),
  credentialHelper: text('helper', { description: 'a docker-credential-<name> program on the PATH' }),
  ca: text('path', { description: 'a PEM file: certificates to trust besides the public ones' }),
  insecure: flag('true: do not check the TLS certificate'),
  allow: Type.Array(text('reach'), {
    what: 'a list',
    allowed: 'a list of hosts, IP addresses and CIDRs',
    description: 'private addresses that its redirects and tokens may come from',
  }),
  egressProxy: text('egress', { description: 'the HTTP proxy through which the registry is reached' }),
};
const Upstream = Type.Partial(Type.Object(upstreamProperties, closed), {
  ...map('the settings of a registry', upstreamProperties),
  allowed: 'a map of settings ({} for none), or false to take it off the built-in list',
});

const tlsProperties = {
  cert: text('path', {
    default: '',
    flag: 'cluster-tls-cert',
    description:
      "this node's certificate (PEM) for mutual TLS within the cluster, with cluster.tls.key and .ca; empty: no TLS",
  }),
  key: text('path', {
    default: '',
    flag: 'cluster-tls-key',
    description: "its private key (PEM), which only Hawker's user may read",
  }),
  ca: text('path', {
    default: '',
    flag: 'cluster-tls-ca',
    description: "the cluster's own CA (PEM); several while one takes over from another",
  }),
};

const sections = {
  proxy: section({
    listen: text('address', {
      default: '127.0.0.1:65001',
      flag: 'proxy-listen',
      description: 'where clients pull: the mirror',
    }),
    listeners: Type.Array(Listener, {
      default: [],
      what: 'a list of listeners',
      allowed: 'a list of { listen, upstream, login, tls }',
      description: 'further addresses; with upstream for one registry',
    }),
    defaultUpstream: text('registry', {
      default: 'docker.io',
      flag: 'default-upstream',
      description: 'the registry of a request that names none',
    }),
    staleTags: text('time', {
      default: '24h',
      flag: 'stale-tags',
      description: 'how long the last known digest of a tag may be used while its registry fails',
    }),
    names: list('host', {
      default: [],
      flag: 'proxy-names',
      description: 'names, besides localhost, that clients on this machine use for the mirror',
    }),
    tls: section(mirrorTls),
    usersFile: text('path', {
      default: '',
      flag: 'proxy-users-file',
      description: 'who may log in at the mirror: lines name:hash (`hawker password` makes them); empty: nobody',
    }),
    login: flag('true: ask every client at proxy.listen to log in at the mirror; never where dockerd is a client', {
      default: false,
    }),
    rules: Type.Array(Rule, {
      default: [],
      what: 'a list of rules',
      allowed: 'a list of { users, repositories }',
      description: 'who may read what with the configured credentials',
    }),
  }),
  peer: section({
    listen: text('address', {
      default: '127.0.0.1:65002',
      flag: 'peer-listen',
      description: 'where other nodes fetch pieces; 0.0.0.0:65002 fits all; beyond loopback only with a join secret or cluster.tls',
    }),
    advertise: list('endpoint', {
      default: [],
      maxItems: MAX_ADVERTISED,
      flag: 'peer-advertise',
      description: 'where other nodes reach the piece port, when that is another address',
    }),
    zone: text('zone', {
      default: '',
      flag: 'peer-zone',
      description: 'nodes of the same zone fetch from each other first; empty: none',
    }),
    uploadLimit: text('rate', {
      default: '',
      flag: 'peer-upload-limit',
      description: 'bytes a second to other nodes, as in 100MB; empty: no limit',
    }),
    downloadLimit: text('rate', {
      default: '',
      flag: 'peer-download-limit',
      description: 'bytes a second from other nodes, as in 100MB; empty: no limit',
    }),
    uploadSlots: text('slots', {
      default: '4',
      flag: 'peer-upload-slots',
      description: 'how many pieces are sent at the same time',
    }),
  }),
  api: section({
    listen: text('address', {
      default: '127.0.0.1:65003',
      flag: 'api-listen',
      description: 'status, health and metrics; loopback only',
    }),
  }),
  supernode: section({
    listen: text('address', {
      default: '127.0.0.1:6789',
      flag: 'supernode-listen',
      description: 'where proxies find the supernode; beyond loopback only with a join secret or cluster.tls',
    }),
    heartbeat: text('heartbeat', {
      default: '5s',
      flag: 'supernode-heartbeat',
      description: 'how often proxies say that they live; after three missed ones they are stale',
    }),
  }),
  cluster: section({
    secretFile: text('path', {
      default: '',
      flag: 'cluster-secret-file',
      description: 'the join secret that all nodes share (`hawker token` makes it); empty: none',
    }),
    operatorTokenFile: text('path', {
      default: '',
      flag: 'cluster-operator-token-file',
      description:
        "the token that opens a supernode's API to operators (`hawker token --operator` makes it); empty: none",
    }),
    tls: Type.Partial(section(tlsProperties)),
  }),
  store: section({
    dir: text('path', {
      default: '',
      flag: 'store-dir',
      description: 'where blobs are kept; empty: /var/lib/hawker for root, else ~/.local/share/hawker',
    }),
    quota: text('size', { default: '20GiB', flag: 'store-quota', description: 'how much disk the store may take' }),
    containerd: text('path', {
      default: '',
      flag: 'store-containerd',
      description: "containerd's root, whose images are then shared too (/var/lib/containerd); empty: none",
    }),
  }),
  audit: section({
    file: text('path', {
      default: '',
      flag: 'audit-file',
      description: 'where it is written who read what of private repositories; empty: nowhere',
    }),
  }),
  files: section({
    allow: list('files', {
      default: [],
      flag: 'files-allow',
      description: 'the URLs that `hawker get` may fetch through this node; none: it fetches nothing',
    }),
    ca: text('path', {
      default: '',
      description: 'a PEM file: certificates of file servers to trust besides the public ones; empty: none',
    }),
  }),
  log: section({
    level: choice<LogLevel>(LOG_LEVELS, {
      default: 'info',
      flag: 'log-level',
      description: 'the least that is logged',
    }),
    format: choice(LOG_FORMATS, {
      default: 'auto',
      flag: 'log-format',
      description: 'auto: pretty on a terminal, else JSON',
    }),
  }),
};

function section<P extends Record<string, TSchema>>(properties: P) {
  return Type.Object(properties, map('a section', properties));
}

const Supernodes = list('supernode', {
  flag: 'supernodes',
  description: 'where the supernode is (default: on this machine); of several, the first that is up is used',
});

const Upstreams = Type.Unsafe<Record<string, Static<typeof Upstream>>>({
  type: 'object',
  propertyNames: { type: 'string', format: 'upstream', what: FORMATS.upstream.what, allowed: FORMATS.upstream.allowed },
  additionalProperties: Upstream,
  what: 'a map',
  allowed: 'a map of registry hosts to their settings',
  description: 'the registries that may be pulled from',
});

/** What one layer (a file, the environment, the flags) may say: any part of it. */
export const ConfigSchema = Type.Partial(
  Type.Object({
    proxy: Type.Partial(Type.Object({ ...sections.proxy.properties, tls: Type.Partial(section(mirrorTls)) }, closed), {
      ...map('a section', sections.proxy.properties),
    }),
    peer: Type.Partial(sections.peer),
    api: Type.Partial(sections.api),
    supernode: Type.Partial(sections.supernode),
    supernodes: Supernodes,
    cluster: Type.Partial(sections.cluster),
    store: Type.Partial(sections.store),
    upstreams: Upstreams,
    audit: Type.Partial(sections.audit),
    files: Type.Partial(sections.files),
    log: Type.Partial(sections.log),
  }),
  { ...map('the configuration', { ...sections, supernodes: Supernodes, upstreams: Upstreams }) },
);

/** A layer as it is written. */
export type WrittenSettings = Readonly<Omit<Static<typeof ConfigSchema>, 'upstreams'>> & {
  /** `false` takes one off the built-in list, at `*` all of them. */
  readonly upstreams?: Readonly<Record<string, Static<typeof Upstream> | false>>;
};

/** All layers together, as written: every key that has a default is there. */
export interface Settings {
  proxy: Static<typeof sections.proxy>;
  peer: Static<typeof sections.peer>;
  api: Static<typeof sections.api>;
  supernode: Static<typeof sections.supernode>;
  /** Absent: the one at `supernode.listen`. */
  supernodes?: Static<typeof Supernodes>;
  cluster: Omit<Static<typeof sections.cluster>, 'tls'> & { tls: Record<keyof typeof tlsProperties, string> };
  store: Static<typeof sections.store>;
  upstreams: Static<typeof Upstreams>;
  audit: Static<typeof sections.audit>;
  files: Static<typeof sections.files>;
  log: Static<typeof sections.log>;
}
