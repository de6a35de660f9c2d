// The built binary: `entree dev` with the clients of the matrix, over http, behind a proxy that speaks https, or
// speaking it itself.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

// Strings, flags and lists look alike in TOML and JSON, tables do not.
function toml(value) {
  if (Array.isArray(value)) return `[${value.map(toml).join(', ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  return `{ ${Object.entries(value).map(([key, one]) => `${JSON.stringify(key)} = ${toml(one)}`).join(', ')} }`;
}
const lines = (table) => Object.entries(table).map(([key, value]) => `${key} = ${toml(value)}`).join('\n');

export function configuration(clients, resources, origin, certificate) {
  const server = certificate ? `[server]\ntls = { cert_file = "${certificate.cert}", key_file = "${certificate.key}" }\n\n` : '';
  const blocks = Object.entries(clients).map(([id, client]) => `[[clients]]\n${lines({
    client_id: id, ...client,
    redirect_uris: [...client.redirect_uris, `${origin}/callback.html`], allowed_origins: [origin],
    post_logout_redirect_uris: [...client.post_logout_redirect_uris, `${origin}/goodbye.html`],
  })}\n`);
  const apis = resources.map((resource) => `[[resources]]\n${lines(resource)}\n`);
  return `${server}[api]\nv2_enabled = true\n\n[device]\nenabled = true\n\n${[...apis, ...blocks].join('\n')}`;
}

// Whether this build takes such a configuration.
export function takes(binary, folder, text) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'entree.toml');
  writeFileSync(file, text);
  return spawnSync(binary, ['--config', file, 'check-config', '--dev'], { cwd: folder, env: clean() }).status === 0;
}

// Ends TLS before the service, as a reverse proxy does. `to` is set once the service has its address. With a path it
// passes on what docs/https.md says, but for the path `withheld`; what else comes is in `strayed`.
export async function proxy({ cert, key }, path = '') {
  const self = { to: undefined, withheld: undefined, strayed: [] };
  const documents = ['openid-configuration', 'oauth-authorization-server'].map((name) => `/.well-known/${name}${path}`);
  const passes = (asked) => path === '' || asked === path || asked.startsWith(`${path}/`) || documents.includes(asked);
  const server = https.createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
    const { method, headers, url } = request;
    const asked = url.split('?', 1)[0];
    if (!passes(asked)) self.strayed.push(`${method} ${asked}`);
    if (!passes(asked) || asked === self.withheld) return response.writeHead(404).end();
    const inner = http.request(new URL(url, self.to), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    inner.on('error', () => response.destroy());
    request.pipe(inner);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return Object.assign(self, {
    url: `https://127.0.0.1:${server.address().port}${path}`,
    stop: () => { server.close(); server.closeAllConnections(); },
  });
}

// A certificate for 127.0.0.1 and the authority behind it, or undefined where there is no openssl. (One certificate
// that is both is refused by rustls.)
export function certificate(folder) {
  const [ca, caKey, cert, key, request, store] =
    ['ca.pem', 'ca-key.pem', 'cert.pem', 'key.pem', 'request.pem', 'trust.p12'].map((name) => join(folder, name));
  const run = (program, ...args) => spawnSync(program, args).status === 0;
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const leaf = 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n';
  writeFileSync(`${request}.ext`, leaf);
  const made = run('openssl', 'req', '-x509', ...fresh, '-days', '2', '-keyout', caKey, '-out', ca, '-subj', '/CN=Interop',
    '-addext', 'keyUsage=critical,keyCertSign') &&
    run('openssl', 'req', ...fresh, '-keyout', key, '-out', request, '-subj', '/CN=127.0.0.1') &&
    run('openssl', 'x509', '-req', '-in', request, '-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-days', '2', '-out', cert,
      '-extfile', `${request}.ext`);
  if (!made) return undefined;
  // Java trusts a store of its own kind.
  run('keytool', '-importcert', '-noprompt', '-file', ca, '-alias', 'interop', '-keystore', store, '-storetype', 'PKCS12',
    '-storepass', 'changeit');
  return { cert, key, ca, store, pem: readFileSync(ca) };
}

const clean = () => Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('ENTREE_')));

// libfaketime, where it is installed.
export function faketime() {
  const folders = existsSync('/usr/lib') ? readdirSync('/usr/lib') : [];
  return folders.map((one) => join('/usr/lib', one, 'faketime/libfaketime.so.1')).find(existsSync);
}

// Starts it; gives its address once it serves. `clock`: its time, as libfaketime has it ('-2h').
export async function start(binary, folder, text, more, { port = 0, clock } = {}) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'entree.toml');
  writeFileSync(file, text);
  const env = {
    ...clean(), ...more, ...(clock && { LD_PRELOAD: faketime(), FAKETIME: clock, FAKETIME_DONT_FAKE_MONOTONIC: '1' }),
    ENTREE__MANAGEMENT__LISTEN: '127.0.0.1:0',
    // All people of this run come from one address; budgets are tested elsewhere.
    ENTREE__LIMITS__NETWORK: '[{ count = 100000, seconds = 60 }]',
    ENTREE__LIMITS__DOMAIN: '[{ count = 100000, seconds = 60 }]',
    ENTREE__LIMITS__NETWORK_ADDRESS: '[{ count = 1000, seconds = 60 }]',
  };
  // setpriv: the kernel ends it even when we are killed.
  const args = ['--pdeathsig=KILL', binary, 'dev', '--port', String(port), '--data', join(folder, 'data'), '--config', file];
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
  // Away, as far as any client can see, and back.
  const pause = () => child.kill('SIGSTOP');
  const resume = () => child.kill('SIGCONT');
  return { url, log, pause, resume, stop: () => new Promise((done) => child.on('close', done).kill('SIGTERM')) };
}
