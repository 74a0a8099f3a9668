import type { Eight, EightNode } from './eight.ts';
import type { Diagnosis, Outcome } from './outcome.ts';

/** An outcome for a terminal. */
export function outcomeText(outcome: Outcome): string {
  const { cause, peers, doctor, proxyLog, supernodeLog, faults } = outcome;
  return [
    `${cause.name}: ${wholeCell(outcome)}`,
    `  peers      ${peers}`,
    `  doctor     ${doctorCell(doctor)}`,
    `  proxy      ${proxyLog.join(', ') || '-'}`,
    `  supernode  ${supernodeLog.join(', ') || '-'}`,
    ...faults.map((fault) => `  NOT RIGHT  ${fault}`),
  ].join('\n');
}

function doctorCell(doctor: Diagnosis | undefined): string {
  if (!doctor) return '-';
  return `${doctor.failed.join(', ') || 'nothing'}; exit ${doctor.exitCode}`;
}

function wholeCell({ wholeMs, cured, faults }: Outcome): string {
  if (wholeMs === undefined) return faults.length > 0 ? 'not whole' : 'works all the while';
  const seconds = `${(wholeMs / 1000).toFixed(1)} s`;
  return cured ? `whole after ${seconds}` : `works, ready ${seconds} after the start`;
}

/** The outcomes, the eight nodes and where they were run, as docs/faults.md (not yet formatted). */
export function page(outcomes: readonly Outcome[], eight: Eight, run: RunFacts): string {
  const rows = outcomes.map((outcome) => {
    const { cause, peers, doctor, proxyLog, supernodeLog } = outcome;
    return [cause.title, code(peers), doctorCell(doctor), codes(proxyLog), codes(supernodeLog), wholeCell(outcome)];
  });
  const head = ['Cause', '`hawker peers`', '`hawker doctor`', 'Log of the proxy', 'Log of the supernode', 'Whole'];
  const table = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`);
  return `${INTRODUCTION}

${run.date}, ${run.machine}. Heartbeat ${run.heartbeat}; what was frozen stayed so for ${run.freeze}.

${table.join('\n')}

${EIGHT_INTRODUCTION}

${fence('$ hawker peers', eight.peers)}

${eight.nodes.map(nodeSection).join('\n\n')}
`;
}

/** Where and how it was run. */
export interface RunFacts {
  readonly date: string;
  readonly machine: string;
  readonly heartbeat: string;
  readonly freeze: string;
}

const INTRODUCTION = `<!-- Written by \`npm run faults\`. -->

# What one sees when something is wrong

Each row is one run of the built program in network namespaces, with a real firewall, DNS server, signals and clock
(\`scripts/faults\`): a supernode, two proxies that are well, and one with the fault; what concerns the supernode has a cluster of
its own. While the fault lasted an image layer was pulled through the node (through another one where the node itself was stopped),
and its bytes were right, in every row.

- **\`hawker peers\`**: what it says of the node, asked from another one.
- **\`hawker doctor\`**: the checks that fail on the node, and the exit code.
- **Logs**: the codes of all warnings and errors, in their order, that the fault caused. docs/troubleshooting.md has the cures.
- **Whole**: from the moment in which the cause is gone until every proxy has its session and is \`ready\`. Where the cure is a
  corrected file, that is the start of the proxy, so that it contains the time which a process takes to come up.

NODE, SUPERNODE and OTHER stand for addresses.`;

const EIGHT_INTRODUCTION = `## Eight nodes, eight faults

One cluster, in which each node has a fault of its own. One screen of \`hawker peers\` and one run of \`hawker doctor\` a node name all of
them. Of what doctor prints, the checks that are ok or were skipped are left out here.`;

function nodeSection({ host, cause, doctor }: EightNode): string {
  const output = doctor
    ? fence(`$ hawker doctor; echo "exit $?"`, `${failedPart(doctor.text)}\nexit ${doctor.found.exitCode}`)
    : '';
  return `### ${host}: ${cause.title}\n\n${output}`;
}

/** What `hawker doctor` prints, without the checks that are well or were not done. */
export function failedPart(text: string): string {
  const lines = text.trimEnd().split('\n');
  let isShown = false;
  const shown = lines.filter((line, i) => {
    if (/^\S/.test(line)) isShown = line.startsWith('FAILED') || i === lines.length - 1;
    return isShown;
  });
  return shown.join('\n');
}

const fence = (command: string, output: string) => `\`\`\`text\n${command}\n${output.trimEnd()}\n\`\`\``;
const code = (text: string) => `\`${text.replaceAll('`', "'")}\``;
const codes = (texts: readonly string[]) =>
  texts.map((text) => (/^[A-Z0-9_]+$/.test(text) ? code(text) : text)).join(', ') || '-';
const cell = (text: string) => text.replaceAll('|', '\\|');
