import fc from 'fast-check';
import t from 'tap';
import {
  FORMATS,
  formatAddress,
  isLoopback,
  isPattern,
  parseAddress,
  standsFor,
  type FormatName,
} from '../../src/config/formats.ts';

const CASES: Record<FormatName, { good: string[]; bad: string[] }> = {
  host: {
    good: ['mirror', 'mirror.example', 'node-1', '127.0.0.1'],
    bad: ['', 'mirror:65001', 'a b', '1.2.3', 'http://a'],
  },
  address: {
    good: ['127.0.0.1:65001', '[::1]:65001', 'localhost:0', '0.0.0.0:65535', '[::]:1', 'node-1.example:80', 'Node:80'],
    bad: [
      '',
      ':65001',
      '65001',
      '127.0.0.1',
      '127.0.0.1:',
      '127.0.0.1:65536',
      '127.0.0.1:-1',
      '::1:65001',
      '[::1]',
      '[x]:1',
    ].concat([
      '256.0.0.1:1',
      '1.2.3:1',
      '[127.0.0.1]:1',
      'a b:1',
      'http://a:1',
      'a:1x',
      ' a:1',
      '-a:1',
      `${'a'.repeat(254)}:1`,
    ]),
  },
  endpoint: {
    good: ['10.0.0.5:65002', '[fd00::5]:1', 'node-1.example:65535'],
    bad: ['10.0.0.5:0', '10.0.0.5', '0.0.0.0:1', '[::]:1', '[0:0::0]:1', '', 'http://a:1'],
  },
  supernode: {
    good: ['http://127.0.0.1:6789', 'https://hawker.example', 'http://[::1]:6789/'],
    bad: ['', 'hawker:6789', 'ws://a:1', 'http://a/x', 'http://me:pw@a', 'http://a:0', 'http://a?x', 'http://'],
  },
  rate: { good: ['', '0B', '100MB', '1.5GiB'], bad: ['100', 'fast', '-1MB', '100MB/s'] },
  slots: { good: ['1', '4', '1000'], bad: ['', '0', '1001', '-1', '4.0', '04', 'x'] },
  heartbeat: { good: ['100ms', '5s', '1h'], bad: ['', '5', '0s', '99ms', '61m'] },
  zone: { good: ['', 'eu-1', 'dc1/rack_7', 'a.b', 'z'.repeat(64)], bad: ['z'.repeat(65), 'a b', 'é', 'a\nb'] },
  size: { good: ['20GiB', '1.5 GB', '0'], bad: ['20', '20 gigs', '', '-1GiB', '1e3MB'] },
  time: { good: ['24h', '500ms', '0'], bad: ['24', 'soon', '1y', '-5s'] },
  user: {
    good: ['alice', 'ci-*', '*', 'a.b_c@example.com', 'loopback'],
    bad: ['', '-a', 'a b', 'a:b', 'é', '**'.repeat(65)],
  },
  repositories: {
    good: ['docker.io/library/nginx', 'registry.example:5000/team/*', '**', '*/app', '[::1]:5000/**', 'docker.io/**'],
    bad: ['', '*', 'nginx', 'Docker.io/x', '/x', 'index.docker.io/**', 'a/b?', `a/${'b'.repeat(300)}`],
  },
  registry: {
    good: ['docker.io', 'registry.example:5000', 'localhost', '[::1]:5000', '[::1]', '10.0.0.1:5000', 'a_b.example'],
    bad: [
      'Docker.io',
      'index.docker.io',
      '*.gcr.io',
      'a..b',
      'a/b',
      'https://a',
      'a:0',
      'a:65536',
      'a:',
      '',
      'user@a',
      '1.2.3.4.5',
      '[x]',
      '-a',
      '__proto__',
    ],
  },
  upstream: {
    good: ['docker.io', '*.gcr.io', '*.dkr.ecr.*.amazonaws.com', 'registry.example:5000', '*', '[::1]:5000', '*:5000'],
    bad: ['index.docker.io', 'registry-1.docker.io', 'GHCR.io', 'a/b', '', 'a b', '.a', '__proto__'],
  },
  origin: {
    good: ['https://registry-1.docker.io', 'http://127.0.0.1:5000', 'http://127.0.0.1:5000/', 'https://[::1]:5000'],
    bad: [
      'docker.io',
      'ftp://a',
      'https://u:p@a',
      'https://a/path',
      'https://a?q',
      'https://a#f',
      'https://',
      'https:a',
      'http://a:0',
      'http:///a',
    ],
  },
  egress: {
    good: ['http://proxy:3128', 'https://user:pass@proxy.example:443'],
    bad: ['proxy:3128', 'socks5://proxy:1080', 'http://proxy/path', 'http://proxy?x'],
  },
  reach: {
    good: ['blobs.example', '10.1.2.3', '10.0.0.0/8', 'fd00::/8', '::1', '0.0.0.0/0'],
    bad: ['', '10.0.0.0/33', 'fd00::/129', 'a/8', '10.0.0.0/8/8', '10.0.0/8', '10.0.0.0/', 'http://a', '10.0.0.0/x'],
  },
  files: {
    good: [
      'https://downloads.example/**',
      'http://127.0.0.1:8080/**',
      'https://*.example/a/*.tar.gz',
      'https://*/**',
      'https://[::1]:8443/x',
      'http://localhost/',
    ],
    bad: [
      '',
      'downloads.example/**',
      'https://downloads.example',
      'ftp://downloads.example/**',
      'https://me:pw@downloads.example/**',
      'https://downloads.example/x?y=1',
      'https://downloads.example/x#y',
      'https://a b/**',
      'https://A.example/**',
      'https://a.example:0/**',
      String.raw`https://a.example\b/**`,
    ],
  },
  helper: { good: ['ecr-login', 'osxkeychain', 'a.b_c'], bad: ['', '../x', 'a/b', 'a b', '-a', '.a'] },
  path: { good: ['', '/etc/x', 'rel/x'], bad: ['/etc/\0x'] },
};

t.test('each format takes what it says and nothing else', (t) => {
  for (const [name, { good, bad }] of Object.entries(CASES)) {
    const { test } = FORMATS[name as FormatName];
    for (const text of good) t.ok(test(text), `${name}: ${JSON.stringify(text)} is one`);
    for (const text of bad) t.notOk(test(text), `${name}: ${JSON.stringify(text)} is none`);
  }
  t.end();
});

t.test('no text makes a format throw, and what an address says comes back', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[[\]:.0-9a-f*/]{0,30}$/)), (text) => {
      for (const { test } of Object.values(FORMATS)) test(text);
      const address = parseAddress(text);
      return address === undefined || parseAddress(formatAddress(address))?.host === address.host;
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), fc.nat(65_535), (host, port) => {
      t.same(parseAddress(formatAddress({ host, port })), { host, port });
    }),
  );
  t.end();
});

t.test('loopback is what only this machine reaches', (t) => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'LOCALHOST']) t.ok(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'localhost.example', '127.example'])
    t.notOk(isLoopback(host), host);
  t.end();
});

t.test('a key of upstreams stands for its host, or by its stars for many', (t) => {
  const yes: [string, string][] = [
    ['a.b', 'a.b'],
    ['*', 'a.b:5'],
    ['*.gcr.io', 'eu.gcr.io'],
    ['*.dkr.ecr.*.amazonaws.com', '1.dkr.ecr.eu-1.amazonaws.com'],
    ['r*.x:5', 'r-1.x:5'],
  ];
  const no: [string, string][] = [
    ['a.b', 'axb'],
    ['*.gcr.io', 'gcr.io'],
    ['*.gcr.io', 'a.b.gcr.io'],
    ['*.gcr.io', 'a.gcr.io.evil'],
    ['*.gcr.io', 'a.gcrxio'],
  ];
  for (const [key, host] of yes) t.ok(standsFor(key, host), `${key} ${host}`);
  for (const [key, host] of no) t.notOk(standsFor(key, host), `${key} ${host}`);
  t.ok(isPattern('*.gcr.io'));
  t.notOk(isPattern('gcr.io'));
  t.end();
});
