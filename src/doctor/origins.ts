import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { bareHost } from '../base/bare-host.ts';
import { describeError } from '../base/errors.ts';
import { silentLogger } from '../base/log.ts';
import { Metrics } from '../base/metrics.ts';
import { formatTime } from '../base/units.ts';
import type { UpstreamConfig } from '../config/config.ts';
import { isOriginError } from '../registry/errors.ts';
import type { LogIn, Ping, RegistryProbe } from '../registry/probe.ts';
import { DOCKER_HUB } from '../registry/reference.ts';
import { Upstreams } from '../registry/upstreams.ts';
import type { Around, Check, Finding } from './check.ts';
import { configuredUpstreams } from './configured-upstreams.ts';
import { failed, ok, skipped, type Problem } from './findings.ts';
import { originProblem } from './origin-problem.ts';

/** For all questions to one origin; they are asked at the same time. */
const BOUND_MS = 10_000;
/** Below this part of Docker Hub's limit it is said that it runs out. */
const LOW_PART = 0.1;

const UNREACHABLE = 'what no peer has cannot be fetched from it; what the cluster has is still served';
const CODES = { reach: 'ORIGIN', logIn: 'ORIGIN_LOGIN', limit: 'ORIGIN_RATE_LIMIT' };

/** The registries that this node's configuration names: name, TLS, `/v2/`, token service, credential, rate limit. */
export const checkOrigins: Check = async (around) => {
  const { chosen, builtIn, patterns } = configuredUpstreams(around.config);
  const findings = await Promise.all(chosen.map((key) => checkOrigin(around, key)));
  return [
    ...findings.flat(),
    ...(builtIn.length === 0 ? [] : [notAsked('registries that are built in', builtIn, 'nothing is set for them')]),
    ...(patterns.length === 0 ? [] : [notAsked('registries behind patterns', patterns, 'a pattern names no host')]),
  ];
};

function notAsked(what: string, keys: readonly string[], why: string): Finding {
  return skipped({ code: CODES.reach, title: what }, `not asked, for ${why}: ${keys.join(', ')}`);
}

async function checkOrigin({ config, clock }: Around, key: string): Promise<Finding[]> {
  const settings = config.upstreams[key]!;
  const reach = { code: CODES.reach, title: `registry ${key}` };
  const started = clock.monotonic();
  const bound = new AbortController();
  const late = new Promise<never>((_, reject) => {
    const stop = clock.after(BOUND_MS, () => {
      const error = new OriginLate(`no answer within ${formatTime(BOUND_MS)}`);
      bound.abort(error);
      reject(error);
    });
    bound.signal.addEventListener('abort', stop, { once: true });
  });
  late.catch(() => {});
  const within = <T>(work: Promise<T>): Promise<T> => Promise.race([work, late]);

  let upstreams: Upstreams | undefined;
  const findings: Finding[] = [];
  try {
    upstreams = new Upstreams({ [key]: settings }, { log: silentLogger, metrics: new Metrics(), clock });
    const upstream = upstreams.find(key)!;
    const probe = upstream.probe();
    const named = await within(resolved(upstream.baseUrl, settings));
    const ping = await within(probe.ping(bound.signal));
    const took = formatTime(clock.monotonic() - started);
    const strange = strangePing(ping);
    const seen = `${named}; GET ${upstream.baseUrl.origin}/v2/: ${pingText(ping)}, in ${took}`;
    if (strange) return [failed(reach, { ...strange, seen, todo: strange.todo.replaceAll('{key}', key) })];
    findings.push(ok(reach, settings.insecure ? `${seen}; its certificate is not checked (insecure)` : seen));
    findings.push(await loggedIn(key, settings, ping, probe, (work) => within(work), bound.signal));
    if (upstream.host === DOCKER_HUB) findings.push(await rateLimit(key, within(probe.rateLimit(bound.signal))));
    return findings;
  } catch (error) {
    return [...findings, failed(reach, problemOf(key, error, UNREACHABLE))];
  } finally {
    bound.abort(new Error('done'));
    await upstreams?.close();
  }
}

class OriginLate extends Error {
  readonly code = 'ETIMEDOUT';
}

/** Resolves the name apart from connecting, so that a failure says which of the two it was. */
async function resolved({ hostname }: URL, { egressProxy }: UpstreamConfig): Promise<string> {
  const host = bareHost(hostname);
  if (egressProxy !== undefined) return `${host} is resolved by the egress proxy ${new URL(egressProxy).host}`;
  if (isIP(host) !== 0) return `${host} is an address`;
  const addresses = await lookup(host, { all: true });
  return `${host} is ${addresses.map(({ address }) => address).join(', ')}`;
}

function pingText({ status, challenges }: Ping): string {
  const schemes = [...new Set(challenges.map(({ scheme }) => scheme))].join(', ');
  return `status ${status}${schemes === '' ? '' : ` (${schemes})`}`;
}

/** dist-spec end-1 and docker: 200, or 401 with a challenge that says how to log in. */
function strangePing({ status, challenges, contentType }: Ping): Omit<Problem, 'seen'> | undefined {
  const known = challenges.some(({ scheme }) => scheme === 'bearer' || scheme === 'basic');
  const page = contentType?.startsWith('text/html') === true;
  if ((status === 200 && !page) || (status === 401 && known)) return undefined;
  if (status === 401)
    return {
      meaning: 'it wants a way of logging in that no image client knows: nothing can be read from it',
      todo: 'check what stands before {key}: registries answer with a Bearer or Basic challenge',
    };
  if (status === 429)
    return {
      meaning: `it refuses this node for now, for it has asked too much: ${UNREACHABLE}`,
      todo: 'wait, or configure an account for upstreams."{key}"',
    };
  if (status >= 500)
    return { meaning: UNREACHABLE, todo: 'look at the state page or the logs of {key}; it is asked again by itself' };
  return {
    meaning: `something answers that is no registry (${page ? 'a web page: a login page, a portal' : `status ${status}`}): ${UNREACHABLE}`,
    todo: 'check upstreams."{key}".url, and that no login page or proxy answers for it',
  };
}

async function loggedIn(
  key: string,
  settings: UpstreamConfig,
  { challenges, status }: Ping,
  probe: RegistryProbe,
  within: (work: Promise<LogIn | undefined>) => Promise<LogIn | undefined>,
  signal: AbortSignal,
): Promise<Finding> {
  const subject = { code: CODES.logIn, title: `logging in to ${key}` };
  const source = credentialSource(settings);
  if (status === 200) {
    const unused = source === undefined ? '' : `; ${source} is set, and was not needed for /v2/, so it was not tried`;
    return skipped(subject, `it asks for no login${unused}`);
  }
  try {
    const found = (await within(probe.logIn(challenges, signal)))!;
    const service = found.realm === undefined ? 'it takes a password itself' : `${found.realm} gives tokens`;
    if (found.credential !== 'none')
      return ok(subject, `${service}; the ${found.credential} of ${source} was accepted`);
    if (source !== undefined) {
      return failed(subject, {
        seen: `${service}; ${source} has no credential for ${key}, so it is asked anonymously`,
        meaning: 'private images cannot be read through this node with an account',
        todo: `log in with that tool (docker login ${key}), or take the setting out of upstreams."${key}"`,
      });
    }
    if (found.by === 'basic') {
      return failed(subject, {
        seen: `it wants a name and a password, and none is configured`,
        meaning: 'only clients that hand their own password to the mirror (containerd) can read anything from it',
        todo: `set username and passwordFile in upstreams."${key}"`,
      });
    }
    return ok(subject, `${service}, to this node anonymously: no credential is configured`);
  } catch (error) {
    const answer = isOriginError(error) ? error.answer : undefined;
    if (source === undefined && (answer === 401 || answer === 403)) {
      return ok(
        subject,
        `${describeError(error)}: its token service answers; anonymously it gives tokens by repository only`,
      );
    }
    const meaning =
      source === undefined
        ? 'no token, no pull from it: ' + UNREACHABLE
        : `this node cannot read from ${key} with ${source}: pulls of what is not public fail over to the client’s own way`;
    return failed(subject, problemOf(key, error, meaning));
  }
}

function credentialSource({ passwordFile, dockerConfig, credentialHelper }: UpstreamConfig): string | undefined {
  if (passwordFile !== undefined) return passwordFile;
  if (credentialHelper !== undefined) return `docker-credential-${credentialHelper}`;
  return dockerConfig;
}

async function rateLimit(key: string, asked: ReturnType<RegistryProbe['rateLimit']>): Promise<Finding> {
  const subject = { code: CODES.limit, title: `pulls that ${key} still allows` };
  const meaning =
    'tags that are new or changed cannot be read from it until the window is over; known ones are served stale';
  try {
    const told = await asked;
    if (!told) return ok(subject, 'it names no limit for this address or account');
    const { remaining, limit, windowS } = told;
    const window = windowS === undefined ? '' : ` in ${formatTime(windowS * 1000)}`;
    const seen = `${remaining} left of ${limit ?? 'a limit that it does not name'}${window}`;
    const low = limit === undefined ? remaining === 0 : remaining <= limit * LOW_PART;
    if (!low) return ok(subject, seen);
    const todo = `configure an account for upstreams."${key}" (username and passwordFile), or wait`;
    return failed(subject, { seen, meaning: remaining === 0 ? meaning : `when it is used up: ${meaning}`, todo });
  } catch (error) {
    if (isOriginError(error) && error.answer === 429) return failed(subject, problemOf(key, error, meaning));
    return skipped(subject, `it could not be asked: ${describeError(error)}`);
  }
}

function problemOf(key: string, error: unknown, meaning: string): Problem {
  return { meaning, ...originProblem(key, error) };
}
