import fc from 'fast-check';
import t from 'tap';
import { AllowList } from '../../src/files/allow-list.ts';

const allows = (pattern: string, url: string): boolean => new AllowList([pattern]).allows(new URL(url));

t.test('what fits a pattern', async (t) => {
  for (const [pattern, ...urls] of [
    ['https://a.example/**', 'https://a.example/', 'https://a.example/x/y?z=1', 'https://A.EXAMPLE:443/x'],
    ['https://a.example/x/*', 'https://a.example/x/y', 'https://a.example/x/'],
    ['https://a.example/*/v*/x.tgz', 'https://a.example/tool/v1/x.tgz'],
    ['https://a.example/**/x.tgz', 'https://a.example/b/c/x.tgz'],
    ['https://*.example/**', 'https://a.example/x', 'https://b-1.example/'],
    ['https://*/**', 'https://a.b.example:8443/x', 'https://127.0.0.1/x'],
    ['http://127.0.0.1:8080/**', 'http://127.0.0.1:8080/x'],
    ['http://[::1]:80/**', 'http://[::1]/x'],
    ['https://a.example/ä x', 'https://a.example/%C3%A4%20x'],
    ['https://a.example/x', 'https://a.example/y/../x'],
  ] as const) {
    for (const url of urls) t.ok(allows(pattern, url), `${pattern}: ${url}`);
  }
});

t.test('what does not', async (t) => {
  for (const [pattern, ...urls] of [
    [
      'https://a.example/**',
      'http://a.example/x',
      'https://b.example/x',
      'https://a.example:444/x',
      'https://xa.example/x',
    ],
    ['https://a.example/x/*', 'https://a.example/x', 'https://a.example/x/y/z', 'https://a.example/y/x'],
    ['https://*.example/**', 'https://a.b.example/x', 'https://example/x', 'https://a.example.evil/x'],
    ['https://a.example/x.tgz', 'https://a.example/xxtgz', 'https://a.example/x.tgz/'],
    [
      'https://a.example/x/**',
      'https://a.example/x/../y',
      'https://a.example/x/..%2fy',
      'https://a.example/x/%2e%2e%2Fy',
      'https://a.example/x/..%5Cy',
      'https://a.example/x/..%252fy',
      'https://a.example/x/..%2fy%',
    ],
    ['https://a.example/**', `https://a.example/${'x'.repeat(9000)}`],
  ] as const) {
    for (const url of urls) t.notOk(allows(pattern, url), `${pattern}: ${url.slice(0, 60)}`);
  }
  t.notOk(new AllowList([]).allows(new URL('https://a.example/')), 'nothing is allowed by default');
});

t.test('hosts without a star may be private', async (t) => {
  const list = new AllowList([
    'https://a.example:8443/**',
    'https://*.b.example/**',
    'https://*/**',
    'http://10.0.0.1/x',
  ]);
  t.same(list.hosts, ['a.example', '10.0.0.1']);
});

t.test('whatever the path, a pattern of one folder allows nothing outside of it', async () => {
  const part = fc.constantFrom('..', '.', 'a', '%2e', '%2E%2e', '%2f', '/', '\\', '%5c', '%25', '2f', 'x', '%');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const text = `https://a.example/in/${parts.join('')}`;
      if (!URL.canParse(text)) return true;
      const url = new URL(text);
      if (!allows('https://a.example/in/**', url.href)) return true;
      // As a server sees it that decodes as often as it likes.
      let path = url.pathname;
      for (let i = 0; i < 2; i += 1)
        path = path.replaceAll(/%(2e|2f|5c|25)/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
      return new URL(path.replaceAll('\\', '/'), 'http://x').pathname.startsWith('/in/');
    }),
    { numRuns: 2000 },
  );
});
