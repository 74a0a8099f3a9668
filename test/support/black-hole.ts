import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { until } from './piece-rig.ts';

const LISTEN = `
  const server = require('node:net').createServer();
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
    console.log(server.address().port);
    process.kill(process.pid, 'SIGSTOP');
  });
`;
/** More than the queue takes: connections of which the kernel drops each SYN. */
const CONNECTIONS = 6;

/** A process that listens and is stopped: the kernel takes the first connections, and nobody ever answers on them. */
export async function halfOpen(t: Test): Promise<{ port: number }> {
  const child = spawn(process.execPath, ['--eval', LISTEN], { stdio: ['ignore', 'pipe', 'inherit'], env: {} });
  t.teardown(() => child.kill('SIGKILL'));
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (data: Buffer) => resolve(Number(data.toString())));
    child.once('error', reject);
  });
  return { port };
}

/** A port of loopback that drops every SYN, as a firewall does (Linux): its queue of connections is full. */
export async function blackHole(t: Test): Promise<{ port: number }> {
  const { port } = await halfOpen(t);
  // On loopback the kernel takes or drops a SYN in the very call that sends it: the queue is full when the last of them has asked.
  const sockets = Array.from({ length: CONNECTIONS }, () => connect({ host: '127.0.0.1', port }));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (const socket of sockets) socket.on('error', () => undefined);
  await until(() => sockets.some(({ connecting }) => !connecting));
  // What is dropped tells nobody: that nothing comes for a while is how it is known.
  await systemClock.sleep(200);
  if (sockets.every(({ connecting }) => !connecting)) throw new Error('the queue of connections did not fill');
  return { port };
}
