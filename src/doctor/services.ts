import { isIP } from 'node:net';
import { ProxyStatusAnswer } from '../app/answers.ts';
import { apiTls } from '../app/cluster-tls.ts';
import { apiAuthorization } from '../app/operator.ts';
import { isOwn } from '../app/own-url.ts';
import { programVersion } from '../app/version.ts';
import { formatAddress, nearOf } from '../config/formats.ts';
import { ask, isUnauthorized, read, type Answer } from './ask.ts';
import type { Around, Finding } from './check.ts';
import { ok, skipped } from './findings.ts';
import { MirrorFaces } from './mirror-faces.ts';
import { notThere, PORT_UNKNOWN } from './not-there.ts';

const NO_PROXY =
  'pulls on this node go to the registries by themselves: it takes nothing from other nodes and gives nothing';
const NO_MIRROR = 'the container runtimes of this node get no answer there, and go to the registries by themselves';
const NO_SUPERNODE =
  'the proxies that look for it here are alone: each pulls everything from the registries, and `hawker peers` has nobody to ask';

/** What is known of this node's proxy. */
export interface ProxyLook {
  readonly finding: Finding;
  /** `http://host:port` of its API. */
  readonly url: string;
  /** Undefined: none runs, or it does not say. */
  readonly status: ProxyStatusAnswer | undefined;
  /** Nothing listens where its API would be. */
  readonly isDown: boolean;
}

/** Whether a proxy runs here and answers at `api.listen`. */
export async function lookAtProxy({ config, root }: Around): Promise<ProxyLook> {
  const { listen } = config.api;
  const address = formatAddress(nearOf(listen));
  const url = `http://${address}`;
  const about = { code: 'PROXY_API', title: `this node's proxy at ${address} (api.listen)` };
  if (listen.port === 0) {
    return { finding: skipped(about, PORT_UNKNOWN), url, status: undefined, isDown: false };
  }
  const answer = await ask(`${url}/api/v1/status`);
  const status = read(answer, ProxyStatusAnswer);
  if (status) return { finding: ok(about, running(status)), url, status, isDown: false };
  const isDown = answer.kind === 'refused';
  const finding = await notThere(about, {
    answer,
    address: listen,
    root,
    command: 'hawker up` or `hawker proxy',
    meaning: NO_PROXY,
  });
  return { finding, url, status: undefined, isDown };
}

function running({ version, peer }: ProxyStatusAnswer): string {
  const own = programVersion();
  const other = version === own ? '' : ` (this program is ${own}: it runs an older or newer one until it is restarted)`;
  return `it runs: Hawker ${version}${other}${peer === undefined ? ', alone' : `, peer ${peer}`}`;
}

/** The mirror's addresses, each of which container runtimes are to reach. */
export async function checkMirror({ config, root }: Around, proxy: ProxyLook): Promise<Finding[]> {
  const all = new MirrorFaces(config).faces.map((face, index) => ({
    ...face,
    key: index === 0 ? 'proxy.listen' : 'proxy.listeners',
  }));
  return Promise.all(
    all.map(async ({ listen, tls, key }) => {
      const address = formatAddress(nearOf(listen));
      const about = { code: 'MIRROR', title: `the mirror at ${address} (${key})` };
      if (listen.port === 0) return skipped(about, PORT_UNKNOWN);
      const url = `${tls ? 'https' : 'http'}://${address}/v2/`;
      const [base, catalog] = await Promise.all(
        // Its certificate need not have a name of this machine in it.
        ['', '_catalog'].map((path) => ask(`${url}${path}`, { anyCertificate: true })),
      );
      const asksForLogin = isUnauthorized(base!);
      if (base!.kind === 'http' && (base!.status === 200 || asksForLogin) && isMirror(catalog!))
        return ok(about, `/v2/ is answered by Hawker${asksForLogin ? ', with the question for a login' : ''}`);
      if (base!.kind === 'refused' && proxy.isDown) return skipped(about, 'no proxy runs here');
      return notThere(about, {
        answer: base!,
        address: listen,
        root,
        command: 'hawker up` or `hawker proxy',
        meaning: NO_MIRROR,
      });
    }),
  );
}

/** A registry would answer it in another way. */
function isMirror(catalog: Answer): boolean {
  if (catalog.kind !== 'http') return false;
  const { errors } = (catalog.json ?? {}) as { errors?: readonly { detail?: { code?: unknown } }[] };
  return Array.isArray(errors) && errors[0]?.detail?.code === 'CATALOG_UNSUPPORTED';
}

/** Whether the supernode that the list expects on this node runs. */
export async function checkOwnSupernode({ config, root }: Around): Promise<Finding> {
  const { listen } = config.supernode;
  const address = formatAddress(nearOf(listen));
  const about = { code: 'SUPERNODE_HERE', title: `this node's supernode at ${address} (supernode.listen)` };
  const own = config.supernodes.find((url) => isOwn(url, listen));
  if (own === undefined) {
    return skipped(about, 'none is expected on this node: `supernodes` names others');
  }
  if (listen.port === 0) return skipped(about, PORT_UNKNOWN);
  const authorization = await apiAuthorization(config).catch(() => undefined);
  const tls = await apiTls(config).catch(() => undefined);
  const { host } = nearOf(listen);
  // By its name in the list, which its certificate has, at the address where it listens.
  const url = config.cluster.tls ? new URL(own).origin : `http://${address}`;
  const ip = isIP(host) === 0 ? undefined : host;
  const answer = await ask(`${url}/api/v1/status`, { ip, authorization, tls });
  const { role, version } = roleIn(answer);
  if (role === 'supernode') return ok(about, `it runs: Hawker ${version}`);
  return notThere(about, {
    answer,
    address: listen,
    root,
    command: 'hawker up` or `hawker supernode',
    meaning: NO_SUPERNODE,
  });
}

/** What answered says it is. A supernode's `/api/v1/status` names its role; a proxy's has a store. */
export function roleIn(answer: Answer): {
  role: 'supernode' | 'proxy' | undefined;
  version: string;
  protocol: string | undefined;
} {
  const json = answer.kind === 'http' && typeof answer.json === 'object' ? answer.json : undefined;
  const { role, version, protocol, store, code } = (json ?? {}) as Partial<Record<string, unknown>>;
  const isProxy = typeof store === 'object' && store !== null;
  // Only a supernode asks for one: a proxy's API is on loopback.
  if (isUnauthorized(answer) && typeof code === 'string' && code.startsWith('OPERATOR_TOKEN_')) {
    return { role: 'supernode', version: 'of an unknown version', protocol: undefined };
  }
  return {
    role: role === 'supernode' ? 'supernode' : isProxy ? 'proxy' : undefined,
    version: typeof version === 'string' ? version : 'of an unknown version',
    protocol: typeof protocol === 'string' ? protocol : undefined,
  };
}
