// What every test walks through: one service, and the providers upstream of it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { entree } from '../browser/service.mjs';
import { mock } from './mock.mjs';
import { secret, strict } from './strict.mjs';

const folder = mkdtempSync(join(tmpdir(), 'entree-upstreams-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

// A certificate for 127.0.0.1 that trusts itself.
function certificate() {
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(folder, name));
  const made = spawnSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-keyout', key, '-out', cert,
    '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'extendedKeyUsage=serverAuth',
    // An authority's own certificate is not taken for a server's.
    '-addext', 'basicConstraints=critical,CA:FALSE',
  ]);
  if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
  return { file: cert, cert: readFileSync(cert), key: readFileSync(key) };
}

// Strings, flags and lists of strings look alike in TOML and JSON.
const block = (provider) => `[[providers]]\n${Object.entries(provider).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join('')}\n`;
export const toml = (providers) => Object.entries(providers).map(([id, provider]) => block({ id, ...provider })).join('');

export async function open(browser) {
  const tls = certificate();
  const upstreams = { studio: await strict(tls), partner: await strict(), mock: await mock() };
  const here = { client_id: 'entree', client_secret: secret, private_hosts: ['127.0.0.1'] };
  const providers = {
    // Pinned: the holder of an account there owns the address. Over https, with an authority of its own.
    studio: { name: 'Dance Studio', issuer: upstreams.studio.issuer, ...here, trust: 'authoritative', mail_domains: ['example.test'], ca_file: tls.file },
    partner: { name: 'Pointe Shoes', issuer: upstreams.partner.issuer, ...here, loopback_http: true },
    // Keys are read again at once, so that one spoiled token does not stand in the way of the next test.
    mock: { name: 'Mock', issuer: upstreams.mock.issuer, ...here, loopback_http: true, key_refresh_seconds: 0 },
  };
  const service = await entree({ toml: toml(providers) });
  for (const id of ['studio', 'partner']) await upstreams[id].register(service.at(`/upstream/${id}/callback`));
  return { browser, service, upstreams, providers };
}

// Puts other providers into force, without a restart: done once the sign-in page shows these buttons and no other.
export async function configure(service, providers) {
  service.configure(toml(providers));
  const wanted = Object.entries(providers).filter(([, { enabled = true }]) => enabled).map(([id]) => `/login/upstream/${id}`).sort();
  for (const end = Date.now() + 30_000; Date.now() < end; await new Promise((go) => setTimeout(go, 50))) {
    const page = await (await fetch(service.at('/login'))).text();
    const shown = [...page.matchAll(/action="(\/login\/upstream\/[^"]+)"/g)].map(([, action]) => action).sort();
    if (JSON.stringify(shown) === JSON.stringify(wanted)) return;
  }
  throw new Error(`the sign-in page does not show ${wanted}`);
}
