import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { code, prose, tableOf } from './markdown.ts';

interface Rules {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
}
interface Rule {
  readonly alert: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

/** The part of docs/operating.md about the alert rules that are shipped. */
export function alertsTable(root: string): string {
  const { groups } = parse(readFileSync(join(root, 'config/prometheus/hawker-alerts.yaml'), 'utf8')) as Rules;
  const rows = groups.flatMap(({ rules }) =>
    rules.map((rule) => [
      code(rule.alert),
      rule.labels.severity,
      rule.for ?? 'at once',
      prose(withoutTemplates(`${rule.annotations.summary}. ${rule.annotations.description}`)),
    ]),
  );
  return tableOf(['alert', 'severity', 'after', 'what it says'], rows);
}

/** What Prometheus puts in: a label by its name, and a number. */
function withoutTemplates(text: string): string {
  return text.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, '`$1`').replaceAll(/\{\{ \$value[^}]*\}\}B?/g, 'N');
}
