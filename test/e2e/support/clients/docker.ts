import { createWriteStream } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import type { Hawker } from '../hawker.ts';
import type { Published } from '../images.ts';
import type { User } from '../private-origin.ts';
import { must } from '../programs.ts';
import type { Rig } from '../rig.ts';
import { within } from '../wait.ts';
import { hashFile, type StepwiseClient } from './client.ts';
import { overlayWorks } from './overlay.ts';

const START_BOUND_MS = 40_000;
const PULL_BOUND_MS = 180_000;

/** dockerd with the mirror as `--registry-mirror`, spoken to by its HTTP API. */
export async function docker(
  rig: Rig,
  mirror: Pick<Hawker, 'url' | 'address'>,
  name = 'dockerd',
  user?: User,
): Promise<StepwiseClient> {
  const dir = await rig.folder(name);
  const socket = join(dir, 'd.sock');
  const config = join(dir, 'daemon.json');
  await writeFile(config, '{}');
  const paths = ['data-root', 'exec-root', 'pidfile'].flatMap((name) => [`--${name}`, join(dir, name)]);
  const network = [
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    '--ip-masq=false',
    '--userland-proxy=false',
  ];
  const driver = (await overlayWorks(rig)) ? 'overlay2' : 'vfs';
  const storage = ['--storage-driver', driver, '--registry-mirror', mirror.url, '--log-level=warn'];
  const args = ['--config-file', config, ...paths, '--host', `unix://${socket}`, ...network, ...storage];
  const daemon = rig.daemon(name, 'dockerd', args, { TMPDIR: dir, DOCKER_TMPDIR: dir });
  const api = (method: string, path: string, headers = {}) => call(socket, method, `/v1.40${path}`, headers);
  await daemon.ready('GET /_ping', START_BOUND_MS, async () => {
    const pong = await call(socket, 'GET', '/_ping').catch(() => undefined);
    return pong && (await text(pong)) === 'OK';
  });

  const forget = async () => {
    for (const { Id } of JSON.parse(await text(await api('GET', '/images/json?all=1'))) as { Id: string }[]) {
      await text(await api('DELETE', `/images/${Id}?force=1`));
    }
  };

  const fetch = async ({ repository, tag }: Pick<Published, 'repository' | 'tag'>) => {
    const name = repository.replace('library/', '');
    const progress = within(
      'docker pull',
      PULL_BOUND_MS,
      api('POST', `/images/create?fromImage=${name}&tag=${tag}`, user && authOf(user)).then(text),
    );
    const failure = (await progress).split('\n').find((line) => /"errorDetail"|^\{"message"/.test(line));
    if (failure) throw new Error(`docker pull ${name}:${tag}: ${failure}`);
  };

  return {
    name: 'docker',
    anyRegistry: false,
    forget,
    fetch,
    async pull({ repository, tag }) {
      await forget();
      await fetch({ repository, tag });
      const name = repository.replace('library/', '');
      return await exported(await api('GET', `/images/${name}:${tag}/get`), join(dir, 'saved'));
    },
    expected: ({ native }: Published) => [native.config, ...native.diffIds].sort(),
  };
}

/** The digests of the configuration and the layers' tars in what `docker save` gives. */
async function exported(tar: IncomingMessage, dir: string): Promise<string[]> {
  await pipeline(tar, createWriteStream(`${dir}.tar`));
  await must('mkdir', ['--parents', dir]);
  await must('tar', ['--extract', '--file', `${dir}.tar`, '--directory', dir]);
  const [saved] = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')) as {
    Config: string;
    Layers: string[];
  }[];
  const digests: string[] = [];
  for (const file of [saved!.Config, ...saved!.Layers]) digests.push(await hashFile(join(dir, file)));
  await rm(dir, { recursive: true });
  await rm(`${dir}.tar`);
  return digests.sort();
}

/** As the docker command sends what `docker login` has kept. */
function authOf({ name, password }: User): Record<string, string> {
  const auth = { username: name, password, serveraddress: 'https://index.docker.io/v1/' };
  // Go's URL encoding, which has the padding.
  const text = Buffer.from(JSON.stringify(auth)).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
  return { 'x-registry-auth': text };
}

async function call(
  socketPath: string,
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    request({ socketPath, method, path, headers, agent: false }, resolve).once('error', reject).end();
  });
}
