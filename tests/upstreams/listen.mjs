// A server in this process that can be killed in the middle of things and come back at the same address.
import http from 'node:http';
import https from 'node:https';

export class Door {
  // `tls`: { cert, key } in PEM.
  constructor(tls) {
    Object.assign(this, { tls, port: 0, sockets: new Set(), detour: undefined });
  }

  // Opens it; `handler` may be set later, and is asked anew at each request.
  async open(handler = this.handler) {
    this.handler = handler;
    const answer = (request, response) => {
      const { setHeader } = response;
      // Where a redirect leads, a test may see and change.
      response.setHeader = (name, value) => {
        const elsewhere = /^location$/i.test(name) ? this.detour?.(String(value), response) : undefined;
        return setHeader.call(response, name, elsewhere ?? value);
      };
      this.handler(request, response);
    };
    this.server = this.tls ? https.createServer(this.tls, answer) : http.createServer(answer);
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    await new Promise((done, fail) => this.server.on('error', fail).listen(this.port, '127.0.0.1', done));
    this.port = this.server.address().port;
  }

  get origin() {
    return `${this.tls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  // As a crash does: connected clients lose the connection, and no client gets a new one.
  async kill() {
    const closed = new Promise((done) => this.server.close(done));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}
