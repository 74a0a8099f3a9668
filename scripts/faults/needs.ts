import { missingHere } from '../netns/needs.ts';

/** Debian packages, by the programs that the rig runs. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  iptables: 'iptables',
  faketime: 'faketime',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  mount: 'mount',
  umount: 'mount',
  sh: 'dash',
  env: 'coreutils',
  sha256sum: 'coreutils',
  curl: 'curl',
  'docker-registry': 'docker-registry',
};

export const PROGRAMS: readonly string[] = Object.keys(PACKAGES);

/** Why the rig cannot run here, each reason with what to do; none: it can. */
export const missing = () => missingHere(PACKAGES);
