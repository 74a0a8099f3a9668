import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Sample } from '../../support/metrics-page.ts';
import { freePort } from './ports.ts';
import type { Rig } from './rig.ts';

const START_BOUND_MS = 20_000;
export const ALERTS = resolve(import.meta.dirname, '../../../../config/prometheus/hawker-alerts.yaml');

interface Answer<T> {
  readonly status: 'success' | 'error';
  readonly error?: string;
  readonly data: T;
}
interface Vector {
  readonly resultType: string;
  readonly result: readonly {
    readonly metric: Record<string, string>;
    readonly value: [time: number, value: string];
  }[];
}
export interface Rule {
  readonly name: string;
  readonly health: string;
  readonly state: string;
  readonly lastError?: string;
}

/** A Prometheus that scrapes every second, with the alert rules of this repository. */
export class Prometheus {
  readonly #url: string;

  private constructor(url: string) {
    this.#url = url;
  }

  /** `targets`: `host:port` of what has `/metrics`. */
  static async start(rig: Rig, targets: readonly string[]): Promise<Prometheus> {
    const port = await freePort();
    const config = join(rig.dir, 'prometheus.json');
    await writeFile(
      config,
      JSON.stringify({
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        scrape_configs: [{ job_name: 'hawker', static_configs: [{ targets }] }],
        rule_files: [ALERTS],
      }),
    );
    const daemon = rig.daemon('prometheus', 'prometheus', [
      `--config.file=${config}`,
      `--storage.tsdb.path=${await rig.folder('prometheus')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    const prometheus = new Prometheus(`http://127.0.0.1:${port}`);
    await daemon.ready('its API', START_BOUND_MS, async () => {
      const answer = await fetch(`${prometheus.#url}/-/ready`).catch(() => undefined);
      return answer?.ok;
    });
    return prometheus;
  }

  /** What an expression gives now. Rejects where Prometheus does not take it. */
  async query(expr: string): Promise<Sample[]> {
    const { result } = await this.#get<Vector>(`query?query=${encodeURIComponent(expr)}`, expr);
    return result.map(({ metric: { __name__: name = '', ...labels }, value }) => {
      return { name, labels, value: Number(value[1]) };
    });
  }

  /** The one number that an expression gives; undefined: it gives none. */
  async number(expr: string): Promise<number | undefined> {
    return (await this.query(expr))[0]?.value;
  }

  async rules(): Promise<Rule[]> {
    const { groups } = await this.#get<{ groups: { rules: Rule[] }[] }>('rules', 'rules');
    return groups.flatMap(({ rules }) => rules);
  }

  async #get<T>(path: string, what: string): Promise<T> {
    const answer = (await (await fetch(`${this.#url}/api/v1/${path}`)).json()) as Answer<T>;
    if (answer.status !== 'success') throw new Error(`${what}: ${answer.error}`);
    return answer.data;
  }
}
