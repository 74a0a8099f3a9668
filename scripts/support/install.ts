import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian packages, each with the programs of it that the end-to-end tests run. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  'docker-registry': ['docker-registry'],
  'docker.io': ['dockerd'],
  containerd: ['containerd', 'ctr'],
  podman: ['podman'],
  skopeo: ['skopeo'],
  umoci: ['umoci'],
  runc: ['runc'],
  iptables: ['iptables'],
  faketime: ['faketime'],
  iproute2: ['ip'],
  'util-linux': ['unshare'],
  mount: ['mount', 'umount'],
  curl: ['curl'],
  tar: ['tar'],
};

const POLICY = '/usr/sbin/policy-rc.d';

function isInstalled(program: string): boolean {
  const path = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return path.some((dir) => existsSync(join(dir, program)));
}

/** Installs what is missing where that is allowed: as root, with apt. Says what it did, or why it did not. */
export function installMissing(say: (line: string) => void): void {
  const needed = Object.entries(PACKAGES).filter(([, programs]) => !programs.every(isInstalled));
  const names = needed.map(([name]) => name);
  if (names.length === 0) return;
  const obstacle =
    process.getuid?.() !== 0
      ? 'only root may install packages'
      : isInstalled('apt-get')
        ? undefined
        : 'there is no apt-get here';
  if (obstacle) {
    say(`not installed, and ${obstacle}: ${names.join(', ')}; the tests that need them are skipped`);
    return;
  }
  say(`installing ${names.join(', ')}`);
  withoutServices(() => {
    apt(['update'], say);
    apt(['install', '--yes', '--no-install-recommends', ...names], say);
  });
  const absent = Object.values(PACKAGES)
    .flat()
    .filter((program) => !isInstalled(program));
  if (absent.length > 0) say(`still missing, so that tests are skipped: ${absent.join(', ')}`);
}

/**
 * Packages of daemons start them. A policy that says no keeps them from it for as long as `work` takes (deb-systemd-invoke and
 * invoke-rc.d ask it); a machine that has a policy of its own keeps that.
 */
function withoutServices(work: () => void): void {
  if (existsSync(POLICY)) {
    work();
    return;
  }
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    work();
  } finally {
    rmSync(POLICY);
  }
}

function apt(args: readonly string[], say: (line: string) => void): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, stdout, stderr } = spawnSync('apt-get', ['--quiet', ...args], { env, encoding: 'utf8' });
  if (status !== 0) say(`apt-get ${args[0]} failed with ${status}:\n${(stderr || stdout).trim()}`);
}
