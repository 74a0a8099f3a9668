import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';

/** Debian packages, each with the programs, or else files, of it that are used. */
export type Packages = Readonly<Record<string, readonly string[]>>;

/** For the end-to-end tests. */
export const E2E_PACKAGES: Packages = {
  'docker-registry': ['docker-registry'],
  'docker.io': ['dockerd'],
  containerd: ['containerd', 'ctr'],
  podman: ['podman'],
  skopeo: ['skopeo'],
  umoci: ['umoci'],
  'nginx-light': ['nginx'],
  runc: ['runc'],
  crun: ['crun'],
  iptables: ['iptables'],
  faketime: ['faketime'],
  iproute2: ['ip'],
  'util-linux': ['unshare'],
  mount: ['mount', 'umount'],
  curl: ['curl'],
  tar: ['tar'],
  openssl: ['openssl'],
  prometheus: ['prometheus', 'promtool'],
  systemd: ['systemctl', 'systemd-analyze', 'systemd-socket-activate', 'systemd-sysusers'],
  shellcheck: ['shellcheck'],
  'golang-go': ['go'],
  'golang-github-masterminds-sprig-dev': ['/usr/share/gocode/src/github.com/Masterminds/sprig'],
  'golang-gopkg-yaml.v3-dev': ['/usr/share/gocode/src/gopkg.in/yaml.v3'],
  chromium: ['chromium'],
  // What Chromium writes with; without any, a page has no letters.
  'fonts-liberation': ['/usr/share/doc/fonts-liberation'],
};

/** For the benchmark: what it compares with, too. */
export const BENCH_PACKAGES: Packages = {
  'docker-registry': ['docker-registry'],
  'nginx-light': ['nginx'],
  'docker.io': ['dockerd'],
  containerd: ['containerd', 'ctr'],
  runc: ['runc'],
  iptables: ['iptables'],
  iproute2: ['ip', 'tc'],
  'util-linux': ['unshare', 'nsenter', 'taskset'],
  mount: ['mount', 'umount'],
  curl: ['curl'],
  tar: ['tar'],
  mktorrent: ['mktorrent'],
  opentracker: ['opentracker'],
  aria2: ['aria2c'],
  'python3-libtorrent': ['/usr/lib/python3/dist-packages/libtorrent'],
};

const POLICY = '/usr/sbin/policy-rc.d';

function isInstalled(program: string): boolean {
  if (program.startsWith('/'))
    return (
      existsSync(dirname(program)) && readdirSync(dirname(program)).some((name) => name.startsWith(basename(program)))
    );
  const path = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return path.some((dir) => existsSync(join(dir, program)));
}

/** Installs what is missing where that is allowed: as root, with apt. Says what it did, or why it did not. */
export function installMissing(packages: Packages, say: (line: string) => void): void {
  const needed = Object.entries(packages).filter(([, programs]) => !programs.every(isInstalled));
  const names = needed.map(([name]) => name);
  if (names.length === 0) return;
  const obstacle =
    process.getuid?.() !== 0
      ? 'only root may install packages'
      : isInstalled('apt-get')
        ? undefined
        : 'there is no apt-get here';
  if (obstacle) {
    say(`not installed, and ${obstacle}: ${names.join(', ')}; what needs them is left out or fails`);
    return;
  }
  say(`installing ${names.join(', ')}`);
  withoutServices(() => {
    apt(['update'], say);
    apt(['install', '--yes', '--no-install-recommends', ...names], say);
  });
  const absent = Object.values(packages)
    .flat()
    .filter((program) => !isInstalled(program));
  if (absent.length > 0) say(`still missing: ${absent.join(', ')}`);
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
