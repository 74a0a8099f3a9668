import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host } from '../../../scripts/netns/host.ts';
import { within as onHost } from '../../../scripts/netns/host.ts';
import { Network } from '../../../scripts/netns/network.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import type { TlsFiles } from '../../../src/p2p/protocol/tls-files.ts';
import { Hawker, listeningAddress, MAIN } from './hawker.ts';
import { type Daemon, must, run } from './programs.ts';
import type { Rig } from './rig.ts';
import { until } from './wait.ts';

/** Of this machine, on the network of the rig. */
export const OWN_ADDRESS = '10.99.0.1';
const STRANGERS_ADDRESS = '10.99.0.66';
const START_BOUND_MS = 60_000;
const ASK_BOUND_S = 40;

/** What came back: status 0, nobody could be reached. */
export interface Reply {
  readonly status: number;
  readonly body: string;
}

/** How somebody speaks TLS: whom they trust, and by what they are known. */
export type Speaking = Pick<TlsFiles, 'ca'> & Partial<Pick<TlsFiles, 'cert' | 'key'>>;

/** The files of a cluster that speaks TLS. */
export interface ClusterFiles {
  /** Its certificate names OWN_ADDRESS. */
  readonly supernode: TlsFiles;
  readonly node: TlsFiles;
}

export interface Asking {
  /** On a machine of its own on the network; undefined: on the nodes' own. */
  readonly from?: Host | undefined;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Undefined: in the clear. */
  readonly tls?: Speaking | undefined;
  /** No more than the status is wanted: the answer may have no end. */
  readonly onlyStatus?: boolean;
}

/** Somebody who wants to join. */
export interface Joining {
  readonly from?: Host | undefined;
  readonly secretFile?: string | undefined;
  /** Of a node with `cluster.tls`. */
  readonly files?: TlsFiles | undefined;
}

/** A cluster that others on the network can reach: all ports open, a join secret, an operator token, maybe TLS; and a stranger beside it. */
export class OpenCluster {
  readonly stranger: Host;
  readonly membership: Membership;
  readonly operatorToken: string;
  readonly secretFile: string;
  supernode = '';
  readonly #rig: Rig;
  readonly #originUrl: string;
  readonly #files: ClusterFiles | undefined;
  #daemon: Daemon | undefined;

  private constructor(
    rig: Rig,
    originUrl: string,
    parts: {
      stranger: Host;
      secretFile: string;
      secret: string;
      operatorToken: string;
      files?: ClusterFiles | undefined;
    },
  ) {
    this.#files = parts.files;
    this.#rig = rig;
    this.#originUrl = originUrl;
    this.stranger = parts.stranger;
    this.secretFile = parts.secretFile;
    this.membership = new Membership(parts.secret);
    this.operatorToken = parts.operatorToken;
  }

  static async start(rig: Rig, originUrl: string, files?: ClusterFiles): Promise<OpenCluster> {
    const network = await Network.create();
    rig.onClosed(() => network.close());
    await network.ownAddress(OWN_ADDRESS);
    const stranger = await network.host('stranger', STRANGERS_ADDRESS);
    const [secretFile, tokenFile] = ['join-secret', 'operator-token'].map((name) => join(rig.dir, name)) as [
      string,
      string,
    ];
    const env = rig.environment();
    await must(process.execPath, [MAIN, 'token', '--secret-file', secretFile], { env });
    await must(process.execPath, [MAIN, 'token', '--operator', '--secret-file', tokenFile], { env });
    const [secret, operatorToken] = await Promise.all(
      [secretFile, tokenFile].map(async (file) => (await readFile(file, 'utf8')).trim()),
    );
    const cluster = new OpenCluster(rig, originUrl, {
      stranger,
      secretFile,
      secret: secret!,
      operatorToken: operatorToken!,
      files,
    });
    const args = [
      '--supernode-listen',
      `${OWN_ADDRESS}:0`,
      '--cluster-secret-file',
      secretFile,
      '--cluster-operator-token-file',
      tokenFile,
      ...flagsOf(files?.supernode),
    ];
    const daemon = rig.daemon('supernode', process.execPath, [MAIN, 'supernode', ...args, '--log-format', 'json']);
    cluster.#daemon = daemon;
    cluster.supernode = await daemon.ready('LISTENING of the supernode', START_BOUND_MS, () =>
      listeningAddress(daemon.log(), 'supernode'),
    );
    return cluster;
  }

  get supernodeLog(): string {
    return this.#daemon?.log() ?? '';
  }

  async stopSupernode(): Promise<void> {
    await this.#daemon?.stop();
  }

  /** A node that has joined, with its mirror and its pieces open to the network. */
  async join(name: string, config: Readonly<Record<string, unknown>> = {}): Promise<Hawker> {
    const node = await Hawker.start(this.#rig, name, this.#originUrl, {
      command: 'proxy',
      config: {
        proxy: { listen: '0.0.0.0:0' },
        peer: { listen: `${OWN_ADDRESS}:0` },
        supernodes: [`${this.#scheme}://${this.supernode}`],
        cluster: { secretFile: this.secretFile, ...(this.#files && { tls: this.#files.node }) },
        ...config,
      },
    });
    await until(`${name} is ready`, START_BOUND_MS, async () => {
      const { peers } = (await this.peers()) as { peers: { state: string; addresses: string[] }[] };
      return peers.some(({ state, addresses }) => state === 'ready' && addresses.includes(node.pieces));
    });
    return node;
  }

  async peers(): Promise<{ peers: object[]; rejected: { code: string; address: string }[] }> {
    const asking = { headers: this.operator, tls: this.trusting };
    return JSON.parse((await this.ask(this.supernode, '/api/v1/peers', asking)).body) as never;
  }

  /** Somebody who knows the cluster's CA, and has no certificate; undefined: it speaks no TLS. */
  get trusting(): Speaking | undefined {
    return this.#files && { ca: this.#files.supernode.ca };
  }

  get #scheme(): string {
    return this.#files ? 'https' : 'http';
  }

  get operator(): Record<string, string> {
    return { authorization: `Bearer ${this.operatorToken}` };
  }

  /** Where a listener of this machine is for somebody there: a port that is open to all is so under any of its addresses. */
  addressFor(listener: string, from: Host | undefined): string {
    return listener
      .replace('0.0.0.0', from ? OWN_ADDRESS : '127.0.0.1')
      .replace(/^127\.0\.0\.1(?=:)/, from ? OWN_ADDRESS : '127.0.0.1');
  }

  /** One request by curl. */
  async ask(
    listener: string,
    path: string,
    { from, method = 'GET', headers = {}, tls, onlyStatus = false }: Asking = {},
  ): Promise<Reply> {
    const url = `${tls ? 'https' : 'http'}://${this.addressFor(listener, from)}${path}`;
    const lines = Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]);
    const how = method === 'HEAD' ? ['--head'] : ['--request', method];
    const shown = onlyStatus ? ['--no-buffer', '--include'] : ['--write-out', '\n%{http_code}'];
    const quiet = ['--silent', '--max-time', String(ASK_BOUND_S), ...shown];
    const files = [
      ...(tls ? ['--cacert', tls.ca] : []),
      ...(tls?.cert !== undefined ? ['--cert', tls.cert] : []),
      ...(tls?.key !== undefined ? ['--key', tls.key] : []),
    ];
    const curl = [...quiet, ...how, ...files, ...lines, url];
    const [command, args] = from ? ['nsenter', [...onHost(from), 'curl', ...curl]] : ['curl', curl];
    const env = this.#rig.environment();
    if (onlyStatus) {
      // curl ends when it has something to say to nobody: what comes behind the first line.
      const { stdout } = await run('sh', ['-c', '"$@" | head -n 1', 'sh', command, ...args], { env });
      return { status: Number(/^HTTP\/\S+ (\d+)/.exec(stdout)?.[1] ?? 0), body: '' };
    }
    const { stdout } = await run(command, args, { env });
    const end = stdout.lastIndexOf('\n');
    return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) };
  }

  /** Starts a proxy there that wants to join, and gives what its supernode says to it: `connected`, or the code of the refusal. */
  async tryToJoin(name: string, { from, secretFile, files }: Joining): Promise<string> {
    const any = ['proxy', 'peer', 'api'].flatMap((part) => [`--${part}-listen`, '127.0.0.1:0']);
    const secret = secretFile === undefined ? [] : ['--cluster-secret-file', secretFile];
    const store = ['--store-dir', await this.#rig.folder(`${name}-store`), '--log-format', 'json'];
    const program = [
      process.execPath,
      MAIN,
      'proxy',
      '--supernodes',
      `${this.#scheme}://${this.supernode}`,
      ...any,
      ...secret,
      ...flagsOf(files),
      ...store,
    ];
    const [command, ...args] = [...(from ? ['nsenter', ...onHost(from)] : []), ...program];
    // Without `cluster.tls` it trusts whom Node trusts.
    const env = this.#files && { NODE_EXTRA_CA_CERTS: this.#files.supernode.ca };
    const daemon = this.#rig.daemon(name, command!, args, env);
    const outcome = await daemon.ready('an answer of the supernode', START_BOUND_MS, () => {
      const log = daemon.log();
      if (log.includes('"code":"SUPERNODE_CONNECTED"')) return 'connected';
      return /"code":"(\w+)"[^\n]*no session with the supernode/.exec(log)?.[1];
    });
    await daemon.stop();
    return outcome;
  }
}

function flagsOf(files: TlsFiles | undefined): string[] {
  if (!files) return [];
  return (['cert', 'key', 'ca'] as const).flatMap((name) => [`--cluster-tls-${name}`, files[name]]);
}
