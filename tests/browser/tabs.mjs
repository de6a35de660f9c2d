// Several tabs of several applications in one browser, and tabs that a browser restores: each leads to its own
// application.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { codeOf, entree, linkOf } from './service.mjs';
import { newAddress } from './people.mjs';

const names = ['Alpha', 'Beta'];
const clock = { clock: true };

// Two applications on one port: each says what came back to it.
export async function applications() {
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://127.0.0.1');
    const { code, state, error } = Object.fromEntries(url.searchParams);
    response.setHeader('content-type', 'text/html');
    response.end(`<title>${url.pathname.slice(1)}</title><p id="application">${code ? `code for ${state}` : error ?? 'home'}</p>`);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const clients = names.map((name) => `{ client_id = "${name}", name = "${name} dance", client_uri = "${origin}/${name}",
    redirect_uris = ["${origin}/${name}"], audience = "https://${name.toLowerCase()}.example", first_party = true }`);
  const authorize = (service, name, state) => service.at(`/oauth2/authorize?${new URLSearchParams({
    client_id: name, redirect_uri: `${origin}/${name}`, response_type: 'code', scope: 'openid', state,
    code_challenge: createHash('sha256').update(state.padEnd(43, '-')).digest('base64url'), code_challenge_method: 'S256',
  })}`);
  const ended = async (page, name, text) => {
    await page.waitForURL((url) => url.origin === origin, { timeout: 20_000 });
    assert.equal(await page.title(), name);
    assert.equal(await page.locator('#application').innerText(), text);
  };
  return { origin, clients, authorize, ended, close: () => { server.close(); server.closeAllConnections(); } };
}

async function enter(page, address) {
  await page.fill('form#sign-in [name=email]', address);
  await page.click('form#sign-in button');
  await page.waitForURL((url) => !url.pathname.startsWith('/login/email') && url.pathname !== '/login');
}

async function enterCode(page, code) {
  await page.fill('form#code [name=code]', code);
  await page.click('form#code button');
}

// A browser with a tab for each application, at the sign-in page.
async function twoTabs(browser, options = {}) {
  const apps = await applications();
  const service = await entree({ clients: apps.clients, ...options });
  const context = await browser.newContext();
  const pages = [];
  for (const name of names) {
    const page = await context.newPage();
    await page.goto(apps.authorize(service, name, `state of ${name}`));
    assert.match(await page.locator('h1').innerText(), new RegExp(name));
    pages.push(page);
  }
  return { apps, service, context, pages, address: newAddress(), end: async () => { await context.close(); apps.close(); } };
}

const orders = { 'the first tab first': [0, 1], 'the second tab first': [1, 0] };

export const tabs = {};
for (const [order, [first, second]] of Object.entries(orders)) {
  tabs[`OC-8 two tabs of two applications, ${order}: the other form goes on with the session`] = async ({ browser }) => {
    const { apps, service, pages, address, end } = await twoTabs(browser);
    await enter(pages[first], address);
    await enterCode(pages[first], codeOf(await service.mail(address)));
    await apps.ended(pages[first], names[first], `code for state of ${names[first]}`);
    await pages[second].bringToFront();
    await pages[second].fill('form#sign-in [name=email]', address);
    await pages[second].click('form#sign-in button');
    await apps.ended(pages[second], names[second], `code for state of ${names[second]}`);
    await end();
  };

  tabs[`OC-8 two tabs of two applications that both wait for an email, ${order}`] = async ({ browser }) => {
    const { apps, service, pages, address, end } = await twoTabs(browser);
    const codes = [];
    for (const [index, page] of pages.entries()) {
      await enter(page, address);
      codes.push(codeOf(await service.mail(address, index + 1)));
    }
    await enterCode(pages[first], codes[first]);
    await apps.ended(pages[first], names[first], `code for state of ${names[first]}`);
    // The other tab goes on with the session.
    await pages[second].bringToFront();
    await apps.ended(pages[second], names[second], `code for state of ${names[second]}`);
    await end();
  };

  tabs[`OC-8 two tabs of two applications, by the links of both emails, ${order}`] = async ({ browser }) => {
    const { apps, service, context, pages, address, end } = await twoTabs(browser);
    const links = [];
    for (const [index, page] of pages.entries()) {
      await enter(page, address);
      links.push(linkOf(await service.mail(address, index + 1)));
    }
    const open = async (index, text) => {
      const page = await context.newPage();
      await page.goto(links[index]);
      await apps.ended(page, names[index], text);
    };
    await open(first, `code for state of ${names[first]}`);
    // The tab that waited goes to the home page of its own application, and the other one goes on with the session.
    await pages[first].bringToFront();
    await apps.ended(pages[first], names[first], 'home');
    await pages[second].bringToFront();
    await apps.ended(pages[second], names[second], `code for state of ${names[second]}`);
    await open(second, 'home');
    await end();
  };
}

// Opens addresses as a browser does that restores its tabs; each must lead to the application or name the way there.
async function restored(context, apps, addresses) {
  for (const [what, address] of Object.entries(addresses)) {
    const page = await context.newPage();
    await page.goto(address, { waitUntil: 'load' });
    await page.waitForTimeout(300);
    if (new URL(page.url()).origin !== apps.origin) {
      const before = await page.locator('main').innerText();
      const link = page.locator('a#next, a#client').first();
      if (await link.count()) {
        const from = page.url();
        await link.click();
        await page.waitForURL((url) => url.href !== from);
      }
      const after = new URL(page.url()).origin === apps.origin ? await page.title() : await page.locator('main').innerText();
      assert.match(after, /Alpha/, `${what}: it does not lead to the application: ${before} → ${after}`);
    }
    await page.close();
  }
}

// The addresses of a whole sign-in, in its order, and the code of its email.
async function addressesOf(page, apps, service, address) {
  await page.goto(apps.authorize(service, 'Alpha', 'restored'));
  const addresses = { 'the sign-in page': page.url() };
  await enter(page, address);
  const mail = await service.mail(address);
  const flow = new URL(page.url()).searchParams.get('flow');
  Object.assign(addresses, {
    'the waiting page': page.url(), 'the code form': service.at('/login/code?client=Alpha'),
    'the email form': service.at('/login/email?client=Alpha'),
    'the page that continues': service.at(`/login/continue?flow=${flow}&client=Alpha`),
    'starting over': service.at(`/login/restart?flow=${flow}&client=Alpha`),
  });
  return { addresses, mail };
}

Object.assign(tabs, {
  'OC-8 restored tabs of a sign-in that is over lead to the application': async ({ browser }) => {
    const apps = await applications();
    const service = await entree({ clients: apps.clients });
    const context = await browser.newContext();
    const page = await context.newPage();
    const { addresses, mail } = await addressesOf(page, apps, service, newAddress());
    await enterCode(page, codeOf(mail));
    await apps.ended(page, 'Alpha', 'code for restored');
    const again = await browser.newContext({ storageState: await context.storageState() });
    await restored(again, apps, { ...addresses, 'the link page': linkOf(mail) });
    await again.close();
    await context.close();
    apps.close();
  },

  'OC-8 restored tabs of a sign-in that has expired lead to the application': async ({ browser }) => {
    const apps = await applications();
    const service = await entree({ clients: apps.clients, ...clock });
    if (!service.shift) return apps.close();
    const context = await browser.newContext();
    const page = await context.newPage();
    const { addresses } = await addressesOf(page, apps, service, newAddress());
    await page.close();
    await service.shift(3_700);
    const again = await browser.newContext({ storageState: await context.storageState() });
    await restored(again, apps, addresses);
    await again.close();
    await context.close();
    apps.close();
  },

  'OD-8 the code of an earlier email of the same sign-in still works': async ({ browser }) => {
    const apps = await applications();
    const service = await entree({ clients: apps.clients, env: { ENTREE__LIMITS__RESEND_SECONDS: '[1]' } });
    const context = await browser.newContext();
    const page = await context.newPage();
    const address = newAddress();
    await page.goto(apps.authorize(service, 'Alpha', 'old code'));
    await enter(page, address);
    const old = codeOf(await service.mail(address));
    await page.locator('form#resend button:enabled').click();
    assert.notEqual(codeOf(await service.mail(address, 2)), old);
    await page.waitForLoadState();
    await enterCode(page, old);
    await apps.ended(page, 'Alpha', 'code for old code');
    await context.close();
    apps.close();
  },
});
