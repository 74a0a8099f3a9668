/** A secret that an operator put into the wrong place of a configuration is not shown by what says that it is wrong. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { lookAtConfig } from '../../src/doctor/config-check.ts';
import { runCommand } from '../support/cli.ts';
import { Markers } from './support/markers.ts';

t.test('a secret in the wrong place of a configuration is not shown', async (t) => {
  const dir = t.testdir({});
  const markers = new Markers();
  const secret = () => markers.make('misplaced secret');
  const wrong: readonly { yaml?: string; args?: string[]; env?: NodeJS.ProcessEnv }[] = [
    { yaml: `cluster: {secretFile: ${secret()}}` },
    { yaml: `cluster: {operatorTokenFile: ${secret()}}` },
    { yaml: `cluster: {secret: ${secret()}}` },
    { yaml: `upstreams: {a.test: {username: ann, passwordFile: ${secret()}}}` },
    { yaml: `upstreams: {a.test: {dockerConfig: ${secret()}}}` },
    { yaml: `upstreams: {a.test: {password: ${secret()}}}` },
    { yaml: `upstreams: {a.test: {url: 'https://ann:${secret()}@a.test'}}` },
    { yaml: `upstreams: {a.test: {egressProxy: 'ftp://ann:${secret()}@a.test:1'}}` },
    { yaml: `upstreams: {a.test: {egressProxy: 'ann:${secret()}@a.test:1'}}` },
    { yaml: `upstreams: {a.test: {allow: ['ann:${secret()}@a.test']}}` },
    { yaml: `upstreams: {a.test: {credentialHelper: 'ecr ${secret()}@x'}}` },
    { yaml: `upstreams: {'https://ann:${secret()}@a.test': {}}` },
    { yaml: `proxy: {defaultUpstream: 'ann:${secret()}@a.test'}` },
    { yaml: `proxy: {listen: 'ann:${secret()}@127.0.0.1:0'}` },
    { yaml: `peer: {advertise: ['ann:${secret()}@127.0.0.1:1']}` },
    { yaml: `supernodes: ['http://ann:${secret()}@127.0.0.1:1']` },
    { yaml: `cluster:\n  secretFile:${secret()}` },
    { yaml: `cluster:\n  secretFile: "${secret()}` },
    { yaml: `cluster:\n  secretFile: !${secret()} nowhere` },
    { yaml: `cluster:\n  secretFile: *${secret()}` },
    { yaml: `cluster:\n  secretFile: |${secret()}` },
    { yaml: `cluster: {secretFile: x}\n${secret()}` },
    { yaml: `]${secret()}` },
    { env: { HAWKER_CLUSTER_SECRET_FILE: secret() } },
    { env: { HAWKER_SUPERNODES: `http://ann:${secret()}@h:1` } },
    { env: { HAWKER_CLUSTER_SECRET: secret() } },
    { env: { HAWKER_UPSTREAMS: `{a.test: {password: ${secret()}}}` } },
    { args: [`--cluster-secret=${secret()}`] },
    { args: ['--cluster-secret-file', secret()] },
    { args: ['--supernodes', `http://ann:${secret()}@h:1`] },
  ];
  for (const [index, { yaml, args = [], env = {} }] of wrong.entries()) {
    const file = join(dir, `${index}.yaml`);
    writeFileSync(file, yaml ?? '{}');
    const argv = ['--config', file, ...args];
    const around = { environment: env, directory: dir };
    for (const command of ['up', 'token']) {
      const { status, out, err } = await runCommand([command, ...argv], {
        ...around,
        account: { root: false, home: dir },
      });
      if (command === 'up') t.not(status, 0, `refused: ${yaml ?? JSON.stringify([args, env])}`);
      // A name for a file that is to be made is no secret.
      if (command === 'up' || status !== 0) t.same(markers.findIn(out + err), [], `${command} says: ${out}${err}`);
    }
    const account = { root: false, home: dir };
    const { findings } = await lookAtConfig({ file, environment: env, flags: {}, account, directory: dir });
    t.same(markers.findIn(JSON.stringify(findings).replaceAll(file, '')), [], 'nor by the doctor');
  }
});
