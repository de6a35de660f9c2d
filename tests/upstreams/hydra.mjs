// Ory Hydra, which has no pages of its own: the pages for sign-in and consent are served here.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { freePort } from '../browser/ports.mjs';
import { assertSignedOut } from '../browser/people.mjs';
import { walk } from './direct.mjs';
import * as golang from './golang.mjs';
import { arrive, begin, mails } from './people.mjs';
import { configure } from './world.mjs';

const folder = join(import.meta.dirname, 'go/hydra');
export const version = golang.versionIn(folder, 'github.com/ory/hydra/v2');
const binary = golang.keptAt(`hydra-${version}`);
const email = 'toulouse@hydra.test';
const secret = randomBytes(16).toString('hex');

// Its storage in memory is SQLite, which is C.
export const missing = () => golang.missing({ folder, what: 'github.com/ory/hydra/v2', binary, flags: ['-tags=sqlite,json1'] });

// What its makers leave to those who run it: a page for sign-in, and a page for consent.
async function pages(admin) {
  const call = async (path, method, body) => {
    const response = await fetch(admin() + path, { method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
    return response.json();
  };
  const accept = async (kind, challenge) => {
    const at = `/admin/oauth2/auth/requests/${kind}`;
    if (kind === 'login') return call(`${at}/accept?login_challenge=${challenge}`, 'PUT', { subject: 'toulouse' });
    const { requested_scope } = await call(`${at}?consent_challenge=${challenge}`, 'GET');
    const id_token = { email, email_verified: true, name: 'Henri de Toulouse-Lautrec' };
    return call(`${at}/accept?consent_challenge=${challenge}`, 'PUT', { grant_scope: requested_scope, session: { id_token } });
  };
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://here');
    const kind = pathname.slice(1);
    const challenge = searchParams.get(`${kind}_challenge`);
    if (!challenge) return response.writeHead(404).end();
    if (request.method === 'GET') {
      response.setHeader('content-type', 'text/html');
      return response.end(`<!doctype html><title>${kind}</title><form method="post"><button id="${kind}">Continue</button></form>`);
    }
    const { redirect_to } = await accept(kind, encodeURIComponent(challenge));
    return response.writeHead(303, { location: redirect_to }).end();
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { call, url: `http://127.0.0.1:${server.address().port}`, stop: () => { server.close(); server.closeAllConnections(); } };
}

export async function start({ redirect }) {
  const [open, admin] = [await freePort(), await freePort()];
  const issuer = `http://127.0.0.1:${open}`;
  const own = await pages(() => `http://127.0.0.1:${admin}`);
  const env = {
    DSN: 'memory', SECRETS_SYSTEM: randomBytes(16).toString('hex'), LOG_LEVEL: 'warn', SQA_OPT_OUT: 'true',
    SERVE_PUBLIC_HOST: '127.0.0.1', SERVE_PUBLIC_PORT: String(open), SERVE_ADMIN_HOST: '127.0.0.1', SERVE_ADMIN_PORT: String(admin),
    URLS_SELF_ISSUER: issuer, URLS_LOGIN: `${own.url}/login`, URLS_CONSENT: `${own.url}/consent`,
  };
  const { log, stop } = await golang.serve([binary, 'serve', 'all', '--dev'], { env, ports: [open, admin] });
  await own.call('/admin/clients', 'POST', {
    client_id: 'entree', client_secret: secret, redirect_uris: [redirect], grant_types: ['authorization_code'], response_types: ['code'],
    scope: 'openid profile email', token_endpoint_auth_method: 'client_secret_basic',
  });
  return { issuer, log, stop: () => stop().then(own.stop) };
}

async function signIn(page) {
  await page.click('#login');
  await page.click('#consent');
}

const provider = ({ issuer }) => ({
  name: 'Hydra', issuer, client_id: 'entree', client_secret: secret, trust: 'authoritative', mail_domains: ['hydra.test'],
  private_hosts: ['127.0.0.1'], loopback_http: true,
});

export const tests = {
  'Hydra by itself': async ({ browser, service, hydra: { issuer } }) => {
    const claims = await walk(browser, { issuer, id: 'entree', secret, redirect: service.at('/upstream/hydra/callback') }, signIn);
    assert.equal(claims.email, email);
  },

  'UP-01 Hydra, pinned: signs up in one click, signs out and in again': async ({ browser, service, providers, hydra }) => {
    await configure(service, { ...providers, hydra: provider(hydra) });
    const context = await browser.newContext();
    const page = await context.newPage();
    await begin(page, service, 'hydra');
    await signIn(page);
    await arrive(page);
    assert.equal(await page.locator('#email').innerText(), email);
    assert.deepEqual(await mails(service, email), []);
    await page.click('form#sign-out button');
    await page.waitForURL((url) => url.pathname === '/logged-out');
    await assertSignedOut(context, service);
    await page.goto(service.at('/login'));
    await begin(page, service, 'hydra');
    await signIn(page);
    await arrive(page);
    await context.close();
  },

  'entree doctor finds Hydra fine': async ({ service }) => {
    const [, out] = await service.ask('doctor', '--dev', '--json');
    const found = JSON.parse(out).findings.filter(({ check }) => check === 'provider hydra');
    assert.ok(found.length > 0 && found.every(({ state }) => state !== 'fail'), out);
  },
};
