// Every page in light and dark, on a phone and a desktop: axe finds nothing, nothing overflows, nothing foreign is
// fetched, no script breaks a rule of the page, and a page with all that it fetches has at most 60 KiB. A picture of
// each goes to target/screenshots. The documentation page is the library's own: of it only what it fetches and runs is
// checked.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { devicePages } from './devices.mjs';
import { askForMail, signIn, newAddress } from './people.mjs';
import { linkOf } from './service.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const shots = resolve(process.env.SCREENSHOTS ?? 'target/screenshots');
mkdirSync(shots, { recursive: true });

// Each opens its page in a fresh browser and gives it back.
const pages = {
  login: async (context, service) => at(context, service, '/login'),
  'login-error': async (context, service) => {
    const page = await at(context, service, '/login');
    await page.fill('form#sign-in [name=email]', 'anna@[127.0.0.1]');
    await page.locator('form#sign-in').evaluate((form) => HTMLFormElement.prototype.submit.call(form));
    await page.waitForSelector('#error');
    return page;
  },
  sent: async (context, service) => {
    const page = await context.newPage();
    await askForMail(page, service, newAddress());
    return page;
  },
  'sent-wrong-code': async (context, service) => {
    const page = await context.newPage();
    await askForMail(page, service, newAddress());
    await page.fill('form#code [name=code]', '00000000');
    await page.click('form#code button');
    await page.waitForSelector('#error');
    return page;
  },
  link: async (context, service) => {
    const page = await context.newPage();
    const mail = await askForMail(page, service, newAddress());
    await hold(page);
    await page.goto(linkOf(mail));
    await page.waitForSelector('form#link');
    return page;
  },
  'link-switch': async (context, service) => {
    await signIn(context, service);
    const page = await context.newPage();
    const mail = await askForMail(page, service, newAddress());
    await page.goto(linkOf(mail));
    await page.waitForSelector('form#link');
    return page;
  },
  'link-elsewhere': async (context, service, browser, options) => {
    const other = await browser.newContext(options);
    const mail = await askForMail(await other.newPage(), service, newAddress());
    await other.close();
    const page = await context.newPage();
    await page.goto(linkOf(mail));
    return page;
  },
  account: async (context, service, browser, options) => {
    const { address } = await signIn(context, service);
    const other = await browser.newContext(options);
    const page = await other.newPage();
    await askForMail(page, service, address);
    await page.goto(linkOf(await service.mail(address, 2)));
    await page.waitForURL((url) => !url.pathname.startsWith('/login/link'));
    await page.waitForLoadState();
    await other.close();
    return at(context, service, '/account');
  },
  'logged-out': async (context, service) => {
    const { page } = await signIn(context, service);
    await page.click('form#sign-out button');
    await page.waitForURL((url) => url.pathname === '/logged-out');
    return page;
  },
  'login-client': async (context, service) => at(context, service, authorize('lessons-web', 'http://127.0.0.1:8081/callback')),
  consent: async (context, service) => {
    await signIn(context, service);
    return at(context, service, authorize('partner', 'http://127.0.0.1:9/cb'));
  },
  'sent-client': async (context, service) => {
    const page = await at(context, service, authorize('lessons-web', 'http://127.0.0.1:8081/callback'));
    await page.fill('form#sign-in [name=email]', newAddress());
    await page.click('form#sign-in button');
    await page.waitForSelector('form#code');
    return page;
  },
  'logout-confirm': async (context, service) => {
    await signIn(context, service);
    return at(context, service, '/oauth2/logout');
  },
  'logout-mistake': async (context, service) => {
    await signIn(context, service);
    return at(context, service, '/oauth2/logout?client_id=partner&post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fbye');
  },
  name: async (context, service) => {
    await signIn(context, service);
    return at(context, service, authorize('named', 'http://127.0.0.1:9/named'));
  },
  docs: async (context, service) => at(context, service, '/docs'),
  'not-found': async (context, service) => at(context, service, '/no-such-page'),
  'authorize-error': async (context, service) => at(context, service, '/oauth2/authorize?client_id=unknown'),
  mailbox: async (context, service) => {
    await askForMail(await context.newPage(), service, newAddress());
    return at(context, service, '/dev/mailbox');
  },
  'mailbox-letter': async (context, service) => {
    const mail = await askForMail(await context.newPage(), service, newAddress());
    return at(context, service, `/dev/mailbox/${mail.id}`);
  },
};

// Each in English and in French.
const inBoth = {
  ...devicePages,
  'consent-apis': async (context, service) => {
    await signIn(context, service);
    return at(context, service, authorize('club', 'http://127.0.0.1:9/club', 'openid email notes:read halls:book'));
  },
};

const authorize = (client, back, scope = 'openid profile email') => `/oauth2/authorize?${new URLSearchParams({
  client_id: client, redirect_uri: back, response_type: 'code', scope, state: 's',
  code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256',
})}`;

async function at(context, service, path) {
  const page = await context.newPage();
  await page.goto(service.at(path));
  return page;
}

// A page that believes itself hidden does not post by itself.
const hold = (page) => page.addInitScript(() => Object.defineProperty(document, 'hidden', { get: () => true }));

const modes = ['light', 'dark'].flatMap((colorScheme) => [
  { colorScheme, size: 'phone', viewport: { width: 360, height: 740 } },
  { colorScheme, size: 'desktop', viewport: { width: 1280, height: 800 } },
]);

// All that a page consists of, unpacked.
const bytesOf = (page) => page.evaluate(() =>
  ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type)).reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0));

const all = [
  ...Object.entries({ ...pages, ...inBoth }).map(([name, open]) => [name, open, 'en-GB']),
  ...Object.entries(inBoth).map(([name, open]) => [`${name}-fr`, open, 'fr-FR']),
];

export const looks = {};
for (const [name, open, locale] of all) {
  looks[`looks of ${name}: light and dark, phone and desktop`] = async ({ browser, service }) => {
    const options = { locale, reducedMotion: 'reduce' };
    const context = await browser.newContext(options);
    const wrong = [];
    context.on('request', (request) => {
      const url = new URL(request.url());
      if (url.origin !== service.url && url.protocol.startsWith('http')) wrong.push(`fetched ${url.origin}`);
    });
    context.on('console', (message) => {
      if (/Content Security Policy|Refused to/.test(message.text())) wrong.push(message.text());
    });
    context.on('weberror', (error) => wrong.push(String(error.error())));
    const page = await open(context, service, browser, options);
    await page.waitForLoadState('networkidle');
    if (name !== 'docs') {
      const bytes = await bytesOf(page);
      if (bytes === 0 || bytes > 60 * 1024) wrong.push(`has ${bytes} bytes`);
      const lang = await page.locator('html').getAttribute('lang');
      if (lang !== locale.slice(0, 2)) wrong.push(`is in ${lang}`);
    }
    await page.evaluate(axe);
    for (const { colorScheme, size, viewport } of modes) {
      const mode = `${colorScheme}, ${size}`;
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(viewport);
      await page.screenshot({ path: join(shots, `${name}-${colorScheme}-${size}.png`), fullPage: true });
      const found = await page.evaluate(() => window.axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
      }));
      if (name === 'docs') continue;
      for (const one of found.violations) {
        wrong.push(`${mode}: axe ${one.id}: ${one.help}: ${one.nodes.map((node) => node.target).join(' ')}`);
      }
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (wide > 0) wrong.push(`${mode}: overflows sideways by ${wide} pixels`);
    }
    assert.deepEqual([...new Set(wrong)], []);
    await context.close();
  };
}
