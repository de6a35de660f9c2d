// OB-6: a service at a path of its host, in a browser with scripts: no request for our host leaves the path.
import assert from 'node:assert/strict';
import { askForMail, pressLinkButton, newAddress } from './people.mjs';
import { codeOf, entree, linkOf } from './service.mjs';

const PATH = '/auth';

// Collects what the pages of a context request of our host outside of the path, and what goes wrong there.
function watch(context, service) {
  const found = [];
  const { origin } = new URL(service.url);
  context.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin === origin && !url.pathname.startsWith(`${PATH}/`)) found.push(`outside: ${url.pathname}`);
  });
  context.on('response', (response) => {
    if (response.status() >= 400) found.push(`${response.status()} at ${new URL(response.url()).pathname}`);
  });
  context.on('console', (message) => { if (message.type() === 'error') found.push(message.text()); });
  return found;
}

async function signOut(page) {
  await page.waitForSelector('form#sign-out');
  await page.click('form#sign-out button');
  await page.waitForURL((url) => url.pathname === `${PATH}/logged-out`);
}

export const atPath = {
  'OB-6 a sign-in by link and by code at a path, with scripts': async ({ browser }) => {
    const service = await entree({ path: PATH });
    const context = await browser.newContext();
    try {
      const found = watch(context, service);
      const [waiting, tab] = [await context.newPage(), await context.newPage()];
      const mail = await askForMail(waiting, service, newAddress());
      assert.ok(linkOf(mail).startsWith(`${service.url}/login/link/`));
      await tab.goto(linkOf(mail));
      await pressLinkButton(tab);
      // The script of the waiting page asks for the state of the sign-in, and goes where that says.
      await waiting.waitForURL((url) => url.pathname === `${PATH}/account`, { timeout: 30_000 });
      const cookies = await context.cookies();
      assert.deepEqual([...new Set(cookies.map((cookie) => cookie.path))], [PATH]);
      await signOut(waiting);

      const address = newAddress();
      const code = codeOf(await askForMail(tab, service, address));
      await tab.fill('#code-field', code);
      await tab.click('form#code button');
      await signOut(tab);
      assert.deepEqual(found, []);
    } finally {
      await context.close();
      service.child.kill('SIGKILL');
    }
  },
};
