// The built binary: `entree dev` with the clients of the matrix, over http, behind a proxy that speaks https, or speaking it itself.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

// Strings, flags and lists of strings look alike in TOML and JSON.
const lines = (table) => Object.entries(table).map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join('\n');

export function configuration(clients, origin, certificate) {
  const server = certificate ? `[server]\ntls = { cert_file = "${certificate.cert}", key_file = "${certificate.key}" }\n\n` : '';
  const blocks = Object.entries(clients).map(([id, client]) => `[[clients]]\n${lines({
    client_id: id, ...client,
    redirect_uris: [...client.redirect_uris, `${origin}/callback.html`], allowed_origins: [origin],
    post_logout_redirect_uris: [...client.post_logout_redirect_uris, `${origin}/goodbye.html`],
  })}\n`);
  return server + blocks.join('\n');
}

// Whether this build takes such a configuration.
export function takes(binary, folder, text) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'entree.toml');
  writeFileSync(file, text);
  return spawnSync(binary, ['--config', file, 'check-config', '--dev'], { cwd: folder, env: clean() }).status === 0;
}

// Ends TLS before the service, as a reverse proxy does. `to` is set once the service has its address.
export async function proxy({ pem, key }) {
  const self = { to: undefined };
  const server = https.createServer({ cert: pem, key: readFileSync(key) }, (request, response) => {
    const { method, headers, url } = request;
    const inner = http.request(new URL(url, self.to), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    inner.on('error', () => response.destroy());
    request.pipe(inner);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return Object.assign(self, {
    url: `https://127.0.0.1:${server.address().port}`,
    stop: () => { server.close(); server.closeAllConnections(); },
  });
}

// A certificate for 127.0.0.1 that trusts itself, or undefined where there is no openssl.
export function certificate(folder) {
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(folder, name));
  const made = spawnSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-keyout', key, '-out', cert,
    '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'extendedKeyUsage=serverAuth',
  ]);
  return made.status === 0 ? { cert, key, pem: readFileSync(cert) } : undefined;
}

const clean = () => Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('ENTREE_')));

// Starts it; gives its address once it serves.
export async function start(binary, folder, text, more) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'entree.toml');
  writeFileSync(file, text);
  const env = {
    ...clean(), ...more,
    ENTREE__MANAGEMENT__LISTEN: '127.0.0.1:0',
    // All people of this run come from one address; budgets are tested elsewhere.
    ENTREE__LIMITS__NETWORK: '[{ count = 100000, seconds = 60 }]',
  };
  // setpriv: the kernel ends it even when we are killed.
  const args = ['--pdeathsig=KILL', binary, 'dev', '--port', '0', '--data', join(folder, 'data'), '--config', file];
  const child = spawn('setpriv', args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const log = [];
  child.stderr.on('data', (chunk) => log.push(String(chunk)));
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const lines = createInterface({ input: child.stdout });
  const url = await new Promise((done, fail) => {
    lines.on('line', (line) => {
      log.push(line);
      if (line.startsWith('public listener: ')) done(line.slice(17).trim().replace(/\/$/, ''));
    });
    child.on('error', fail).on('close', () => fail(new Error(`entree did not start:\n${log.join('\n')}`)));
  });
  clearTimeout(timer);
  return { url, log, stop: () => new Promise((done) => child.on('close', done).kill('SIGTERM')) };
}
