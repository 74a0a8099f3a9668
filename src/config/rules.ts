import { bareHost } from '../base/bare-host.ts';
import { codeOf } from '../base/errors.ts';
import { isPrivate, octal } from '../base/private-file.ts';
import { shownPath } from '../base/shown-path.ts';
import { ConfigInvalid, ConfigRefused } from './errors.ts';
import { modeOf } from './file-mode.ts';
import { FORMATS, formatAddress, isLoopback, isPattern, parseAddress, standsFor } from './formats.ts';
import type { Merged } from './layers.ts';
import { checkLogins, checkMirrorFiles, warnOfOpenLogin } from './mirror-rules.ts';
import type { Settings } from './schema.ts';
import { dotted } from './settings.ts';
import type { Path } from './yaml.ts';

/** Something that works, but should be looked at. */
export interface ConfigWarning {
  readonly code: string;
  readonly key: string;
  readonly message: string;
}

type UpstreamSettings = Settings['upstreams'][string];

const CREDENTIAL_KEYS = ['passwordFile', 'dockerConfig', 'credentialHelper'] as const;
/** Of the section `cluster`, and what makes them. */
const SECRET_FILES = ['secretFile', 'operatorTokenFile'] as const;
const MAKES: Readonly<Record<(typeof SECRET_FILES)[number], string>> = {
  secretFile: 'hawker token --secret-file',
  operatorTokenFile: 'hawker token --operator --secret-file',
};
/** Of the section `cluster.tls`. */
const TLS_FILES = ['cert', 'key', 'ca'] as const;
const READ_FILES = ['passwordFile', 'dockerConfig', 'ca'] as const;

/** What no schema can say. Throws CONFIG_INVALID or CONFIG_REFUSED; returns what is only worth a warning. */
export async function applyRules(
  { settings, placeOf }: Merged,
  { withoutFiles }: { withoutFiles: boolean },
): Promise<ConfigWarning[]> {
  const invalid = (path: Path, why: string, allowed: string) =>
    new ConfigInvalid({ key: dotted(path), place: placeOf(path), why, allowed });
  checkAddresses(settings, placeOf, invalid);
  checkNamedUpstreams(settings, invalid);
  refuseOpenApi(settings, placeOf);
  refuseOpenCluster(settings, placeOf);
  checkTls(settings, invalid);
  checkLogins(settings, invalid);
  const warnings: ConfigWarning[] = [...warnOfLonePeer(settings), ...warnOfOpenLogin(settings)];
  for (const [host, upstream] of Object.entries(settings.upstreams)) {
    checkUpstream(host, upstream, invalid);
    if (!withoutFiles) warnings.push(...(await checkFiles(host, upstream, invalid)));
  }
  if (!withoutFiles) {
    for (const key of SECRET_FILES) await checkSecretFile(key, settings, placeOf);
    await checkMirrorFiles(settings, placeOf);
    if (settings.files.ca !== '') {
      await modeOf(settings.files.ca).catch((error: unknown) => {
        const why = `is ${shownPath(settings.files.ca)}, which cannot be read (${codeOf(error)})`;
        throw invalid(['files', 'ca'], why, 'a readable file');
      });
    }
  }
  return warnings;
}

/** Whether nodes of the cluster speak TLS to each other. What is in the files is read, and checked, where it is used. */
export function hasTls({ cluster: { tls } }: Settings): boolean {
  return TLS_FILES.every((name) => tls[name] !== '');
}

export type Invalid = (path: Path, why: string, allowed: string) => Error;

function checkAddresses({ proxy, peer, api, supernode }: Settings, placeOf: Merged['placeOf'], invalid: Invalid): void {
  const all: (readonly [Path, string])[] = [
    [['proxy', 'listen'], proxy.listen],
    ...proxy.listeners.map(({ listen }, i) => [['proxy', 'listeners', i, 'listen'], listen] as const),
    [['peer', 'listen'], peer.listen],
    [['api', 'listen'], api.listen],
    [['supernode', 'listen'], supernode.listen],
  ];
  const taken = new Map<string, Path>();
  for (const [path, text] of all) {
    const address = parseAddress(text)!;
    if (address.port === 0) continue;
    const other = taken.get(formatAddress(address));
    if (other) {
      const why = `is ${text}, and so is ${dotted(other)} at ${placeOf(other)}`;
      throw invalid(path, why, 'an address of its own for each');
    }
    taken.set(formatAddress(address), path);
  }
}

/** Every request there would be answered 404. */
function checkNamedUpstreams({ proxy, upstreams }: Settings, invalid: Invalid): void {
  const named: (readonly [Path, string])[] = [
    [['proxy', 'defaultUpstream'], proxy.defaultUpstream],
    ...proxy.listeners.flatMap(({ upstream }, i) =>
      upstream === undefined ? [] : [[['proxy', 'listeners', i, 'upstream'], upstream] as const],
    ),
  ];
  const keys = Object.keys(upstreams);
  const barred = named.find(([, host]) => !keys.some((key) => standsFor(key, host)));
  if (barred) throw invalid(barred[0], `is ${barred[1]}, which is not among the upstreams`, keys.join(', ') || 'none');
}

/** It has no login: what it tells and does is for this machine's own users. */
function refuseOpenApi({ api }: Settings, placeOf: Merged['placeOf']): void {
  if (isLoopback(parseAddress(api.listen)!.host)) return;
  throw new ConfigRefused({
    key: 'api.listen',
    place: placeOf(['api', 'listen']),
    why: `is ${api.listen}, which other machines can reach, and the API has no login`,
    todo: 'use a loopback address, as in 127.0.0.1:65003',
  });
}

/** Whoever reaches these ports takes part in the cluster: with a secret or certificates, only members do. */
function refuseOpenCluster(settings: Settings, placeOf: Merged['placeOf']): void {
  const { peer, supernode, cluster } = settings;
  if (cluster.secretFile !== '' || TLS_FILES.some((name) => cluster.tls[name] !== '')) return;
  for (const [section, { listen }] of Object.entries({ supernode, peer })) {
    if (isLoopback(parseAddress(listen)!.host)) continue;
    throw new ConfigRefused({
      key: `${section}.listen`,
      place: placeOf([section, 'listen']),
      why: `is ${listen}, which other machines can reach, and neither cluster.secretFile nor cluster.tls is set`,
      todo: 'make a join secret with `hawker token` and name its file (cluster.secretFile), set cluster.tls, or use a loopback address',
    });
  }
}

/** All three or none; and then every supernode is asked by TLS. */
function checkTls(settings: Settings, invalid: Invalid): void {
  const { cluster, supernodes = [] } = settings;
  const missing = TLS_FILES.filter((name) => cluster.tls[name] === '');
  if (missing.length === TLS_FILES.length) return;
  if (missing.length > 0) {
    const set = TLS_FILES.filter((name) => cluster.tls[name] !== '');
    const why = `is not set, and ${set.map((name) => `cluster.tls.${name}`).join(' and ')} is`;
    throw invalid(['cluster', 'tls', missing[0]!], why, 'cert, key and ca, or none of them');
  }
  const plain = supernodes.findIndex((url) => new URL(url).protocol === 'http:');
  if (plain === -1) return;
  const url = new URL(supernodes[plain]!);
  const why = `is ${url.origin}, and cluster.tls is set: supernodes of this cluster speak TLS`;
  throw invalid(['supernodes', plain], why, `https://${url.host}`);
}

/** It would register, and nobody could fetch from it. */
function warnOfLonePeer({ peer, supernodes = [] }: Settings): ConfigWarning[] {
  const isElsewhere = (url: string) => !isLoopback(bareHost(new URL(url).hostname));
  if (!isLoopback(parseAddress(peer.listen)!.host) || peer.advertise.length > 0 || !supernodes.some(isElsewhere))
    return [];
  const message = `the supernode is on another machine, and this node's pieces are at ${peer.listen}, where only this one reaches them: it takes from others and gives nothing; set peer.listen to an address of its own, or to 0.0.0.0:65002 on all nodes alike`;
  return [{ code: 'PEER_LISTENS_ON_LOOPBACK', key: 'peer.listen', message }];
}

/** What is in it is read, and checked, where it is used. */
async function checkSecretFile(
  key: (typeof SECRET_FILES)[number],
  { cluster }: Settings,
  placeOf: Merged['placeOf'],
): Promise<void> {
  const file = cluster[key];
  if (file === '') return;
  const refused = (why: string, todo: string) =>
    new ConfigRefused({ key: `cluster.${key}`, place: placeOf(['cluster', key]), why, todo });
  const about = await modeOf(file).catch((error: unknown) => {
    const shown = shownPath(file);
    const why = `is ${shown}, which cannot be read (${codeOf(error)})`;
    throw refused(why, `copy it from another node, or make it: ${MAKES[key]} ${shown}`);
  });
  if (isPrivate(about)) return;
  throw refused(`is ${file}, which others on this machine can use (mode ${octal(about.mode)})`, `chmod 0600 ${file}`);
}

function checkUpstream(host: string, upstream: UpstreamSettings, invalid: Invalid): void {
  const at = (key: keyof UpstreamSettings): Path => ['upstreams', host, key];
  const credentials = CREDENTIAL_KEYS.filter((key) => upstream[key] !== undefined);
  if (credentials.length > 1) {
    throw invalid(at(credentials[1]!), `is set, and so is ${credentials[0]}`, `one of ${CREDENTIAL_KEYS.join(', ')}`);
  }
  if (upstream.username !== undefined && upstream.passwordFile === undefined) {
    throw invalid(at('username'), 'is set without passwordFile', 'both, or neither');
  }
  if (upstream.passwordFile !== undefined && upstream.username === undefined) {
    throw invalid(at('passwordFile'), 'is set without username', 'both, or neither');
  }
  if (!isPattern(host)) return;
  const barred = (['url', 'allow'] as const).find((key) => upstream[key] !== undefined);
  if (barred) throw invalid(at(barred), 'is set for a pattern', `${barred} under the full name of one registry`);
}

/** The files are read when they are needed; that they can be is known at the start. */
async function checkFiles(host: string, upstream: UpstreamSettings, invalid: Invalid): Promise<ConfigWarning[]> {
  const warnings: ConfigWarning[] = [];
  for (const name of READ_FILES) {
    const file = upstream[name];
    if (file === undefined) continue;
    const path = ['upstreams', host, name];
    const about = await modeOf(file).catch((error: unknown) => {
      throw invalid(path, `is ${shownPath(file)}, which cannot be read (${codeOf(error)})`, FORMATS.path.allowed);
    });
    if (name === 'passwordFile' && !isPrivate(about)) {
      const message = `${file} has mode ${octal(about.mode)}: others on this machine can read it; use chmod 0600`;
      warnings.push({ code: 'PASSWORD_FILE_OPEN', key: dotted(path), message });
    }
  }
  return warnings;
}
