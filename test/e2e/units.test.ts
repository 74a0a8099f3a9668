/**
 * The units of config/systemd, as systemd's own tools see them: installed and enabled below a root of their own, nothing in them is unknown or
 * missing, and little of the machine is open to the services.
 */
import { chmod, cp, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { must, run } from './support/programs.ts';
import { e2e, type Rig } from './support/rig.ts';

const UNITS = fileURLToPath(new URL('../../../config/systemd/', import.meta.url));
const SYSTEM = 'etc/systemd/system';
const SERVICES = ['hawker-up', 'hawker-proxy', 'hawker-supernode'] as const;
const COMMANDS = ['up', 'proxy', 'supernode'];
/** Of 100: 2.0, where systemd's own table goes from 0.0 (nothing is open) to 10.0; up to 4.9 it calls OK. What is left is the network. */
const EXPOSURE = 20;
const TOOLS = ['systemctl', 'systemd-analyze', 'systemd-sysusers'];

/** A system of its own below a directory, with the units, and what they start as far as systemd looks at it. */
async function system(rig: Rig, name: string): Promise<string> {
  const root = await rig.folder(name);
  await mkdir(join(root, SYSTEM), { recursive: true });
  await cp(UNITS, join(root, SYSTEM), { recursive: true });
  const own = '/lib/systemd/system';
  await mkdir(join(root, 'usr', own), { recursive: true });
  for (const file of await readdir(own)) {
    if (file.endsWith('.target')) await cp(join(own, file), join(root, 'usr', own, file), { dereference: true });
  }
  for (const program of ['usr/bin/hawker', 'bin/kill']) {
    await mkdir(join(root, program, '..'), { recursive: true });
    await writeFile(join(root, program), '#!/bin/sh\n');
    await chmod(join(root, program), 0o755);
  }
  return root;
}

const verify = (root: string, units: readonly string[]) =>
  run('systemd-analyze', ['verify', `--root=${root}`, '--man=no', '--recursive-errors=yes', ...units]);

e2e(t, 'they can be enabled, alone or a proxy beside a supernode, and verify finds nothing', TOOLS, async (t, rig) => {
  const sets = [['hawker-up'], ['hawker-proxy', 'hawker-supernode']] as const;
  for (const services of sets) {
    const root = await system(rig, services.join('-'));
    const units = services.map((service) => `${service}.service`);
    await must('systemctl', [`--root=${root}`, 'enable', ...units]);
    t.equal(await readlink(join(root, SYSTEM, 'hawker.service')), `/${SYSTEM}/${units[0]}`, 'what the sockets start');
    const wanted = await readdir(join(root, SYSTEM, 'sockets.target.wants'));
    const sockets = ['api', 'mirror', 'pieces', ...(services.length > 1 ? ['supernode'] : [])];
    t.same(
      wanted.toSorted(),
      sockets.map((socket) => `hawker-${socket}.socket`),
    );
    const { code, stdout, stderr } = await verify(root, [...units, ...wanted]);
    t.equal(code, 0);
    t.equal(stdout + stderr, '');
    const other = services[0] === 'hawker-up' ? 'hawker-proxy.service' : 'hawker-up.service';
    t.not((await run('systemctl', [`--root=${root}`, 'enable', other])).code, 0, 'no second one for the same sockets');
  }
});

e2e(t, 'verify would say what is wrong', TOOLS, async (t, rig) => {
  const root = await system(rig, 'spoilt');
  const path = join(root, SYSTEM, 'hawker-supernode.service');
  await writeFile(path, (await readFile(path, 'utf8')).replace('ProtectSystem=strict', 'ProtectSystem=rather'));
  t.match((await verify(root, ['hawker-supernode.service'])).stderr, /Failed to parse protect system value/);
});

e2e(t, 'little is open to them, they reload by SIGHUP, and their user can be made', TOOLS, async (t, rig) => {
  const root = await system(rig, 'root');
  const args = ['security', '--offline=true', `--root=${root}`, `--threshold=${EXPOSURE}`, '--no-pager'];
  for (const [i, service] of SERVICES.entries()) {
    const { code, stdout, stderr } = await run('systemd-analyze', [...args, `${service}.service`]);
    t.equal(code, 0, `${service}: ${stdout.trim().split('\n').at(-1)}${stderr}`);
    const text = await readFile(join(UNITS, `${service}.service`), 'utf8');
    t.match(text, `ExecStart=hawker ${COMMANDS[i]} --config /etc/hawker/hawker.yaml\n`);
    t.match(text, 'ExecReload=/bin/kill -HUP $MAINPID\n');
    t.match(text, /^User=hawker$/m);
  }
  const bare = join(root, SYSTEM, 'bare.service');
  await writeFile(bare, '[Service]\nExecStart=/usr/bin/hawker up\n');
  t.not((await run('systemd-analyze', [...args, 'bare.service'])).code, 0, 'the threshold would be missed');

  await writeFile(join(root, 'etc/passwd'), '');
  await writeFile(join(root, 'etc/group'), '');
  await mkdir(join(root, 'usr/lib/sysusers.d'), { recursive: true });
  await cp(join(UNITS, 'hawker.sysusers'), join(root, 'usr/lib/sysusers.d/hawker.conf'));
  await must('systemd-sysusers', [`--root=${root}`]);
  t.match(await readFile(join(root, 'etc/passwd'), 'utf8'), /^hawker:x:\d+:\d+:Hawker:\/var\/lib\/hawker:/m);
});
