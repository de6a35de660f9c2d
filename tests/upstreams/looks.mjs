// How the pages of this sign-in method look: light and dark, phone and desktop, with axe; pictures of each go to
// SCREENSHOTS.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { signIn } from '../browser/people.mjs';
import { axe } from './chromium.mjs';
import { addressOf, arrive, begin, button, byCode, giveAddress, login } from './people.mjs';
import * as strict from './strict.mjs';

const shots = process.env.SCREENSHOTS ?? 'target/screenshots';

async function back(context, service, id, name) {
  const page = await context.newPage();
  await begin(page, service, id);
  await strict.signIn(page, name);
  return page;
}

// Each opens its page in a fresh browser and gives it back.
const pages = {
  'login-providers': async (context, service) => {
    const page = await context.newPage();
    await page.goto(service.at('/login'));
    return page;
  },
  'upstream-leave': async (context, service) => {
    const page = await context.newPage();
    // It goes on by itself: nothing answers there.
    await page.route((url) => url.pathname.endsWith('/auth'), (route) => route.fulfill({ status: 204 }));
    await page.goto(service.at('/login'));
    await button(page, 'studio').click();
    await page.waitForSelector('a#continue');
    return page;
  },
  'upstream-address': async (context, service) => {
    const page = await back(context, service, 'partner', login());
    await page.waitForSelector('#linking');
    return page;
  },
  'upstream-connect': async (context, service, browser, options) => {
    const name = login();
    const other = await browser.newContext(options);
    await signIn(other, service, addressOf(name));
    await other.close();
    const page = await back(context, service, 'studio', name);
    await giveAddress(page);
    await byCode(page, service, addressOf(name), 2);
    await page.waitForSelector('form#identity');
    return page;
  },
  'account-providers': async (context, service) => {
    const page = await back(context, service, 'studio', login());
    await arrive(page);
    return page;
  },
  'upstream-denied': async (context, service) => {
    const page = await context.newPage();
    await begin(page, service, 'studio');
    await page.waitForSelector('input[name=login]');
    await strict.cancel(page);
    await page.waitForSelector('#notice');
    return page;
  },
  'upstream-again': async (context, service) => {
    const page = await context.newPage();
    await page.goto(service.at(`/upstream/studio/callback?code=x&state=${'A'.repeat(43)}`));
    return page;
  },
  'upstream-answer': async (context, service, browser, options, { mock }) => {
    mock.honest();
    mock.spoil = { token: ({ payload }) => { delete payload.nonce; } };
    const page = await context.newPage();
    await begin(page, service, 'mock');
    await page.waitForURL('**/upstream/mock/callback**');
    mock.honest();
    return page;
  },
};

const modes = ['light', 'dark'].flatMap((colorScheme) => [
  { colorScheme, size: 'phone', viewport: { width: 360, height: 740 } },
  { colorScheme, size: 'desktop', viewport: { width: 1280, height: 800 } },
]);

export const looks = {};
for (const [name, open] of Object.entries(pages)) {
  looks[`looks of ${name}: light and dark, phone and desktop`] = async ({ browser, service, upstreams }) => {
    const options = { locale: 'en-GB', reducedMotion: 'reduce', ignoreHTTPSErrors: true };
    const context = await browser.newContext(options);
    const wrong = [];
    context.on('console', (message) => {
      if (message.location().url.startsWith(service.url) && /Content Security Policy|Refused to/.test(message.text())) wrong.push(message.text());
    });
    const page = await open(context, service, browser, options, upstreams);
    await page.waitForLoadState();
    await page.evaluate(axe);
    for (const { colorScheme, size, viewport } of modes) {
      const mode = `${colorScheme}, ${size}`;
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(viewport);
      await page.screenshot({ path: join(shots, `${name}-${colorScheme}-${size}.png`), fullPage: true });
      const found = await page.evaluate(() => window.axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
      }));
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
