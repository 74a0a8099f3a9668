import { createServer } from 'node:net';

/** Below the ports that Linux gives to who asks for any (ip_local_port_range): one of those may be somebody's the next moment. */
const FIRST = 20_000;
const COUNT = 12_000;
/** Processes of tests that run at the same time begin far from each other. */
let next = (process.pid * 97) % COUNT;

/** A TCP port on which nothing listens, and nothing will but who is told of it; each is given once. */
export async function closedPort(): Promise<number> {
  for (let tries = 0; tries < COUNT; tries += 1) {
    const port = FIRST + next;
    next = (next + 1) % COUNT;
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      // On all addresses: programs are told to listen on several.
      server.listen(port, () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => {
      server.close(resolve);
    });
    return port;
  }
  throw new Error(`every port from ${FIRST} on is taken`);
}
