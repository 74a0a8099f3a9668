import t from 'tap';
import { parse } from 'yaml';
import { dashboardExpressions, madeMetrics, repositoryFile } from '../support/metrics-page.ts';

const made = madeMetrics();
const page = repositoryFile('docs/metrics.md');

/** What a label may be named for: nothing that grows with what is pulled, or by whom. */
const LABELS = [
  'code',
  'direction',
  'handler',
  'method',
  'protocol',
  'reason',
  'resource',
  'source',
  'state',
  'status',
  'upstream',
  'url',
  'version',
];

/** The cells of the table rows that begin with something in backquotes, below a heading. */
function rowsBelow(heading: string): string[][] {
  const section = new RegExp(`\n## ${heading}\n([^]*?)(?=\n## |$)`).exec(page)?.[1] ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('| `'));
  return lines.map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim()),
  );
}

const unquoted = (cell: string) => cell.replaceAll('`', '');

t.test('docs/metrics.md has every metric as the code makes it, and no other', async (t) => {
  const rows = ['Both roles', 'Proxy', 'Supernode'].flatMap(rowsBelow);
  const listed = rows.map(([name, type, labels, meaning]) => ({
    name: unquoted(name!),
    type,
    labels: labels === 'none' ? [] : unquoted(labels!).split(', '),
    help: meaning,
  }));
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
  t.same(listed.toSorted(byName), made.toSorted(byName));
  t.equal(new Set(made.map(({ name }) => name)).size, made.length, 'each is made in one place');
  t.ok(made.length > 20);
  for (const heading of ['Both roles', 'Proxy', 'Supernode', 'Labels']) {
    const names = rowsBelow(heading).map(([name]) => name!);
    t.same(names, names.toSorted(), `${heading}: by the alphabet`);
  }
});

t.test('labels: each is on the page, and none is for a digest, a repository, a client or a peer', async (t) => {
  const used = [...new Set(made.flatMap(({ labels }) => labels))].toSorted();
  t.same(used, LABELS);
  t.same(
    rowsBelow('Labels').map(([name]) => unquoted(name!)),
    used,
  );
});

/** The metrics of an expression, without what histograms add to their names; and the labels that it selects or groups by. */
function namedIn(expr: string): { metrics: string[]; labels: string[] } {
  const histograms = new Set(made.filter(({ type }) => type === 'histogram').map(({ name }) => name));
  const metrics = [...expr.matchAll(/\bhawker_\w+/g)].map(([name]) => {
    const base = name.replace(/_(?:bucket|count|sum)$/, '');
    return histograms.has(base) ? base : name;
  });
  const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, names]) => names!.split(/, */));
  const selected = [...expr.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, name]) => name!);
  return { metrics, labels: [...grouped, ...selected] };
}

interface Rules {
  groups: { rules: { alert: string; expr: string; labels: object; annotations: Record<string, string> }[] }[];
}
interface RuleTests {
  tests: { promql_expr_test?: { expr: string; exp_samples: unknown[] }[] }[];
}

const rules = (parse(repositoryFile('config/prometheus/hawker-alerts.yaml')) as Rules).groups.flatMap(
  ({ rules }) => rules,
);
const expressions = dashboardExpressions();

t.test('the dashboard and the alerts name what there is, and leave nothing out', async (t) => {
  const known = new Set(made.map(({ name }) => name));
  const ofPrometheus = new Set(['job', 'instance', 'le']);
  const all = [...expressions.map(({ expr }) => expr), ...rules.map(({ expr }) => expr)];
  for (const expr of all) {
    const { metrics, labels } = namedIn(expr);
    t.same(
      metrics.filter((name) => !known.has(name)),
      [],
      expr,
    );
    const theirs = new Set(made.filter(({ name }) => metrics.includes(name)).flatMap(({ labels }) => labels));
    t.same(
      labels.filter((label) => !ofPrometheus.has(label) && !theirs.has(label)),
      [],
      `labels of ${expr}`,
    );
  }
  const shown = new Set(expressions.flatMap(({ expr }) => namedIn(expr).metrics));
  t.same(
    [...known].filter((name) => !shown.has(name)),
    [],
    'metrics that are not on the dashboard',
  );
});

t.test('each alert says what to do, and its test sees it silent and firing', async (t) => {
  const { tests } = parse(repositoryFile('config/prometheus/hawker-alerts.test.yaml')) as RuleTests;
  const points = tests.flatMap(({ promql_expr_test: all = [] }) => all);
  for (const { alert, labels, annotations } of rules) {
    t.match(labels, { severity: /^(?:info|warning|critical)$/ }, alert);
    t.match(annotations, { summary: /\w/, description: /\w.{20}/ }, alert);
    const mine = points.filter(({ expr }) => expr.includes(`"${alert}"`));
    t.ok(
      mine.some(({ exp_samples: samples }) => samples.length === 0),
      `${alert} is silent`,
    );
    t.ok(
      mine.some(({ exp_samples: samples }) => samples.length > 0),
      `${alert} fires`,
    );
  }
  t.ok(rules.length > 10);
});
