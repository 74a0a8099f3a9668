/** What the shipped configuration says of a setting. */
export interface Remark {
  /** The comment above it, in one line. */
  readonly text: string;
  /** The examples below it, as they would be written; empty: none. */
  readonly example: string;
}

/**
 * The comments of config/hawker.yaml by dotted key, of settings and of sections: `# ` begins a comment, which is about the key after
 * it; `#` without a space an example of the key before it, which goes on with `#` and two spaces.
 */
export function remarksOf(yaml: string): Map<string, Remark> {
  const remarks = new Map<string, Remark>();
  const sections: { indent: number; name: string }[] = [];
  let comment: string[] = [];
  let last: string | undefined;
  for (const line of yaml.split('\n')) {
    const [, spaces = '', mark = '', rest = ''] = /^( *)(# (?! )|#|)(.*)$/.exec(line) ?? [];
    const key = mark === '' ? /^([\w.]+):/.exec(rest)?.[1] : undefined;
    if (mark === '# ') comment.push(rest);
    else if (mark === '#' && rest !== '' && last !== undefined) addExample(remarks, last, rest);
    else if (key !== undefined) {
      while ((sections.at(-1)?.indent ?? -1) >= spaces.length) sections.pop();
      sections.push({ indent: spaces.length, name: key });
      last = sections.map(({ name }) => name).join('.');
      remarks.set(last, { text: comment.join(' '), example: '' });
      comment = [];
    } else if (rest === '') comment = [];
  }
  return remarks;
}

function addExample(remarks: Map<string, Remark>, key: string, line: string): void {
  const before = remarks.get(key);
  if (before) remarks.set(key, { ...before, example: `${before.example}${line}\n` });
}
