// A port for who must know it before it listens.
import { once } from 'node:events';
import { createServer } from 'node:net';

// One that is free now, and below those that the system gives away by itself: no other process gets it meanwhile.
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer().listen(port, '127.0.0.1');
    if (!(await once(server, 'listening').catch(() => false))) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
