import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer as createHttp, request } from 'node:http';
import { createServer as createHttps, type Server } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from './programs.ts';
import type { Rig } from './rig.ts';

export const HUB = 'registry-1.docker.io';

/** Something that daemons take for Docker Hub. */
export interface Hub {
  /** For a client: the proxy that leads there, and the authority that it trusts (Go: net/http, crypto/x509). */
  readonly env: NodeJS.ProcessEnv;
  /** How many connections it has had. */
  connections(): number;
}

/** Which is not listening yet. */
interface HubServer {
  readonly tls: Server;
  /** The file of the certificate, which is its own authority. */
  readonly cert: string;
  readonly dir: string;
}

/** A server with a certificate in Docker Hub's name, which answers with what the registry at `originUrl` has. `asked`: each request. */
export async function hubServer(
  rig: Rig,
  originUrl: string,
  sent: (method: string, url: string, bytes: number) => void = () => {},
): Promise<HubServer> {
  const dir = await rig.folder('hub');
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const subject = ['-subj', '/CN=Hub', '-addext', `subjectAltName=DNS:${HUB}`];
  const made = ['-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, '-days', '2'];
  await must('openssl', ['req', '-x509', ...made, ...subject]);
  await writeFile(join(dir, 'none'), '');
  const tls = createHttps({ key: await readFile(key), cert: await readFile(cert) }, (incoming, answer) => {
    const { method, headers, url } = incoming;
    const onward = request(new URL(url!, originUrl), { method: method!, headers, agent: false }, (from) => {
      sent(method!, url!, Number(from.headers['content-length'] ?? 0));
      answer.writeHead(from.statusCode!, from.headers);
      from.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    incoming.pipe(onward);
  });
  return { tls, cert, dir };
}

/**
 * Docker Hub as daemons see it: TLS with a certificate in its name, by an HTTPS proxy that leads to this and nowhere else. What
 * it serves is the registry at `originUrl`.
 */
export async function startHub(rig: Rig, originUrl: string): Promise<Hub> {
  const { tls, cert, dir } = await hubServer(rig, originUrl);
  let count = 0;
  const proxy = createHttp((_, answer) => answer.writeHead(405).end());
  const sockets = new Set<Socket>();
  proxy.on('connect', ({ url }, client: Socket) => {
    if (url !== `${HUB}:443`) return client.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    count += 1;
    const there = connect((tls.address() as AddressInfo).port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      there.pipe(client).pipe(there);
    });
    for (const socket of [client, there]) {
      sockets.add(socket);
      socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    }
    return undefined;
  });
  for (const server of [tls, proxy]) await once(server.listen(0, '127.0.0.1'), 'listening');
  rig.onClose(async () => {
    for (const socket of sockets) socket.destroy();
    for (const server of [proxy, tls]) await once(server.close(), 'close');
  });
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  return {
    env: { HTTPS_PROXY: url, https_proxy: url, SSL_CERT_FILE: cert, SSL_CERT_DIR: join(dir, 'none') },
    connections: () => count,
  };
}
