import { formatSize } from '../base/units.ts';
import type { ListeningAddress } from '../app/service.ts';
import type { Config } from '../config/config.ts';
import { formatAddress } from '../config/formats.ts';

/** What a person sees on the terminal when Hawker is up: where it is, what to try, where data lies. Under ten lines. */
export function banner(version: string, config: Config, addresses: readonly ListeningAddress[]): string {
  const mirrors = addresses.filter(({ role }) => role === 'mirror');
  const others = addresses.filter(({ role }) => role !== 'mirror');
  const shared = mirrors.find(({ upstream }) => upstream === undefined) ?? mirrors[0];
  const lines = [`Hawker ${version} is up`, `  mirror  ${mirrors.map(shown).join(', ')}`];
  if (others.length > 0) lines.push(`  ${others[0]!.role.padEnd(6)}  ${others.map(shown).join(', ')}`);
  lines.push(`  data    ${config.store.dir} (up to ${formatSize(config.store.quotaBytes)})`);
  if (shared) {
    const near = formatAddress({ host: nearHost(shared.host), port: shared.port });
    lines.push(
      `  try     docker pull ${near}/docker.io/library/alpine`,
      `          curl -i http://${near}/v2/docker.io/library/alpine/manifests/latest`,
    );
  }
  lines.push('          hawker demo', '');
  return lines.join('\n');
}

function shown(address: ListeningAddress): string {
  const bound = address.upstream === undefined ? '' : ` (${address.upstream})`;
  return `http://${formatAddress(address)}${bound}`;
}

/** Where this machine reaches what listens on all addresses. */
function nearHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}
