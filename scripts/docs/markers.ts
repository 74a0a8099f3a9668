/** The part of a page between its two markers is written by a program; what stands around it, by people. */
const END = '<!-- end -->';

const BEGIN = /<!-- ([^:>]+): written by `npm run docs`: begin -->/g;

/** The names of the parts of a page, in their order. */
export function partsIn(page: string): string[] {
  return [...page.matchAll(BEGIN)].map(([, name]) => name!);
}

/**
 * The page with these parts in it. Throws where page and parts do not have the same names, or a part is there twice: nothing is
 * left out in silence.
 */
export function withParts(page: string, parts: ReadonlyMap<string, string>): string {
  const there = partsIn(page);
  const missing = [...parts.keys()].filter((name) => !there.includes(name));
  if (missing.length > 0)
    throw new Error(`the page has no place for ${missing.join(', ')}: add ${beginOf(missing[0]!)}`);
  let rest = page;
  let written = '';
  for (const name of there) {
    const text = parts.get(name);
    if (text === undefined) throw new Error(`the page has a place for ${name}, which there is not`);
    const begin = beginOf(name);
    const from = rest.indexOf(begin) + begin.length;
    const to = rest.indexOf(END, from);
    if (to === -1) throw new Error(`the part ${name} has no ${END}`);
    if (partsIn(rest.slice(from, to)).length > 0) throw new Error(`the part ${name} has no end before the next one`);
    written += `${rest.slice(0, from)}\n\n${text.trim()}\n\n${END}`;
    rest = rest.slice(to + END.length);
  }
  if (new Set(there).size < there.length) throw new Error('a part is there twice');
  return written + rest;
}

function beginOf(name: string): string {
  return `<!-- ${name}: written by \`npm run docs\`: begin -->`;
}
