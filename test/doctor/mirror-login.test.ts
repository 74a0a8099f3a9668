import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Config } from '../../src/config/config.ts';
import type { Around } from '../../src/doctor/check.ts';
import { MirrorFaces, urlOf } from '../../src/doctor/mirror-faces.ts';
import { checkMirror, type ProxyLook } from '../../src/doctor/services.ts';
import { readMirrorTls } from '../../src/proxy/mirror-tls.ts';
import { Rig } from '../proxy/rig.ts';
import { TEST_TLS } from '../support/registry-tls.ts';

t.test('listeners with TLS, and those that ask for a login, are seen to answer', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'hawker-doctor-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  for (const [name, text] of Object.entries(TEST_TLS)) writeFileSync(join(dir, name), text);
  const files = { cert: join(dir, 'cert'), key: join(dir, 'key'), clientCa: undefined };
  const rig = await Rig.start(t, { users: new Map(), tls: await readMirrorTls(files), refsDir: dir });
  const listen = (port: number) => ({ host: '127.0.0.1', port });
  const more = { upstream: undefined, login: false, tls: true };
  const listeners = [
    { ...more, listen: listen(rig.loginPort), login: true },
    { ...more, listen: listen(rig.plainPort), tls: false },
  ];
  const proxy = { listen: listen(rig.port), login: false, tls: files, listeners, defaultUpstream: 'docker.io' };
  const around = { config: { proxy } as unknown as Config, root: '/' } as Around;
  const findings = await checkMirror(around, { isDown: false } as ProxyLook);
  t.match(
    findings.map(({ status, seen }) => [status, seen]),
    [
      ['ok', '/v2/ is answered by Hawker'],
      ['ok', '/v2/ is answered by Hawker, with the question for a login'],
      ['ok', '/v2/ is answered by Hawker'],
    ],
  );
  const faces = new MirrorFaces({ proxy: proxy as unknown as Config['proxy'] });
  t.same(
    faces.faces.map((face) => urlOf(face).replace(/\d+$/, '')),
    ['https://127.0.0.1:', 'https://127.0.0.1:', 'http://127.0.0.1:'],
  );
  t.equal(faces.plainFor('docker.io')?.listen.port, rig.port);
  const asking = new MirrorFaces({ proxy: { ...proxy, login: true, listeners: [] } as unknown as Config['proxy'] });
  t.equal(asking.plainFor('docker.io'), undefined, 'dockerd is to name none that asks');
});
