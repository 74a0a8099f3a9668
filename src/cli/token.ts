import { hostname } from 'node:os';
import { readSecretFile } from '../app/join-secret.ts';
import type { Config } from '../config/config.ts';
import { formatAddress, isLoopback, isUnspecified } from '../config/formats.ts';
import { loadConfig, type ConfigSources } from '../config/load.ts';
import { findOrMakeSecret, secretPaths } from './join-secret.ts';
import type { ProcessPort } from './process-port.ts';

export interface TokenOptions {
  /** The operator's token instead of the join secret. */
  readonly operator: boolean;
  /** Prints the secret and nothing else. */
  readonly show: boolean;
  readonly json: boolean;
}

/**
 * Makes the join secret, or finds it, and prints how another node joins; or the operator's token, and what it opens. The secret
 * itself is printed only for `--show`.
 */
export async function runToken(
  sources: ConfigSources,
  port: ProcessPort,
  { operator, show, json }: TokenOptions,
): Promise<void> {
  const { config } = await loadConfig({ ...sources, withoutFiles: true });
  const { path, made } = await findOrMakeSecret(secretPaths(config, sources, operator));
  const { first: secret } = await readSecretFile(path);
  const shown = show && (operator ? { token: secret } : { secret });
  const about = operator ? { operatorTokenFile: path } : { secretFile: path, join: joinCommand(config, path) };
  if (json) port.print(`${JSON.stringify({ ...about, made, ...shown })}\n`);
  else if (show) port.print(`${secret}\n`);
  else port.print(operator ? operatorText(config, path, made) : explanation(config, path, made));
}

function operatorText({ cluster: { tls, operatorTokenFile } }: Config, path: string, made: boolean): string {
  const curl = tls ? `curl --cacert ${quoted(tls.ca)} -H` : 'curl -H';
  return `${made ? `Made an operator token: ${path}` : `The operator token is in ${path}`}

A supernode that other machines can reach answers its API only with it (/livez and /readyz apart). Members may ask without; with it
one may also command. ${startedWith(operatorTokenFile, path)}
  ${curl} "Authorization: Bearer $(cat ${quoted(path)})" ${tls ? 'https' : 'http'}://SUPERNODE:6789/api/v1/peers
A browser asks for it as a password; the user name does not matter.
`;
}

function startedWith(configured: string | undefined, path: string): string {
  if (configured !== undefined) return 'Supernode and commands find it by the settings that name it.';
  return `The supernode is started with it, and the commands find it by the same setting:
  hawker supernode --cluster-operator-token-file ${quoted(path)} ...`;
}

/** Of the joining node, whose certificates are its own. */
const TLS_FLAGS = '--cluster-tls-cert ITS_CERT --cluster-tls-key ITS_KEY --cluster-tls-ca CA';

function joinCommand({ supernode, cluster: { tls } }: Config, path: string): string {
  const { host, port } = supernode.listen;
  const own = isLoopback(host) || isUnspecified(host) ? hostname() : host;
  const url = `${tls ? 'https' : 'http'}://${formatAddress({ host: own, port })}`;
  const all = host.includes(':') ? '[::]' : '0.0.0.0';
  return `hawker proxy --supernodes ${url} --peer-listen ${all}:65002 --cluster-secret-file ${quoted(path)}${tls ? ` ${TLS_FLAGS}` : ''}`;
}

function explanation(config: Config, path: string, made: boolean): string {
  const { supernode } = config;
  const { host, port } = supernode.listen;
  const lines = [
    made ? `Made a join secret: ${path}` : `The join secret is in ${path}`,
    '',
    'Another node joins with a copy of that file (mode 0600):',
    `  ${joinCommand(config, path)}`,
  ];
  if (config.cluster.tls) lines.push('', 'Its certificate is one of its own, by the CA of this cluster: docs/tls.md.');
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
