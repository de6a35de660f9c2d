// oidc-client-ts in headless Chromium: a page of another origin, no server behind it.
import { createServer } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { codeOf, Person } from './person.mjs';

const library = join(import.meta.dirname, 'node/node_modules/oidc-client-ts');
const playwright = join(import.meta.dirname, '../browser/node_modules/playwright-core/index.mjs');
const programs = ['chromium', 'chromium-browser', 'google-chrome'];
const folders = (process.env.PATH ?? '').split(delimiter);
const executablePath = process.env.CHROMIUM ?? programs.flatMap((name) => folders.map((one) => join(one, name))).find(existsSync);

export function missing() {
  if (!existsSync(library)) return 'no packages in tests/interop/node';
  if (!existsSync(playwright)) return 'no packages in tests/browser; scripts/setup.sh installs them';
  return executablePath ? undefined : 'no chromium on PATH; scripts/setup.sh installs it';
}

// Serves the library's own bundle and an empty page at any other path.
export async function pages() {
  const server = createServer((request, response) => {
    const script = request.url === '/oidc.js';
    response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
    response.end(script ? readFileSync(join(library, 'dist/browser/oidc-client-ts.min.js'))
      : '<!doctype html><link rel="icon" href="data:,"><title>Interop</title><script src="/oidc.js"></script>');
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { origin: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
}

export async function signIn(env, origin, ca) {
  const { chromium } = await import(playwright);
  const browser = await chromium.launch({ executablePath, chromiumSandbox: process.getuid() !== 0, args: ['--disable-gpu'] });
  try {
    const context = await browser.newContext({ ignoreHTTPSErrors: ca !== undefined });
    const page = await context.newPage();
    const trouble = [];
    page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
    return await walk(page, env, origin, ca).catch((error) => { throw new Error([error.message, ...trouble].join('\n')); });
  } finally {
    await browser.close();
  }
}

async function walk(page, env, origin, ca) {
  const settings = {
    authority: env.ISSUER, client_id: env.CLIENT_ID, redirect_uri: `${origin}/callback.html`, scope: 'openid email',
    response_type: 'code', post_logout_redirect_uri: `${origin}/goodbye.html`,
  };
  await page.goto(`${origin}/`);
  // Not awaited there: it leaves the page.
  await page.evaluate((settings) => { void new oidc.UserManager(settings).signinRedirect({ nonce: 'n-1' }); }, settings);
  const person = new Person(env.ISSUER, ca);
  await page.fill('form#sign-in [name=email]', person.address);
  await page.click('form#sign-in button');
  await page.waitForSelector('form#code');
  await page.fill('form#code [name=code]', codeOf(await person.mail()));
  await page.click('form#code button');
  const back = page.waitForURL(`${origin}/callback.html?**`);
  const consent = page.locator('form#consent button').first();
  await Promise.race([back, consent.waitFor().then(() => consent.click())]);
  await back;
  const user = await page.evaluate(async (settings) => {
    const user = await new oidc.UserManager(settings).signinCallback();
    return { access_token: user.access_token, id_token: user.id_token, sub: user.profile.sub };
  }, settings);
  if (!user.sub) throw new Error('no subject');
  await page.evaluate((settings) => { void new oidc.UserManager(settings).signoutRedirect(); }, settings);
  await page.waitForURL(`${origin}/goodbye.html**`);
  const { version } = JSON.parse(readFileSync(join(library, 'package.json')));
  // The library reads the claims and leaves signatures to TLS (OIDC Core §3.1.3.7, 6).
  return { ...user, version, did: ['discovery by CORS', 'code + PKCE by CORS', 'ID token claims', 'sign-out'] };
}
