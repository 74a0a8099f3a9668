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
