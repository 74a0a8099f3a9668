import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeDemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { startUp } from '../../src/app/up.ts';
import { silentLogger } from '../../src/base/log.ts';
import { runCommand } from '../support/cli.ts';
import { eventually, nodeConfig, peersReady, REGISTRY, urlOf } from '../support/cluster.ts';
import { FileServer } from '../support/file-server.ts';

type Line = Record<string, unknown>;

/** A node with an audit log, its supernode in it, and what it has written. */
async function startNode(t: Parameters<typeof FileServer.start>[0]) {
  const image = makeDemoImage([2000]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const server = await FileServer.start(t, 5000);
  const dir = t.testdir({});
  const file = join(dir, 'audit.log');
  const config = nodeConfig({ dir: join(dir, 'store'), origin: origin.url, files: [`${server.url}/**`] });
  const node = await startUp({ ...config, audit: { file } }, { log: silentLogger });
  t.teardown(() => node.stop());
  const written = () => readFileSync(file, 'utf8');
  const lines = (role: string): Line[] =>
    written()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line)
      .filter((line) => line['role'] === role);
  return { image, server, node, written, lines };
}

t.test('commands: preheat, pin, unpin, rm, gc', async (t) => {
  const { image: demo, node, lines } = await startNode(t);
  const supernode = urlOf(node, 'supernode');
  await peersReady(supernode, 1);
  const environment = { HAWKER_API_LISTEN: new URL(urlOf(node, 'api')).host, HAWKER_SUPERNODES: supernode };
  const run = (...argv: string[]) => runCommand(argv, { environment });
  const image = `${REGISTRY}/demo/app:v1`;
  t.match(await run('preheat', image), { status: 0 });
  t.match(await run('pin', image), { status: 0 });
  t.match(await run('rm', demo.blobs[0]!.digest), { status: 1 }, 'what is pinned stays');
  t.match(await run('unpin', image), { status: 0 });
  t.match(await run('gc', '--keep', '1B', '--dry-run'), { status: 0 });
  t.match(await run('rm', image), { status: 0 });
  const { id } = JSON.parse((await run('preheat', image, '--no-wait', '--json')).out) as { id: string };
  t.match(await run('preheat', '--cancel', id), { status: 0 });
  const told = { client: '127.0.0.1', decision: 'allowed', method: 'POST', reference: image };
  await eventually('all is written', async () => lines('api').length >= 8);
  t.match(lines('api'), [
    { ...told, path: '/api/v1/preheat', status: 202 },
    { ...told, path: '/api/v1/store/pin', status: 200 },
    { path: '/api/v1/store/rm', digest: demo.blobs[0]!.digest, decision: 'allowed', status: 409 },
    { ...told, path: '/api/v1/store/unpin', status: 200 },
    { path: '/api/v1/store/gc', dryRun: true, status: 200 },
    { ...told, path: '/api/v1/store/rm', status: 200 },
    { ...told, path: '/api/v1/preheat', status: 202 },
    { ...told, method: 'DELETE', path: `/api/v1/preheat/${id}`, status: 200 },
  ]);
  t.equal(lines('api').length, 8, 'each once');
});

t.test('files: those that are not for everybody, without their queries', async (t) => {
  const { node, server, lines, written } = await startNode(t);
  const ask = async (url: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${urlOf(node, 'api')}/api/v1/files?${new URLSearchParams({ url }).toString()}`, {
      headers,
    });
    await answer.arrayBuffer();
    return answer.status;
  };
  const { host } = new URL(server.url);
  t.equal(await ask(`${server.url}/open`), 200);
  t.equal(await ask(`${server.url}/signed?X-Amz-Signature=topsecret`), 200);
  t.equal(await ask(`${server.url}/signed?X-Amz-Signature=topsecret`, { range: 'bytes=0-9' }), 206);
  t.equal(await ask('http://other.test/x?token=topsecret'), 403);
  t.equal(await ask('http://robot:topsecret@other.test/x?y'), 400, 'which is no URL that is read');
  t.equal(await ask(`${server.url}/open`, { origin: 'https://evil.example' }), 400, 'a web page');
  server.status = 403;
  t.equal(await ask(`${server.url}/closed`), 403);
  server.status = 404;
  t.equal(await ask(`${server.url}/none`), 404);
  const told = { role: 'files', client: '127.0.0.1', method: 'GET' };
  const given = { ...told, decision: 'allowed', file: `${host}/signed` };
  const denied = { ...told, decision: 'denied', status: 403, bytes: 0 };
  await eventually('all is written', async () => lines('files').length >= 5);
  t.match(lines('files'), [
    { ...given, status: 200, source: 'origin', bytes: 5000 },
    { ...given, status: 206, bytes: 10 },
    { ...denied, code: 'FILE_NOT_ALLOWED', file: 'other.test/x' },
    { ...denied, code: 'FILE_BAD_REQUEST', status: 400 },
    { ...denied, code: 'ORIGIN_DENIED', file: `${host}/closed` },
  ]);
  t.equal(lines('files').length, 5);
  t.notMatch(written(), /topsecret|Signature|token=/);
});
