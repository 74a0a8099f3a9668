import { codedError } from '../base/errors.ts';

// --- the request itself is wrong ---

export const NameInvalid = codedError('NAME_INVALID', {
  message: (p: { seen: string }) => `not a repository path: ${p.seen}`,
  todo: 'a path is /v2/<name>/manifests/<tag or digest> or /v2/<name>/blobs/<digest>, the name in lower case, 255 characters at most',
});

export const TagInvalid = codedError('TAG_INVALID', {
  message: (p: { seen: string }) => `not a tag: ${p.seen}`,
  todo: 'a tag has 1 to 128 letters, digits, underscores, dots and dashes, and starts with none of the last two',
});

export const DigestInvalid = codedError('DIGEST_INVALID', {
  message: (p: { seen: string }) => `not a digest: ${p.seen}`,
  todo: 'a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits',
});

export const UrlTooLong = codedError('URL_TOO_LONG', {
  message: (p: { length: number; most: number }) => `the URL has ${p.length} characters, ${p.most} are allowed`,
  todo: 'shorten the URL',
});

export const NamespaceInvalid = codedError('NAMESPACE_INVALID', {
  message: (p: { seen: string }) => `ns does not name one registry: ${p.seen}`,
  todo: 'ns is the host of a registry, with its port if it has one: ns=docker.io',
});

export const NamespaceConflict = codedError('NAMESPACE_CONFLICT', {
  message: (p: { one: string; other: string }) => `the request names two registries, ${p.one} and ${p.other}`,
  todo: 'name the registry by ns, in the path, or by the listener, and where by more than one of them, the same',
});

export const RangesRefused = codedError('RANGES_REFUSED', {
  message: (p: { most: number }) => `the ranges overlap, or are more than ${p.most}`,
  todo: 'ask for fewer ranges, or for the whole blob',
});

export const RangeUnsatisfiable = codedError('RANGE_UNSATISFIABLE', {
  message: (p: { size: number }) => `the range lies outside the blob, which has ${p.size} bytes`,
  todo: 'ask for a range within the blob',
});

export const WriteUnsupported = codedError('WRITE_UNSUPPORTED', {
  message: (p: { method: string }) => `${p.method} is not supported: this is a read-only mirror`,
  todo: 'push to the registry itself; in containerd’s hosts.toml give the mirror the capabilities pull and resolve only',
});

export const CatalogUnsupported = codedError('CATALOG_UNSUPPORTED', {
  message: () => 'a mirror has no catalog of its own, and would not tell one client what others have read',
  todo: 'ask the registry itself',
});

// --- it is right, but not for this mirror or this client ---

export const PathUnknown = codedError('PATH_UNKNOWN', {
  message: (p: { seen: string }) => `nothing is served at ${p.seen}`,
  todo: 'the mirror serves the OCI distribution API under /v2/',
});

export const UpstreamUnknown = codedError('UPSTREAM_UNKNOWN', {
  message: (p: { host: string }) => `${p.host} is not among the upstreams of this mirror`,
  todo: 'add it to upstreams in the configuration, or pull from it directly',
});

export const LoopbackOnly = codedError('LOOPBACK_ONLY', {
  message: (p: { host: string }) =>
    `what is read from ${p.host} with the configured credential goes to clients on this machine, and to those whom a rule names`,
  todo: 'pull from the registry with your own credential, through a mirror on your own machine, or log in at this one',
});

export const RuleMissing = codedError('RULE_MISSING', {
  message: (p: { who: string; host: string; repository: string }) =>
    `no rule lets ${p.who} read ${p.host}/${p.repository} with the configured credential`,
  todo: 'add one to proxy.rules, or pull from the registry with your own credential',
});

/** No word on the name: who guesses is not to learn which part was wrong. */
export const LoginRefused = codedError('LOGIN_REFUSED', {
  message: (p: { tooMany: boolean }) =>
    p.tooMany
      ? 'too many wrong names and passwords came from this address within a minute: none is looked at until it is over'
      : 'no user of the mirror has that name and password',
  todo: 'correct the login that the client sends to the mirror, or the file of proxy.usersFile; then wait a minute',
});

export const LoginsBusy = codedError('LOGINS_BUSY', {
  message: () => 'too many logins are being checked already',
  todo: 'nothing for one moment; if it goes on, look in the log for who sends so many',
});

/** Becomes a 401 that asks for a name and a password of the mirror's own: only on listeners that were told to. */
export const MirrorLoginNeeded = codedError('MIRROR_LOGIN_NEEDED', {
  message: () => 'this address of the mirror asks its clients to log in',
  todo: 'give the client a login for this address (podman login), or none for what everybody may read',
});

export const UsersFileUnusable = codedError('USERS_FILE_UNUSABLE', {
  message: (p: { path: string; why: string }) => `the users file ${p.path} cannot be used: ${p.why}`,
  todo: 'it has a line name:hash for each user; `hawker password NAME` and `htpasswd -nB NAME` make them',
});

export const MirrorTlsUnusable = codedError('MIRROR_TLS_UNUSABLE', {
  message: (p: { why: string }) => `the mirror cannot use proxy.tls: ${p.why}`,
  todo: 'cert is a PEM file with the certificate and those between it and its authority, key that with its private key, clientCa one with authorities',
});

/** A page in a browser on this machine may be behind it, under a name that its author has made to point here. */
export const HostRefused = codedError('HOST_REFUSED', {
  message: (p: { host: string }) => `over loopback the mirror is not asked for as ${p.host}`,
  todo: 'use a loopback address (127.0.0.1, [::1] or localhost), or name the host in proxy.names',
});

export const BrowserRefused = codedError('BROWSER_REFUSED', {
  message: () => 'the request comes from a web page in a browser (its Origin, or Sec-Fetch-Site)',
  todo: 'nothing, if it was a page in a browser: a mirror answers programs only',
});

export const FirstByteLate = codedError('FIRST_BYTE_LATE', {
  message: (p: { waitedMs: number }) => `no byte came within ${p.waitedMs / 1000} s`,
  todo: 'see the log for what the origin was doing; the client goes to the registry itself',
});

export const ManifestTooLarge = codedError('MANIFEST_TOO_LARGE', {
  message: (p: { size: number; most: number }) => `the manifest has ${p.size} bytes, ${p.most} are allowed`,
  todo: 'pull it from the registry itself',
});

export const OriginAnswered = codedError('ORIGIN_ANSWERED', {
  message: (p: { host: string; status: number }) => `${p.host} answered with status ${p.status}`,
  todo: 'ask the registry itself',
});

export const OriginBroken = codedError('ORIGIN_BROKEN', {
  message: (p: { host: string }) => `${p.host} gave no whole answer`,
  todo: 'see the cause; the client goes to the registry itself',
});

export const OriginSlow = codedError('ORIGIN_SLOW', {
  message: (p: { host: string; waitedMs: number }) => `${p.host} did not answer within ${p.waitedMs / 1000} s`,
  todo: 'check the way to the registry; what was read before is served meanwhile',
});

/** The one error that becomes a 401: the client may log in where the registry says, and come again with what it gets there. */
export const LoginNeeded = codedError('LOGIN_NEEDED', {
  message: (p: { host: string; repository: string; challenge: string }) =>
    `${p.host} does not let everybody read ${p.repository}`,
  todo: 'give the client a credential for that registry; it logs in at the registry itself, and the mirror gets a token only',
});
