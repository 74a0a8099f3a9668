import { hostname } from 'node:os';
import { readSecretFile } from '../app/join-secret.ts';
import type { Config } from '../config/config.ts';
import { formatAddress, isLoopback, isUnspecified } from '../config/formats.ts';
import { loadConfig, type ConfigSources } from '../config/load.ts';
import { defaultSecretPaths, findOrMakeSecret } from './join-secret.ts';
import type { ProcessPort } from './process-port.ts';

export interface TokenOptions {
  /** Prints the secret and nothing else. */
  readonly show: boolean;
  readonly json: boolean;
}

/** Makes the join secret, or finds it, and prints how another node joins. The secret itself is printed only for `--show`. */
export async function runToken(sources: ConfigSources, port: ProcessPort, { show, json }: TokenOptions): Promise<void> {
  const { config } = await loadConfig({ ...sources, withoutFiles: true });
  const { secretFile } = config.cluster;
  const paths =
    secretFile === undefined
      ? defaultSecretPaths(sources.account, sources.environment['XDG_CONFIG_HOME'])
      : [secretFile];
  const { path, made } = await findOrMakeSecret(paths);
  const secret = await readSecretFile(path);
  const join = joinCommand(config, path);
  if (json) port.print(`${JSON.stringify({ secretFile: path, made, join, ...(show && { secret }) })}\n`);
  else if (show) port.print(`${secret}\n`);
  else port.print(explanation(config, path, made, join));
}

function joinCommand({ supernode }: Config, path: string): string {
  const { host, port } = supernode.listen;
  const own = isLoopback(host) || isUnspecified(host) ? hostname() : host;
  const url = `http://${formatAddress({ host: own, port })}`;
  return `hawker proxy --supernodes ${url} --peer-listen ITS_ADDRESS:65002 --cluster-secret-file ${quoted(path)}`;
}

function explanation({ supernode }: Config, path: string, made: boolean, join: string): string {
  const { host, port } = supernode.listen;
  const lines = [
    made ? `Made a join secret: ${path}` : `The join secret is in ${path}`,
    '',
    'Another node joins with a copy of that file (mode 0600), ITS_ADDRESS being where others reach that node:',
    `  ${join}`,
  ];
  if (isLoopback(host)) {
    lines.push(
      '',
      `The supernode here listens on ${formatAddress(supernode.listen)}, for this machine only. To let others in, start it so:`,
      `  hawker supernode --supernode-listen 0.0.0.0:${port} --cluster-secret-file ${quoted(path)}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** As a shell takes it for one word. */
function quoted(path: string): string {
  return /^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
