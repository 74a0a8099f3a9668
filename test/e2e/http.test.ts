/**
 * The mirror's HTTP face, by curl, in front of a real registry: headers, ranges, names of upstreams, bad input. What each
 * answer must be is in the OCI distribution spec, RFC 9110 (section 14 for ranges), and in what the clients do.
 */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { Hawker, SECOND_UPSTREAM, THIRD_UPSTREAM } from './support/hawker.ts';
import { publishImage, type Published } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { run } from './support/programs.ts';
import { Relay } from './support/relay.ts';
import { e2e, type Rig } from './support/rig.ts';

const PROGRAMS = [...ORIGIN_PROGRAMS, 'curl'];

interface Scene {
  readonly rig: Rig;
  readonly hawker: Hawker;
  readonly relay: Relay;
  readonly image: Published;
  /** The largest layer: its digest and its bytes. */
  readonly digest: string;
  readonly content: Buffer;
}

async function scene(rig: Rig): Promise<Scene> {
  const origin = await Origin.start(rig);
  const image = await publishImage(rig, origin);
  const relay = await Relay.start(origin.url);
  rig.onClose(() => relay.close());
  const hawker = await Hawker.start(rig, 'hawker', relay.url);
  const [digest] = [...image.native.blobs].sort(([, a], [, b]) => b - a)[0]!;
  const answer = await fetch(`${origin.url}/v2/${image.repository}/blobs/${digest}`);
  return { rig, hawker, relay, image, digest, content: Buffer.from(await answer.arrayBuffer()) };
}

interface Answer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** One request by curl, its path as it is written here. */
async function curl({ rig, hawker }: Scene, path: string, ...options: string[]): Promise<Answer> {
  const [body, head] = [join(rig.dir, 'body'), join(rig.dir, 'head')];
  await Promise.all([writeFile(body, ''), writeFile(head, '')]);
  const output = ['--silent', '--show-error', '--path-as-is', '--output', body, '--dump-header', head];
  // A server may close on a header that is too large while it is still being sent: the status is then 0.
  const { stdout } = await run('curl', [...output, '--write-out', '%{http_code}', ...options, `${hawker.url}${path}`]);
  const lines = (await readFile(head, 'utf8')).split('\r\n').filter((line) => line.includes(': '));
  const pair = (line: string): [string, string] => {
    const colon = line.indexOf(': ');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)];
  };
  return { status: Number(stdout), headers: new Map(lines.map(pair)), body: await readFile(body) };
}

/** The first error code of an OCI error body. */
function errorCode({ body }: Answer): string | undefined {
  try {
    return (JSON.parse(body.toString()) as { errors: { code: string }[] }).errors[0]?.code;
  } catch {
    return undefined;
  }
}

const isSame = (a: Buffer, b: Buffer) => a.length === b.length && a.equals(b);

e2e(t, 'heads', PROGRAMS, async (t, rig) => {
  const at = await scene(rig);
  const { relay, image, digest, content } = at;
  const base = `/v2/${image.repository}`;

  t.equal((await curl(at, '/v2/')).status, 200);
  const byTag = await curl(at, `${base}/manifests/v1`, '--head');
  t.match(Object.fromEntries(byTag.headers), {
    'docker-content-digest': image.digest,
    'content-length': String(image.native.manifest.size),
    'content-type': image.native.manifest.mediaType,
  });
  t.equal(byTag.status, 200);
  const manifest = await curl(at, `${base}/manifests/${image.digest}`);
  t.equal(`sha256:${createHash('sha256').update(manifest.body).digest('hex')}`, image.digest);
  t.equal(manifest.headers.get('content-type'), image.native.manifest.mediaType);

  const head = await curl(at, `${base}/blobs/${digest}`, '--head');
  t.equal(head.status, 200);
  t.match(Object.fromEntries(head.headers), {
    'docker-content-digest': digest,
    'content-length': String(content.length),
    'accept-ranges': 'bytes',
    etag: `"${digest}"`,
  });
  t.equal(relay.bytesOf('/blobs/'), 0, 'HEAD of a blob does not read it');
});

e2e(t, 'ranges of a blob that is not here yet, and of one that is', PROGRAMS, async (t, rig) => {
  const at = await scene(rig);
  const { relay, image, digest, content } = at;
  const path = `/v2/${image.repository}/blobs/${digest}`;
  const size = content.length;
  const middle = Math.floor(size / 2);

  async function single(spec: string, start: number, end: number): Promise<void> {
    const answer = await curl(at, path, '--range', spec);
    t.equal(answer.status, 206, `bytes=${spec}`);
    t.equal(answer.headers.get('content-range'), `bytes ${start}-${end - 1}/${size}`, `bytes=${spec}`);
    t.ok(isSame(answer.body, content.subarray(start, end)), `bytes=${spec}: ${end - start} right bytes`);
  }
  async function singles(): Promise<void> {
    await single(`${middle}-${middle + 99_999}`, middle, middle + 100_000);
    await single('0-0', 0, 1);
    await single('-1000', size - 1000, size);
    await single(`${size - 5000}-`, size - 5000, size);
    await single(`${size - 10}-${size + 1000}`, size - 10, size);
  }

  await singles();
  const whole = await curl(at, path);
  t.equal(whole.status, 200);
  t.ok(isSame(whole.body, content), 'the whole blob');
  t.ok(relay.bytesOf(digest) <= size, `no byte left the origin twice: ${relay.bytesOf(digest)} of ${size}`);
  const before = relay.bytesOf('');
  await singles();

  const multi = await curl(at, path, '--range', `0-9,${middle}-${middle + 9},-10`);
  t.equal(multi.status, 206);
  const boundary = /^multipart\/byteranges; ?boundary="?([^"]+)"?$/.exec(multi.headers.get('content-type') ?? '')?.[1];
  const parts = multi.body.toString('latin1').split(`--${boundary}`).slice(1, -1);
  t.equal(parts.length, 3, 'a part for each range');
  for (const [index, start] of [0, middle, size - 10].entries()) {
    const [head = '', body = ''] = (parts[index] ?? '').split('\r\n\r\n');
    t.match(head.toLowerCase(), `content-range: bytes ${start}-${start + 9}/${size}`);
    t.equal(body.slice(0, 10), content.toString('latin1', start, start + 10));
  }

  const beyond = await curl(at, path, '--range', `${size}-`);
  t.equal(beyond.status, 416);
  t.equal(beyond.headers.get('content-range'), `bytes */${size}`);
  t.equal((await curl(at, path, '--range', '0-9', '--header', `If-Range: "${digest}"`)).status, 206);
  t.equal((await curl(at, path, '--range', '0-9', '--header', 'If-Range: "other"')).status, 200);
  for (const bad of ['bytes=9-1', 'bytes=x-y', 'items=0-9', 'bytes']) {
    t.equal((await curl(at, path, '--header', `Range: ${bad}`)).status, 200, `"${bad}" is ignored`);
  }
  t.equal(relay.bytesOf(''), before, 'all from the store');
});

e2e(t, 'which upstream', PROGRAMS, async (t, rig) => {
  const at = await scene(rig);
  const { image, digest, content } = at;
  const [name, tag] = [image.repository, image.tag];
  for (const [path, namespace] of [
    [`/v2/${name}/manifests/${tag}`, 'docker.io'],
    [`/v2/app/manifests/${tag}`, 'docker.io'],
    [`/v2/${name}/manifests/${tag}?ns=docker.io`, 'docker.io'],
    [`/v2/docker.io/${name}/manifests/${tag}`, 'docker.io'],
    [`/docker.io/v2/${name}/manifests/${tag}`, 'docker.io'],
    [`/v2/${SECOND_UPSTREAM}/${name}/manifests/${tag}`, SECOND_UPSTREAM],
    [`/v2/${name}/manifests/${tag}?ns=${encodeURIComponent(THIRD_UPSTREAM)}`, THIRD_UPSTREAM],
    [`/v2/${THIRD_UPSTREAM}/${name}/manifests/${tag}`, THIRD_UPSTREAM],
    [`/${THIRD_UPSTREAM}/v2/${name}/manifests/${tag}`, THIRD_UPSTREAM],
  ] as const) {
    const answer = await curl(at, path);
    t.equal(answer.status, 200, path);
    t.equal(answer.headers.get('docker-content-digest'), image.digest, path);
    if (answer.headers.has('oci-namespace')) t.equal(answer.headers.get('oci-namespace'), namespace, path);
  }
  t.ok((await curl(at, `/v2/${name}/manifests/${tag}?ns=docker.io`)).headers.has('oci-namespace'), 'ns is echoed');

  const blob = await curl(at, `/v2/${name}/blobs/${digest}`);
  t.ok(isSame(blob.body, content));
  const elsewhere = await curl(at, `/v2/library/other/blobs/${digest}`);
  t.equal(elsewhere.status, 404, 'a blob that is here is not given under a repository that has it not');
  const foreign = await curl(at, `/v2/${name}/manifests/${tag}?ns=registry.invalid`);
  t.equal(foreign.status, 404, 'a registry that is not among the upstreams');
  t.ok(errorCode(foreign), 'an OCI error says so');
});

const HEX = 'a'.repeat(64);

/** Requests that nobody sends by mistake: the path, the statuses that may come back, the OCI code, options of curl. */
const HOSTILE: readonly [string, readonly number[], (string | undefined)?, ...string[]][] = [
  ['/v2/library/app/blobs/sha256:xyz', [400], 'DIGEST_INVALID'],
  [`/v2/library/app/blobs/sha256:${HEX.slice(1)}`, [400], 'DIGEST_INVALID'],
  [`/v2/library/app/blobs/sha256:${HEX.toUpperCase()}`, [400], 'DIGEST_INVALID'],
  [`/v2/library/app/blobs/sha256:${HEX}`, [404], 'BLOB_UNKNOWN'],
  [`/v2/library/app/manifests/sha256:${HEX}`, [404], 'MANIFEST_UNKNOWN'],
  ['/v2/library/app/manifests/no-such-tag', [404], 'MANIFEST_UNKNOWN'],
  ['/v2/library/nothing/manifests/v1', [404]],
  ['/v2/Library/APP/manifests/v1', [400], 'NAME_INVALID'],
  ['/v2/library/app/blobs/..%2F..%2F..%2F..%2Fetc%2Fpasswd', [400, 404]],
  ['/v2/library/app/manifests/..%2F..%2F..%2Fetc%2Fpasswd', [400, 404]],
  ['/v2/../../../../etc/passwd', [400, 404]],
  ['/v2/library/../../../etc/manifests/v1', [400, 404]],
  ['/v2/library%2Fapp/manifests/v1', [200, 400, 404]],
  ['/v2/library/app/manifests/v1%00', [400, 404]],
  ['/v2//library//app//manifests//v1', [400, 404]],
  ['//v2/library/app/manifests/v1', [400, 404]],
  ['/v2/library/app/manifests/%E0%A4%A', [400, 404]],
  [`/v2/library/app/manifests/${'v'.repeat(129)}`, [400, 404]],
  [`/v2/${'a/'.repeat(400)}b/manifests/v1`, [400, 404, 414]],
  ['/', [404]],
  ['/v2/_catalog', [404, 405]],
  ['/v2/library/app/manifests/v1?ns=169.254.169.254', [400, 404]],
  ['/v2/library/app/manifests/v1?ns=localhost:22', [400, 404]],
  ['/v2/library/app/manifests/v1?ns=user:pass@docker.io', [400, 404]],
  ['/v2/library/app/manifests/v1?ns=%00', [400, 404]],
  ['/v2/library/app/manifests/v1?ns=docker.io&ns=registry.test', [200, 400, 404]],
  ['/v2/library/app/blobs/uploads/', [405], 'UNSUPPORTED', '--request', 'POST'],
  ['/v2/library/app/manifests/v1', [405], 'UNSUPPORTED', '--request', 'PUT', '--data', '{}'],
  ['/v2/library/app/manifests/v1', [405], 'UNSUPPORTED', '--request', 'DELETE'],
  ['/v2/library/app/blobs/uploads/1', [405], 'UNSUPPORTED', '--request', 'PATCH', '--data', 'x'],
  ['/v2/', [400, 405], undefined, '--request', 'BREW'],
  ['/v2/', [400, 431, 0], undefined, '--header', `X-Large: ${'x'.repeat(120_000)}`],
  ['/v2/', [404], undefined, '--header', 'Host: evil.example'],
  ['/v2/', [404], undefined, '--header', 'Origin: https://evil.example'],
];

e2e(t, 'bad input', PROGRAMS, async (t, rig) => {
  const at = await scene(rig);
  for (const [path, allowed, code, ...options] of HOSTILE) {
    const what = `${options[0] === '--request' ? options[1] : 'GET'} ${path.slice(0, 80)} ${options[0] === '--header' ? options[1]!.slice(0, 20) : ''}`;
    const answer = await curl(at, path, ...options);
    t.ok(allowed.includes(answer.status), `${what}: ${answer.status}, one of ${allowed.join(', ')}`);
    if (code) t.equal(errorCode(answer), code, what);
  }
  const ranges = Array.from({ length: 2000 }, (_, index) => `${index * 2}-${index * 2}`).join(',');
  const many = await curl(at, `/v2/${at.image.repository}/blobs/${at.digest}`, '--range', ranges);
  t.ok([200, 400, 416, 431].includes(many.status), `2000 ranges: ${many.status}`);
  await stillWell(t, at);
});

async function stillWell(t: Test, at: Scene): Promise<void> {
  t.ok(at.hawker.running, 'it is still the same process');
  const { body } = await curl(at, `/v2/${at.image.repository}/blobs/${at.digest}`);
  t.ok(isSame(body, at.content), 'and works');
}
