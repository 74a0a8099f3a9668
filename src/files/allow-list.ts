/** A URL of more characters is none that a person has: in no pattern. */
export const MAX_URL_CHARACTERS = 8192;

interface Pattern {
  readonly scheme: string;
  readonly host: RegExp;
  readonly path: RegExp;
  /** Without its port; undefined where it has a star. */
  readonly hostname: string | undefined;
}

/**
 * Which URLs may be fetched. In a pattern `*` stands for a part of a label of the host, or of a component of the path, `**` for any
 * path; a host of one star is every host. The query counts for nothing.
 */
export class AllowList {
  readonly #patterns: readonly Pattern[];

  /** Each as `FORMATS.files` of the configuration has it. */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map(parse);
  }

  allows(url: URL): boolean {
    if (url.href.length > MAX_URL_CHARACTERS || climbs(url.pathname)) return false;
    return this.#patterns.some(
      ({ scheme, host, path }) => scheme === url.protocol && host.test(url.host) && path.test(url.pathname),
    );
  }

  /** The hosts that are named without a star, which may be at private addresses. */
  get hosts(): string[] {
    return this.#patterns.flatMap(({ hostname }) => hostname ?? []);
  }
}

function parse(pattern: string): Pattern {
  const [, scheme = '', host = '', path = ''] = /^(https?:)\/\/([^/]+)(\/.*)$/.exec(pattern) ?? [];
  const isPlain = !host.includes('*');
  // As a URL has it: without a default port, and encoded.
  const own = isPlain ? new URL(`${scheme}//${host}/`) : undefined;
  const bare = own?.host ?? host.replace(scheme === 'https:' ? /:443$/ : /:80$/, '');
  return {
    scheme,
    hostname: own?.hostname,
    host: host === '*' ? /^/ : whole(bare, () => '[a-z0-9_-]+'),
    path: whole(encodedPath(path), (stars) => (stars.length > 1 ? '.*' : '[^/]*')),
  };
}

function encodedPath(path: string): string {
  return new URL(path, 'http://x/').pathname;
}

function whole(text: string, starred: (stars: string) => string): RegExp {
  const parts = text.split(/(\*+)/);
  return new RegExp(
    `^${parts.map((part, i) => (i % 2 === 1 ? starred(part) : part.replaceAll(/[$()+.?[\\\]^{|}]/g, String.raw`\$&`))).join('')}$`,
  );
}

/** Some servers decode a path before they look for its `..`: then it leads out of what a pattern means. */
function climbs(pathname: string): boolean {
  let path = pathname;
  // Twice, for those behind another that decodes too.
  for (let i = 0; i < 2; i += 1) {
    path = path.replaceAll(/%(2e|2f|5c|25)/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  }
  return path.split(/[/\\]/).includes('..');
}
