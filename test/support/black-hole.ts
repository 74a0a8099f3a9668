import { spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import type { Test } from 'tap';

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
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let n = 0; n < CONNECTIONS; n += 1) {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => undefined);
    sockets.push(socket);
    await new Promise((resolve) => {
      socket.once('connect', resolve);
      // What is dropped tells nobody: that nothing came for a while is how it is known.
      setTimeout(resolve, 200);
    });
    if (socket.connecting) return { port };
  }
  throw new Error('the queue of connections did not fill');
}
