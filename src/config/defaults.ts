import { join } from 'node:path';
import type { Settings } from './schema.ts';
import { SETTINGS } from './settings.ts';

/**
 * Registries that anyone may pull from without an account, and the private ones of the large clouds, which the client opens
 * with its own credentials: the allow-list as long as nobody changes it.
 */
const PUBLIC_REGISTRIES = [
  'ghcr.io',
  'quay.io',
  'gcr.io',
  '*.gcr.io',
  '*.pkg.dev',
  'registry.k8s.io',
  'public.ecr.aws',
  '*.dkr.ecr.*.amazonaws.com',
  'mcr.microsoft.com',
  '*.azurecr.io',
  'registry.gitlab.com',
  'nvcr.io',
  'docker.elastic.co',
  'registry.access.redhat.com',
  'registry.redhat.io',
  'registry.fedoraproject.org',
  'registry.suse.com',
  'container-registry.oracle.com',
  'cgr.dev',
  'codeberg.org',
  'xpkg.upbound.io',
];

/** What holds where nothing else is said, as it would be written in the file. */
export function defaultSettings(): Settings {
  const settings: Record<string, unknown> = {
    upstreams: {
      'docker.io': { url: 'https://registry-1.docker.io' },
      ...Object.fromEntries(PUBLIC_REGISTRIES.map((host) => [host, {}])),
      // Its tokens come from GitHub.
      'lscr.io': { allow: ['ghcr.io'] },
    },
  };
  for (const { path, default: value } of SETTINGS) {
    if (value === undefined) continue;
    const parents = path.slice(0, -1);
    const part = parents.reduce((part, name) => (part[name] ??= {}) as Record<string, unknown>, settings);
    part[path.at(-1)!] = structuredClone(value);
  }
  return settings as unknown as Settings;
}

/** Who runs this, as far as the default directory depends on it. */
export interface Account {
  readonly root: boolean;
  readonly home: string;
}

/** `/var/lib/hawker` for root, else `$XDG_DATA_HOME/hawker` or `~/.local/share/hawker` (XDG Base Directory spec: relative is invalid). */
export function defaultStoreDir(account: Account, xdgDataHome: string | undefined): string {
  if (account.root) return '/var/lib/hawker';
  const base = xdgDataHome?.startsWith('/') ? xdgDataHome : join(account.home, '.local', 'share');
  return join(base, 'hawker');
}

/** The file that is read where no other is named: `/etc/hawker/hawker.yaml` for root, else in `$XDG_CONFIG_HOME/hawker` or `~/.config/hawker`. */
export function usualConfigFile(account: Account, xdgConfigHome: string | undefined): string {
  if (account.root) return '/etc/hawker/hawker.yaml';
  const base = xdgConfigHome?.startsWith('/') ? xdgConfigHome : join(account.home, '.config');
  return join(base, 'hawker', 'hawker.yaml');
}
