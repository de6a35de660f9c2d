// dex with a password of its own: neither userinfo nor PKCE, no `iss` in the callback, and a page that asks for
// approval.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../browser/ports.mjs';
import { assertSignedOut } from '../browser/people.mjs';
import { walk } from './direct.mjs';
import * as golang from './golang.mjs';
import { arrive, begin, mails } from './people.mjs';
import { configure } from './world.mjs';

const folder = join(import.meta.dirname, '../interop/go/dex');
export const version = golang.versionIn(folder, 'github.com/dexidp/dex').replace(/\+.*/, '');
const binary = golang.keptAt(`dex-${version}`);
const person = { email: 'jane@dex.test', password: 'password' };
const secret = randomBytes(32).toString('hex');

export const missing = () => golang.missing({ folder, what: '.', binary, env: { CGO_ENABLED: '0' } });

export async function start({ redirect }) {
  const cwd = mkdtempSync(join(tmpdir(), 'entree-dex-'));
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}/dex`;
  const found = spawnSync('go', ['list', '-m', '-f', '{{.Dir}}', 'github.com/dexidp/dex'], { cwd: folder, encoding: 'utf8', env: { ...process.env, PATH: `${process.env.PATH}:/usr/local/go/bin` } });
  cpSync(join(found.stdout.trim(), 'web'), join(cwd, 'web'), { recursive: true });
  // JSON is YAML. The hash is of the word `password`, with bcrypt.
  writeFileSync(join(cwd, 'dex.yaml'), JSON.stringify({
    issuer, storage: { type: 'memory' }, web: { http: `127.0.0.1:${port}` }, enablePasswordDB: true,
    staticClients: [{ id: 'entree', name: 'Entree', secret, redirectURIs: [redirect] }],
    staticPasswords: [{
      email: person.email, hash: '$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W', username: 'Jane Avril', userID: '08a8684b',
    }],
  }));
  const { log, stop } = await golang.serve([binary, 'dex.yaml', 'web'], { cwd, ports: [port] });
  return { issuer, log, stop: () => stop().then(() => rmSync(cwd, { recursive: true, force: true })) };
}

async function signIn(page) {
  await page.fill('#login', person.email);
  await page.fill('#password', person.password);
  await page.click('#submit-login');
  await page.click('button:has-text("Grant Access")');
}

const provider = ({ issuer }) => ({
  name: 'Dex', issuer, client_id: 'entree', client_secret: secret, trust: 'authoritative', mail_domains: ['dex.test'],
  private_hosts: ['127.0.0.1'], loopback_http: true,
});

export const tests = {
  'dex by itself': async ({ browser, service, dex: { issuer } }) => {
    const claims = await walk(browser, { issuer, id: 'entree', secret, redirect: service.at('/upstream/dex/callback') }, signIn);
    assert.equal(claims.email, person.email);
  },

  'UP-01 dex, pinned: signs up in one click with the claims of its ID token, signs out and in again': async ({ browser, service, providers, dex }) => {
    await configure(service, { ...providers, dex: provider(dex) });
    const context = await browser.newContext();
    const page = await context.newPage();
    await begin(page, service, 'dex');
    await signIn(page);
    await arrive(page);
    assert.equal(await page.locator('#email').innerText(), person.email);
    assert.deepEqual(await mails(service, person.email), []);
    await page.click('form#sign-out button');
    await page.waitForURL((url) => url.pathname === '/logged-out');
    await assertSignedOut(context, service);
    await page.goto(service.at('/login'));
    await begin(page, service, 'dex');
    await signIn(page);
    await arrive(page);
    await context.close();
  },

  'entree doctor finds dex fine': async ({ service }) => {
    const [, out] = await service.ask('doctor', '--dev', '--json');
    const found = JSON.parse(out).findings.filter(({ check }) => check === 'provider dex');
    assert.ok(found.length > 0 && found.every(({ state }) => state !== 'fail'), out);
  },
};
