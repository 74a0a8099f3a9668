import fc from 'fast-check';
import t from 'tap';
import { rewriteLink } from '../../src/proxy/link-header.ts';

const at = {
  base: new URL('https://registry-1.docker.io/v2/library/alpine/tags/list?n=2'),
  originPath: '/v2/library/alpine',
  clientPath: '/v2/docker.io/alpine',
  ns: undefined as string | undefined,
};

t.test('the next page is asked for the way the first one was', (t) => {
  const next = '</v2/library/alpine/tags/list?last=b&n=2>; rel="next"';
  t.equal(rewriteLink(next, at), '</v2/docker.io/alpine/tags/list?last=b&n=2>; rel="next"');
  t.equal(
    rewriteLink(next, { ...at, clientPath: '/v2/library/alpine', ns: 'docker.io' }),
    '</v2/library/alpine/tags/list?last=b&n=2&ns=docker.io>; rel="next"',
  );
  t.equal(
    rewriteLink('<https://registry-1.docker.io/v2/library/alpine/tags/list?last=b%2B%2F>; rel=next', at),
    '</v2/docker.io/alpine/tags/list?last=b%2B%2F>; rel=next',
  );
  t.equal(rewriteLink('<?last=c>; rel="next"', at), '</v2/docker.io/alpine/tags/list?last=c>; rel="next"', 'relative');
  t.equal(
    rewriteLink('</v2/library/alpine/tags/list?ns=evil.io&last=c>', { ...at, ns: 'docker.io' }),
    '</v2/docker.io/alpine/tags/list?last=c&ns=docker.io>',
  );
  t.equal(
    rewriteLink('</v2/library/alpine/a>; rel="next", </v2/library/alpine/b>; rel="prev"', at),
    '</v2/docker.io/alpine/a>; rel="next", </v2/docker.io/alpine/b>; rel="prev"',
  );
  t.end();
});

t.test('links that lead elsewhere are dropped', (t) => {
  t.equal(rewriteLink('<https://evil.example/v2/library/alpine/tags/list>; rel="next"', at), undefined);
  t.equal(rewriteLink('</v2/library/other/tags/list>; rel="next"', at), undefined);
  t.equal(rewriteLink('</v2/library/alpine/../other/tags/list>; rel="next"', at), undefined);
  t.equal(rewriteLink('<https://[bad/>; rel="next"', at), undefined);
  t.equal(rewriteLink('no link at all', at), undefined);
  t.end();
});

t.test('property: nothing that comes out leads out of the client’s repository', (t) => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 60 }),
      fc.constantFrom('', '/v2/library/alpine/', 'https://', '?'),
      (text, start) => {
        const out = rewriteLink(`<${start}${text}>; rel="next"`, at);
        return (
          out === undefined ||
          [...out.matchAll(/<([^>]*)>/g)].every(([, to]) => to!.startsWith('/v2/docker.io/alpine/'))
        );
      },
    ),
  );
  t.end();
});
