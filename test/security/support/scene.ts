import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Test } from 'tap';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { EgressProxy } from '../../support/registry-egress.ts';
import { HostileRegistry, makeImage, type TestImage } from '../../support/hostile-registry.ts';
import { ALLOWANCE } from '../../support/patience.ts';
import { until } from '../../e2e/support/wait.ts';
import { Markers } from './markers.ts';
import { filesBelow, Program, type RunOptions } from './process.ts';
import { Wiretap } from './wiretap.ts';

const KNOWN_BOUND_MS = 60_000;
const ANSWER_BOUND_MS = 30_000 * ALLOWANCE;
/** Every upstream has the repository, each with layers of its own. */
export const REPOSITORY = 'org/app';

/** How a node comes by what opens each of the registries of the scene. */
export const UPSTREAMS = ['password', 'docker', 'identity', 'helper', 'egress', 'client'] as const;
export type UpstreamName = (typeof UPSTREAMS)[number];

/** `basic` as a header has it. */
export const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

/** A cluster of two nodes and a registry for each way of giving a node a credential; every secret is marked. */
export class Scene {
  readonly dir: string;
  readonly markers = new Markers();
  readonly registries = {} as Record<UpstreamName, HostileRegistry>;
  readonly images = {} as Record<UpstreamName, TestImage>;
  readonly passwords: Record<'password' | 'docker' | 'helper' | 'alice', string>;
  /** All that was answered to anybody. */
  readonly answers: string[] = [];
  supernode!: Program;
  nodes: { program: Program; mirror: string; api: string; store: string; config: string }[] = [];
  /** Of the supernode's port, and of the first node's piece port. */
  taps!: { session: Wiretap; pieces: Wiretap };
  supernodeUrl = '';
  readonly #t: Test;
  readonly #run: Omit<RunOptions, 'dir'>;
  #piecePort: string | undefined;

  private constructor(t: Test, run: Omit<RunOptions, 'dir'>) {
    this.#t = t;
    this.#run = run;
    this.dir = t.testdir({ secrets: {}, heap: {}, bin: {} });
    const { markers } = this;
    this.passwords = {
      password: markers.make('password of passwordFile'),
      docker: markers.make('password of dockerConfig'),
      helper: markers.make('password of the helper'),
      alice: markers.make("client's password"),
    };
  }

  /** `run`: how every process is started. */
  static async start(t: Test, run: Omit<RunOptions, 'dir'> = {}): Promise<Scene> {
    const scene = new Scene(t, run);
    await scene.#startRegistries();
    await scene.#startCluster();
    return scene;
  }

  /** A file of the operator's, mode 0600. */
  secretFile(name: string, text: string): string {
    const path = join(this.dir, 'secrets', name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** Runs a command to its end; what it said is kept. */
  async command(
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<{ status: number | null; output: string }> {
    const program = new Program(this.#t, args, { dir: join(this.dir, 'heap'), env });
    const status = await program.ended();
    return { status, output: program.output };
  }

  /** One answer of a mirror, an API or a port, with its headers; kept. Status 0: a closed connection was the answer. */
  async ask(
    address: string,
    path: string,
    headers: Record<string, string | string[]> = {},
    method = 'GET',
  ): Promise<{ status: number; body: Buffer }> {
    const [host, port] = address.split(':') as [string, string];
    const signal = AbortSignal.timeout(ANSWER_BOUND_MS);
    const request = httpRequest({ host, port, path, method, headers, agent: false, signal }).end();
    const [response] = (await once(request, 'response').catch(() => [])) as [IncomingMessage?];
    if (!response) return { status: 0, body: Buffer.alloc(0) };
    request.on('error', () => undefined);
    const body = await buffer(response).catch(() => Buffer.alloc(0));
    const text = body.length < 100_000 ? body.toString() : '';
    this.answers.push(`${response.statusCode} ${JSON.stringify(response.rawHeaders)} ${text}`);
    return { status: response.statusCode!, body };
  }

  /** Until no node has a download under way, which has in memory what it reads with. */
  async quiet(): Promise<void> {
    await until('no download is under way', KNOWN_BOUND_MS, async () => {
      for (const { api } of this.nodes) {
        const { body } = await this.ask(api, '/api/v1/status');
        if ((JSON.parse(body.toString()) as { downloads: unknown[] }).downloads.length > 0) return false;
      }
      return true;
    });
  }

  /** What comes back to bytes that need not be HTTP. */
  async say(address: string, bytes: string): Promise<string> {
    const [host, port] = address.split(':') as [string, string];
    const socket = connect(Number(port), host);
    socket.on('error', () => undefined);
    socket.write(bytes, 'latin1');
    const timer = setTimeout(() => socket.destroy(), ANSWER_BOUND_MS);
    let answer = '';
    socket.setEncoding('latin1').on('data', (text: string) => (answer += text));
    // All of it is out, and the answer is the last on its connection.
    if (!/connection: close/i.test(bytes)) socket.end();
    await new Promise((resolve) => socket.once('close', resolve));
    clearTimeout(timer);
    this.answers.push(answer);
    return answer;
  }

  /** Pulls the image of a registry, or so many of its blobs, through a node: statuses of manifest and blobs. */
  async pull(
    upstream: UpstreamName,
    { node = 0, headers = {}, blobs }: { node?: number; headers?: Record<string, string>; blobs?: number } = {},
  ): Promise<number[]> {
    const image = this.images[upstream];
    const ns = `ns=${upstream}.test`;
    const paths = ['manifests/latest', ...image.blobs.slice(0, blobs).map(({ digest }) => `blobs/${digest}`)];
    const statuses: number[] = [];
    for (const path of paths) {
      const { status } = await this.ask(this.nodes[node]!.mirror, `/v2/${REPOSITORY}/${path}?${ns}`, headers);
      statuses.push(status);
    }
    return statuses;
  }

  /** Another image takes the place of the one that is known: what is asked next has to come from the registry. */
  renew(upstream: UpstreamName, seed: number): void {
    this.images[upstream] = makeImage({ seed, layers: [3000, 1_200_000] });
    this.registries[upstream].addImage(REPOSITORY, 'latest', this.images[upstream]);
  }

  /** Waits until the first node holds what it pulled, and the supernode knows. */
  async held(upstream: UpstreamName): Promise<void> {
    const digests = this.images[upstream].blobs.map(({ digest }) => digest);
    await until(`the supernode knows the blobs of ${upstream}`, KNOWN_BOUND_MS, async () => {
      const { body } = await this.ask(this.supernodeUrl.slice('http://'.length), '/api/v1/blobs');
      return digests.every((digest) => body.includes(digest));
    });
  }

  /** Adds every token, signature and proof that registries and wiretaps have seen to the secrets. */
  overhear(): void {
    for (const registry of Object.values(this.registries)) {
      for (const { headers, path } of registry.requests) {
        const token = /^Bearer (secret-token-\S+)$/.exec(headers.authorization ?? '')?.[1];
        if (token !== undefined) this.markers.add('token of a token service', token);
        const signature = /signature=(secret-signature-[^&]+)/.exec(path)?.[1];
        if (signature !== undefined) this.markers.add('signature of a URL', signature);
      }
    }
    for (const [, proof] of this.taps.session.heard().matchAll(/"proof":"([\w-]{43})"/g))
      this.markers.add('session proof', proof!);
    for (const [, token] of this.taps.pieces.heard().matchAll(/Hawker (1\.[\w.-]+)/g))
      this.markers.add('piece token', token!);
  }

  /** All texts that others can see, by what they are. */
  async texts(): Promise<Map<string, string>> {
    const texts = new Map<string, string>([['answers', this.answers.join('\n')]]);
    const programs = [
      ['supernode', this.supernode] as const,
      ...this.nodes.map(({ program }, i) => [`node ${i}`, program] as const),
    ];
    for (const [name, program] of programs) {
      texts.set(`output of ${name}`, program.output);
      texts.set(`process of ${name}`, program.procfs());
    }
    const apis = [this.supernodeUrl.slice('http://'.length), ...this.nodes.map(({ api }) => api)];
    for (const api of apis) {
      for (const path of [
        '/metrics',
        '/api/v1/status',
        '/api/v1/peers',
        '/api/v1/blobs',
        '/livez',
        '/readyz',
        '/nothing',
      ]) {
        const { body } = await this.ask(api, path);
        texts.set(`${path} of ${api}`, body.toString());
      }
    }
    for (const { store } of this.nodes) {
      const files = filesBelow(store);
      texts.set(`names in ${store}`, files.map(({ path }) => path).join('\n'));
      for (const { path, bytes } of files) texts.set(path, bytes.toString('latin1'));
    }
    return texts;
  }

  async #startRegistries(): Promise<void> {
    for (const [index, name] of UPSTREAMS.entries()) {
      const registry = await HostileRegistry.start();
      this.#t.teardown(() => registry.close());
      this.registries[name] = registry;
      this.renew(name, index);
      registry.auth.mode = name === 'password' ? 'basic' : name === 'egress' ? 'none' : 'bearer';
      registry.auth.privateRepositories.add(REPOSITORY);
    }
    const { password, docker, identity, helper, client } = this.registries;
    password.auth.users.set('ann', this.passwords.password);
    docker.auth.users.set('ben', this.passwords.docker);
    docker.redirectBlobs = { status: 307 };
    helper.auth.users.set('dan', this.passwords.helper);
    client.auth.users.set('alice', this.passwords.alice);
    identity.auth.refreshTokens.set(this.markers.make('identity token'), 'cid');
  }

  async #startCluster(): Promise<void> {
    const { markers } = this;
    const joinSecret = markers.make('join secret', 40);
    markers.add('reader token', new Membership(joinSecret).readerTokens[0]!);
    const cluster = {
      secretFile: this.secretFile('join-secret', `${joinSecret}\n`),
      operatorTokenFile: this.secretFile('operator-token', `${markers.make('operator token', 40)}\n`),
    };
    const run = { ...this.#run, dir: join(this.dir, 'heap') };
    const common = ['--log-level', 'trace', '--log-format', 'json'];
    const flags = [
      '--cluster-secret-file',
      cluster.secretFile,
      '--cluster-operator-token-file',
      cluster.operatorTokenFile,
    ];
    this.supernode = new Program(this.#t, ['supernode', '--supernode-listen', '127.0.0.1:0', ...flags, ...common], run);
    const address = await this.supernode.address('supernode');
    this.supernodeUrl = `http://${address}`;
    this.taps = { session: await Wiretap.start(() => address), pieces: await Wiretap.start(() => this.#piecePort) };
    for (const tap of Object.values(this.taps)) this.#t.teardown(() => tap.close());
    for (const name of ['one', 'two']) await this.#startNode(name, cluster, common, run);
    await until('both nodes are ready', KNOWN_BOUND_MS, async () => {
      const { body } = await this.ask(address, '/api/v1/peers');
      return body.toString().split('"state":"ready"').length === 3;
    });
  }

  async #startNode(name: string, cluster: object, common: readonly string[], run: RunOptions): Promise<void> {
    const any = { listen: '127.0.0.1:0' };
    const store = join(this.dir, `store-${name}`);
    const config = this.secretFile(
      `${name}.json`,
      JSON.stringify({
        proxy: { ...any, defaultUpstream: 'client.test' },
        peer: { ...any, ...(name === 'one' && { advertise: [this.taps.pieces.address] }) },
        api: any,
        supernodes: [`http://${this.taps.session.address}`],
        cluster,
        store: { dir: store, quota: '1GiB' },
        upstreams: { '*': false, ...(await this.#upstreams()) },
      }),
    );
    const env = { ...run.env, PATH: `${join(this.dir, 'bin')}:${process.env['PATH']}` };
    const program = new Program(this.#t, ['proxy', '--config', config, ...common], { ...run, env });
    const [mirror, pieces, api] = await Promise.all(['mirror', 'pieces', 'api'].map((role) => program.address(role)));
    if (name === 'one') this.#piecePort = pieces!;
    this.nodes.push({ program, mirror: mirror!, api: api!, store, config });
  }

  #egress: EgressProxy | undefined;

  async #upstreams(): Promise<Record<string, object>> {
    if (!this.#egress) {
      const egress = await EgressProxy.start();
      this.#t.teardown(() => egress.close());
      egress.authorization = basic('eve', this.markers.make('password of the egress proxy'));
      this.#egress = egress;
    }
    const [, userinfo] = Buffer.from(this.#egress.authorization!.slice('Basic '.length), 'base64')
      .toString()
      .split(':');
    const identity = [...this.registries.identity.auth.refreshTokens.keys()][0]!;
    const auths = {
      'docker.test': { auth: Buffer.from(`ben:${this.passwords.docker}`).toString('base64') },
      'identity.test': { identitytoken: identity },
    };
    const dockerConfig = this.secretFile('config.json', JSON.stringify({ auths }));
    this.#writeHelper();
    const how: Record<UpstreamName, object> = {
      password: { username: 'ann', passwordFile: this.secretFile('password', `${this.passwords.password}\n`) },
      docker: { dockerConfig },
      identity: { dockerConfig },
      helper: { credentialHelper: 'marked' },
      egress: { egressProxy: `http://eve:${userinfo}@${this.#egress.host}` },
      client: {},
    };
    const url = (name: UpstreamName) => ({ url: this.registries[name].url, allow: ['127.0.0.0/8'] });
    return Object.fromEntries(UPSTREAMS.map((name) => [`${name}.test`, { ...url(name), ...how[name] }]));
  }

  /** It writes down what it sees of the node, as any program that it calls could. */
  #writeHelper(): void {
    const answer = this.secretFile('helper.json', JSON.stringify({ Username: 'dan', Secret: this.passwords.helper }));
    const file = join(this.dir, 'bin', 'docker-credential-marked');
    mkdirSync(join(this.dir, 'bin'), { recursive: true });
    const seen = join(this.dir, 'helper-saw');
    writeFileSync(
      file,
      `#!/bin/sh\n{ env; tr '\\0' ' ' </proc/$PPID/cmdline; tr '\\0' '\\n' </proc/$PPID/environ; echo "$@"; cat; } >>${seen}\ncat ${answer}\n`,
    );
    chmodSync(file, 0o755);
  }
}
