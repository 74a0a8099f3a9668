import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../../..');

/** A metric, as the code makes it. */
export interface MadeMetric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
}

const MADE =
  /new (Counter|Gauge|Histogram)\(\{\s*name: '(hawker_\w+)',\s*help: (?:'([^']*)'|"([^"]*)"),\s*(?:labelNames: \[([^\]]*)\])?/g;

/** Every metric in the sources below `src`. Throws where one is made in a way that is not understood here. */
export function madeMetrics(src = join(ROOT, 'src')): MadeMetric[] {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return files.flatMap((file) => {
    const text = readFileSync(join(src, file), 'utf8');
    const made = [...text.matchAll(MADE)].map(([, type, name, plain, quoted, labels = '']) => ({
      name: name!,
      type: type!.toLowerCase(),
      labels: [...labels.matchAll(/'(\w+)'/g)].map(([, label]) => label!),
      help: plain ?? quoted!,
    }));
    const makers = [...text.matchAll(/new (?:Counter|Gauge|Histogram|Summary)\b/g)].length;
    if (makers !== made.length) throw new Error(`${file}: ${makers} metrics are made, ${made.length} are understood`);
    return made;
  });
}

/** A file of the repository. */
export function repositoryFile(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

/** The expressions of the Grafana dashboard, as Grafana would send them: everything chosen, a minute for each step. */
export function dashboardExpressions(): { readonly title: string; readonly expr: string }[] {
  const { panels } = JSON.parse(repositoryFile('config/grafana/hawker.json')) as { panels: Panel[] };
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => {
      const sent = expr
        .replaceAll('$__rate_interval', '1m')
        .replaceAll('$__range', '1h')
        .replaceAll(/\$(?:job|instance)\b/g, '.*');
      if (sent.includes('$')) throw new Error(`${title}: which variable is in ${sent}?`);
      return { title, expr: sent };
    }),
  );
}

/** A sample of the text that `/metrics` gives. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export function samplesOf(text: string): Sample[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => {
    const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line)!;
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]);
    return { name: name!, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) };
  });
}

/** The sum of the samples of a name that have these labels. */
export function sumOf(samples: readonly Sample[], name: string, labels: Readonly<Record<string, string>> = {}): number {
  const wanted = Object.entries(labels);
  return samples
    .filter((sample) => sample.name === name && wanted.every(([key, value]) => sample.labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0);
}
