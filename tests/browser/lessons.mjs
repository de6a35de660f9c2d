// The lessons client and its API, as a person meets them: refreshing, proving again, leaving, Entree away.
import assert from 'node:assert/strict';
import { execSync } from 'node:child_process';
import { codeOf, demo as makeRun, entree, lessons } from './service.mjs';
import { assertSignedOut, newAddress } from './people.mjs';
import { freePort } from './ports.mjs';

// Signs in at the client by the code of the `count`th mail.
async function enter(page, service, address, count = 1) {
  await page.waitForSelector('form#confirm, form#sign-in, form#code');
  if ((await page.locator('form#confirm').count()) > 0) {
    await page.click('form#confirm button');
    await page.waitForSelector('form#code');
  } else if ((await page.locator('form#code').count()) === 0) {
    await page.fill('form#sign-in [name=email]', address);
    await page.click('form#sign-in button');
    await page.waitForSelector('form#code');
  }
  await page.fill('form#code [name=code]', codeOf(await service.mail(address, count)));
  await page.click('form#code button');
}

// A service and the lessons beside it, and a person who is signed in there.
async function visit(browser, { clock = false, refreshMargin, backchannel } = {}) {
  const webPort = await freePort();
  // Signed in 400 s ago: a token lives for 600 s, and 300 s count as recent for the API.
  const service = await entree({ clock, webPort, backchannel, ahead: -400 });
  const web = await lessons(service, { webPort, refreshMargin });
  const context = await browser.newContext();
  const page = await context.newPage();
  const address = newAddress();
  await page.goto(web.url);
  await page.click('#sign-in');
  await enter(page, service, address);
  await page.waitForSelector('#lessons li');
  await service.shift?.(0);
  return { service, web, context, page, address, end: async () => { await context.close(); await service.kill(); } };
}

// Signs out everywhere on another device.
async function leaveElsewhere(browser, service, address) {
  const phone = await browser.newContext();
  const account = await phone.newPage();
  await account.goto(service.at('/login'));
  await enter(account, service, address, 2);
  await account.waitForSelector('form#sign-out-everywhere');
  await account.click('form#sign-out-everywhere button');
  await account.waitForURL(service.at('/logged-out'));
  await phone.close();
}

// The visit ends before its token does, which is good for minutes. Coming back needs a sign-in.
async function assertEnds(page) {
  for (const end = Date.now() + 20_000; (await page.locator('#sign-in').count()) === 0; await page.reload()) {
    assert.ok(Date.now() < end, 'the visit goes on');
  }
  assert.match(await page.locator('#notice').innerText(), /ended/);
  await page.click('#sign-in');
  await page.waitForSelector('form#sign-in [name=email]');
}

const count = (page) => page.locator('#lessons li').count();

export const demo = {
  'the lessons: a role arrives by a silent refresh, and the register asks to prove again': async ({ browser }) => {
    const { service, context, page, address, end } = await visit(browser, { clock: true, refreshMargin: 600 });
    assert.ok(service.shift, 'libfaketime is installed; scripts/setup.sh does it');
    assert.equal(await count(page), 3);
    await page.click('#to-register');
    await page.waitForSelector('#not-for-you');
    service.admin('users', 'roles', 'set', address, 'coach');
    await page.goto(new URL('/', page.url()).href);
    assert.equal(await count(page), 6, 'the next view has a token that was made since');
    await page.click('#to-register');
    await page.waitForURL(`${service.url}/**`);
    await enter(page, service, address, 2);
    await page.waitForSelector('#register li');
    assert.equal(new URL(page.url()).pathname, '/register', 'back where it was asked for');
    await page.reload();
    assert.ok((await page.locator('#register li').count()) > 0, 'and not asked again while it is recent');
    assert.equal((await context.cookies()).filter(({ value }) => /^ey/.test(value)).length, 0, 'no token in the browser');
    await end();
  },

  'ES-5 the lessons: signing out everywhere ends the visit and the session at Entree': async ({ browser }) => {
    const { service, web, context, page, end } = await visit(browser);
    await page.click('form#sign-out-everywhere button');
    await page.waitForURL(`${web.url}/signed-out`);
    await page.waitForSelector('#notice');
    await assertSignedOut(context, service);
    await page.goto(web.url);
    await page.click('#sign-in');
    await page.waitForSelector('form#sign-in [name=email]');
    await end();
  },

  'the lessons: signing out here alone costs one redirect to come back': async ({ browser }) => {
    const { page, end } = await visit(browser);
    await page.click('form#sign-out button');
    await page.click('#sign-in');
    await page.waitForSelector('#lessons li');
    await end();
  },

  'ES-7 the lessons: signed out everywhere on another device, the visit ends here': async ({ browser }) => {
    const { service, page, address, end } = await visit(browser, { refreshMargin: 600 });
    await leaveElsewhere(browser, service, address);
    await page.reload();
    assert.match(await page.locator('#notice').innerText(), /ended/);
    await end();
  },

  'LO-5 LO-11 the lessons: signed out on the account page, the visit ends': async ({ browser }) => {
    const { service, context, page, end } = await visit(browser, { backchannel: true });
    const account = await context.newPage();
    await account.goto(service.at('/account'));
    await page.reload();
    assert.equal(await count(page), 3, 'the visit goes on until then');
    await account.click('form#sign-out button');
    await account.waitForURL(service.at('/logged-out'));
    await assertEnds(page);
    await end();
  },

  'LO-5 LO-11 the lessons: signed out everywhere on another device, the visit ends': async ({ browser }) => {
    const { service, page, address, end } = await visit(browser, { backchannel: true });
    await leaveElsewhere(browser, service, address);
    await assertEnds(page);
    await end();
  },

  'the lessons: with Entree away the cached keys still verify': async ({ browser }) => {
    const { service, web, context, page } = await visit(browser);
    await service.kill();
    await assert.rejects(fetch(service.at('/.well-known/jwks.json')), 'nothing listens there');
    for (let view = 0; view < 3; view++) {
      await page.reload();
      assert.equal(await count(page), 3);
    }
    const bad = await fetch(`${web.api.url}/lessons`, { headers: { authorization: 'Bearer x.y.z' } });
    assert.equal(bad.status, 401, 'and what is bad is still refused');
    await context.close();
  },

  'the lessons: make run prints a walk, and it can be walked': async ({ browser }) => walkAsPrinted(browser, false),
  'the lessons: make run says what to change in an entree.toml that was written for servers': async () => {
    const server = '[server]\npublic_url = "https://login.example.com"\n';
    await assert.rejects(makeRun(false, server), /sets server\.public_url to https:\/\/login\.example\.com, which is not this machine/);
    const clients = '[[clients]]\nclient_id = "app"\nname = "App"\naudience = "https://app.example.com"\nredirect_uris = ["https://app.example.com/callback"]\n';
    await assert.rejects(makeRun(false, clients), /has the redirect URI http:\/\/127\.0\.0\.1:8081\/callback/);
  },
  'the lessons: make run after make cert: the same over https': async ({ browser }) => walkAsPrinted(browser, true),
};

async function walkAsPrinted(browser, https) {
  const run = await makeRun(https);
  try {
    await followPrinted(browser, https, run);
  } finally {
    await run.stop();
  }
}

// Does what the terminal says, with what it says.
async function followPrinted(browser, https, run) {
  const printed = (pattern) => run.text.match(pattern)?.[1] ?? assert.fail(`${pattern} is not in:\n${run.text}`);
  const context = await browser.newContext({ ignoreHTTPSErrors: https });
  const page = await context.newPage();
  await page.goto(printed(/1\. Open +(\S+)/));
  await page.click('#sign-in');
  await page.waitForSelector('form#sign-in');
  assert.equal(new URL(page.url()).protocol, https ? 'https:' : 'http:');
  await page.fill('form#sign-in [name=email]', 'degas@dance.example');
  await page.click('form#sign-in button');
  await page.waitForSelector('form#code');
  const mailbox = await context.newPage();
  await mailbox.goto(printed(/lands in the mailbox, +(\S+)/));
  // The email comes after the page that promises it.
  for (const end = Date.now() + 20_000; (await mailbox.locator('#emails li a').count()) === 0; await mailbox.reload()) {
    assert.ok(Date.now() < end, 'no email came');
  }
  await mailbox.locator('#emails li a').first().click();
  await mailbox.click('#text a[href*="/login/link/"]');
  const arrived = (tab) => tab.waitForSelector('#lessons li', { timeout: 20_000 }).then(() => tab);
  const tab = await Promise.any([arrived(page), arrived(mailbox)]);
  await tab.click('#to-register');
  await tab.waitForSelector('#not-for-you');
  execSync(printed(/\n +(\S.*users roles set degas@dance\.example coach)/), { stdio: 'ignore' });
  await tab.click('form#again button');
  await tab.waitForSelector('#register li, form#sign-in');
  execSync(printed(/(kill -STOP \d+)/));
  await tab.goto(new URL(printed(/1\. Open +(\S+)/)).href);
  assert.equal(await count(tab), 6, 'a coach sees all of them, and Entree was not asked');
  execSync(printed(/(kill -CONT \d+)/));
  await context.close();
}
