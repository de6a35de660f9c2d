// No dead end: whatever a person does on the way, each page leads on to their application. Every step is drawn on a
// phone and on a desktop into target/screenshots/ways-*.png.
import assert from 'node:assert/strict';
import { createServer, request as forward } from 'node:http';
import { join, resolve } from 'node:path';
import { codeOf, entree, lessons, linkOf } from './service.mjs';
import { freePort } from './ports.mjs';
import { assertSignedIn, assertSignedOut, pressLinkButton, signIn, newAddress } from './people.mjs';

const shots = resolve(process.env.SCREENSHOTS ?? 'target/screenshots');
const sizes = { phone: { width: 360, height: 740 }, desktop: { width: 1280, height: 800 } };

async function draw(page, name) {
  const before = page.viewportSize();
  for (const [size, viewport] of Object.entries(sizes)) {
    await page.setViewportSize(viewport);
    await page.screenshot({ path: join(shots, `ways-${name}-${size}.png`), fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wide <= 0, `${name} overflows a ${size} by ${wide} pixels`);
  }
  await page.setViewportSize(before);
}

// A service whose client has a home page, the lessons at it, and a person who waits for the email.
async function visit(browser, options = {}) {
  const webPort = await freePort();
  const service = await entree({ home: true, webPort, ...options });
  const web = await lessons(service, { webPort });
  const context = await browser.newContext(options.context);
  const page = await context.newPage();
  const address = newAddress();
  return { service, web, context, page, address, end: () => context.close() };
}

async function ask(page, web, service, address, count = 1) {
  await page.goto(web.url);
  await page.click('#sign-in');
  await enter(page, address);
  return service.mail(address, count);
}

async function enter(page, address) {
  await page.fill('form#sign-in [name=email]', address);
  await page.click('form#sign-in button');
  await page.waitForSelector('form#code');
}

async function enterCode(page, code) {
  await page.fill('form#code [name=code]', code);
  await page.click('form#code button');
}

const atLessons = (page) => page.waitForSelector('#lessons li', { timeout: 20_000 });
const path = (page) => new URL(page.url()).pathname;
const wrong = (code, n = 1) => String((Number(code) + n) % 1e8).padStart(8, '0');

// A proxy between browser and service that changes headers, as old browsers and settings of browsers do.
async function proxy() {
  const own = { requests: undefined, answers: undefined };
  const server = createServer((request, response) => {
    const headers = { ...request.headers };
    own.requests?.(headers);
    const onward = forward(request.url, { method: request.method, headers }, (answer) => {
      const back = { ...answer.headers };
      own.answers?.(back);
      response.writeHead(answer.statusCode, back);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  own.options = { server: `http://127.0.0.1:${server.address().port}` };
  own.close = () => server.close();
  return own;
}

export const ways = {
  'OD-8 a wrong code: named, counted, kept, focused, and still there after a reload': async ({ browser }) => {
    const { service, web, page, address, end } = await visit(browser);
    const mail = await ask(page, web, service, address);
    await draw(page, 'sent');
    assert.match(await page.locator('main').innerText(), /work for 10 minutes/);
    assert.equal(await page.evaluate(() => document.activeElement.name), 'code');
    const typed = wrong(codeOf(mail));
    await enterCode(page, typed);
    await page.waitForSelector('#error');
    await draw(page, 'sent-wrong');
    for (let view = 0; view < 2; view++) {
      assert.match(await page.locator('#error').innerText(), /isn't right/);
      assert.match(await page.locator('#tries').innerText(), /4 attempts/);
      assert.equal(await page.locator('[name=code]').inputValue(), typed);
      assert.equal(await page.evaluate(() => document.activeElement.name), 'code');
      assert.equal(path(page), '/login/sent');
      assert.ok(!page.url().includes(typed));
      await page.reload();
    }
    await enterCode(page, codeOf(mail));
    await atLessons(page);
    await end();
  },

  'OD-8 five wrong codes: the page offers what is left, and each of it works': async ({ browser }) => {
    const { service, web, context, page, address, end } = await visit(browser);
    const mail = await ask(page, web, service, address);
    for (let n = 1; n <= 5; n++) {
      await enterCode(page, wrong(codeOf(mail), n));
      await page.waitForSelector(n < 5 ? 'p#error' : 'div#error');
      await page.waitForLoadState();
    }
    assert.equal(await page.locator('form#code').count(), 0);
    await draw(page, 'sent-tries-over');
    // A new start has the address and the client.
    const other = await context.newPage();
    await other.goto(new URL(await page.locator('#start-over').getAttribute('href'), page.url()).href);
    assert.equal(await other.locator('form#sign-in [name=email]').inputValue(), address);
    assert.match(await other.locator('h1').innerText(), /Lessons/);
    await other.close();
    await page.goto(linkOf(mail));
    await pressLinkButton(page);
    await atLessons(page);
    await end();
  },

  'OD-8 the pause before another email counts down, and a different email keeps the address': async ({ browser }) => {
    const { service, web, page, address, end } = await visit(browser);
    await ask(page, web, service, address);
    const left = async () => page.locator('#pause bdi').innerText();
    const first = await left();
    assert.match(first, /^0:[0-3]\d$/);
    await page.waitForFunction((was) => document.querySelector('#pause bdi').textContent < was, first);
    assert.ok(await page.locator('form#resend button').isDisabled());
    await page.click('#restart');
    await page.waitForSelector('form#sign-in');
    assert.equal(await page.locator('form#sign-in [name=email]').inputValue(), address);
    await draw(page, 'different-email');
    const corrected = newAddress();
    await enter(page, corrected);
    await enterCode(page, codeOf(await service.mail(corrected)));
    await atLessons(page);
    await end();
  },

  'OD-8 an old code says that it has expired': async ({ browser }) => {
    const { service, web, page, address, end } = await visit(browser, { clock: true });
    if (!service.shift) return end();
    const old = await ask(page, web, service, address);
    await service.shift(620);
    await enterCode(page, codeOf(old));
    await page.waitForSelector('#error');
    assert.match(await page.locator('#error').innerText(), /expired/);
    await draw(page, 'sent-expired');
    await page.click('form#resend button');
    await page.waitForSelector('#error', { state: 'detached' });
    await enterCode(page, codeOf(await service.mail(address, 2)));
    await page.waitForURL((url) => url.origin === new URL(web.url).origin);
    await end();
  },

  'OC-7 a code with what stands around it, and an address as mail programs give it': async ({ browser }) => {
    const { service, web, page, address, end } = await visit(browser);
    await page.goto(web.url);
    await page.click('#sign-in');
    for (const [typed, says] of [['jürgen@example.test', /ü/], ['jo doe@example.test', /space/], ['jo', /@/]]) {
      await page.fill('form#sign-in [name=email]', typed);
      await page.click('form#sign-in button');
      await page.waitForSelector('#error');
      assert.match(await page.locator('#error').innerText(), says);
      assert.equal(await page.locator('form#sign-in [name=email]').inputValue(), typed, 'it is kept');
    }
    await draw(page, 'address-error');
    await enter(page, `\u200bJo Doe <${address}>,\u00a0`);
    const code = codeOf(await service.mail(address));
    await enterCode(page, `Your code: ${code.slice(0, 4)} ${code.slice(4)}.`);
    await atLessons(page);
    await end();
  },

  'OD-9 the link in another tab: both tabs, and Back, lead to the lessons': async ({ browser }) => {
    const { service, web, context, page, address, end } = await visit(browser);
    const mail = await ask(page, web, service, address);
    const link = await context.newPage();
    await link.goto(linkOf(mail));
    await atLessons(link);
    await page.bringToFront();
    await atLessons(page);
    // Back to the pages of the sign-in, and each leads to the lessons.
    await page.goBack();
    await page.waitForSelector('#lessons li, a#client, a#next');
    if (!(await page.locator('#lessons li').count())) {
      await draw(page, 'back');
      assert.match(await page.locator('a#client, a#next').first().innerText(), /Lessons/);
      await page.locator('a#client, a#next').first().click();
      await atLessons(page);
    }
    await end();
  },

  'OD-9 OD-12 a used link leads on in its browser, and says that it is dead in another': async ({ browser }) => {
    const { service, web, context, page, address, end } = await visit(browser, { clock: true });
    const mail = await ask(page, web, service, address);
    await page.goto(linkOf(mail));
    await atLessons(page);
    if (service.shift) await service.shift(120);
    const again = await context.newPage();
    await again.goto(linkOf(mail));
    await atLessons(again);
    const phone = await browser.newContext();
    const other = await phone.newPage();
    await other.goto(linkOf(mail));
    assert.match(await other.locator('h1').innerText(), /already used/);
    assert.match(await other.locator('a#next').innerText(), /Lessons/);
    await draw(other, 'dead-used');
    await other.goto(`${linkOf(mail).slice(0, -3)}`);
    assert.match(await other.locator('h1').innerText(), /doesn't work/);
    await draw(other, 'dead-unknown');
    await phone.close();
    await end();
  },

  'OD-12 an expired link says so everywhere, and one press gets a new email': async ({ browser }) => {
    const { service, web, page, address, end } = await visit(browser, { clock: true });
    if (!service.shift) return end();
    const mail = await ask(page, web, service, address);
    await service.shift(620);
    const phone = await browser.newContext();
    const other = await phone.newPage();
    await other.goto(linkOf(mail));
    assert.match(await other.locator('h1').innerText(), /expired/);
    await phone.close();
    await page.goto(linkOf(mail));
    assert.match(await page.locator('h1').innerText(), /expired/);
    await draw(page, 'dead-expired');
    await page.click('a#next');
    await page.click('form#resend button');
    await enterCode(page, codeOf(await service.mail(address, 2)));
    await page.waitForURL((url) => !url.pathname.startsWith('/login'));
    await end();
  },

  'OD-12 what was done on the account page is confirmed': async ({ browser, service }) => {
    const context = await browser.newContext();
    const { page, address } = await signIn(context, service);
    const phone = await browser.newContext();
    const second = await phone.newPage();
    await second.goto(service.at('/login'));
    await enter(second, address);
    await second.goto(linkOf(await service.mail(address, 2)));
    await pressLinkButton(second);
    await page.goto(service.at('/account'));
    await page.click('form.end-session button');
    await page.waitForSelector('#notice');
    assert.match(await page.locator('#notice').innerText(), /signed out that device/);
    await draw(page, 'session-ended');
    await page.click('form#sign-out-everywhere button');
    await page.waitForURL((url) => url.pathname === '/logged-out');
    assert.match(await page.locator('main').innerText(), /all your devices/);
    await draw(page, 'everywhere');
    await assertSignedOut(phone, service);
    await phone.close();
    await context.close();
  },

  'OC-8 back after an hour: the page names the application and leads there': async ({ browser }) => {
    const { service, web, page, address, end } = await visit(browser, { clock: true });
    if (!service.shift) return end();
    await ask(page, web, service, address);
    await service.shift(3_700);
    await page.reload();
    const next = page.locator('a#next');
    await next.waitFor();
    await draw(page, 'after-an-hour');
    assert.match(await next.innerText(), /Lessons|Start over/);
    await next.click();
    await page.waitForSelector('form#sign-in, #sign-in');
    await end();
  },

  'OC-8 two tabs of one client: the second goes on with the session of the first': async ({ browser }) => {
    const { service, web, context, page, address, end } = await visit(browser);
    const other = await context.newPage();
    await other.goto(web.url);
    await other.click('#sign-in');
    await other.waitForSelector('form#sign-in');
    const mail = await ask(page, web, service, address);
    await enterCode(page, codeOf(mail));
    await atLessons(page);
    await other.fill('form#sign-in [name=email]', address);
    await other.click('form#sign-in button');
    await other.waitForURL((url) => !url.pathname.startsWith('/login'), { timeout: 20_000 });
    assert.notEqual(new URL(other.url()).origin, service.url);
    await end();
  },

  'OC-8 blocked cookies: the page says so, and goes on with the request once they are allowed': async ({ browser }) => {
    const between = await proxy();
    const { service, web, page, address, end } = await visit(browser, { context: { proxy: between.options } });
    between.answers = (headers) => delete headers['set-cookie'];
    await page.goto(web.url);
    await page.click('#sign-in');
    await page.waitForSelector('#error');
    assert.match(await page.locator('h1').innerText(), /cookies/i);
    await draw(page, 'cookies');
    const before = page.url();
    await page.click('a#next');
    await page.waitForURL((url) => url.href !== before);
    await page.waitForSelector('#error');
    between.answers = undefined;
    await page.click('a#next');
    await enter(page, address);
    await enterCode(page, codeOf(await service.mail(address)));
    await page.waitForURL((url) => url.origin === new URL(web.url).origin);
    await end();
    between.close();
  },

  'OC-8 an older browser signs in, and the link page offers the code': async ({ browser }) => {
    const between = await proxy();
    const context = { javaScriptEnabled: false, proxy: between.options };
    const { service, web, page, address, end } = await visit(browser, { context });
    between.requests = (headers) => {
      for (const name of Object.keys(headers)) if (name.startsWith('sec-fetch') || name === 'origin') delete headers[name];
    };
    const mail = await ask(page, web, service, address);
    await page.goto(linkOf(mail));
    await page.locator('form#link button').first().click();
    await page.waitForSelector('a#flow');
    assert.match(await page.locator('#error').innerText(), /too old/);
    await draw(page, 'older-browser');
    await page.click('a#flow');
    await enterCode(page, codeOf(mail));
    await atLessons(page);
    await end();
    between.close();
  },

  'OC-8 two services on one host name keep their own cookies': async ({ browser, service }) => {
    const other = await entree();
    const context = await browser.newContext();
    await signIn(context, service);
    await signIn(context, other);
    await assertSignedIn(context, service);
    await assertSignedIn(context, other);
    await context.close();
  },

  'OD-10 step-up sends the email to the signed-in address with one press': async ({ browser }) => {
    const { service, web, page, address, end } = await visit(browser);
    await enterCode(page, codeOf(await ask(page, web, service, address)));
    await atLessons(page);
    await page.goto(service.at(`/oauth2/authorize?${new URLSearchParams({
      client_id: 'lessons-web', redirect_uri: `${web.url}/callback`, response_type: 'code', scope: 'openid',
      state: 's', prompt: 'login', code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256',
    })}`));
    await page.waitForSelector('form#confirm');
    assert.match(await page.locator('form#confirm button').innerText(), new RegExp(address));
    assert.ok(!(await page.locator('form#sign-in').isVisible()));
    await draw(page, 'step-up');
    await page.click('form#confirm button');
    await page.waitForSelector('form#code');
    await enterCode(page, codeOf(await service.mail(address, 2)));
    await page.waitForURL((url) => url.origin === new URL(web.url).origin);
    await end();
  },

  'OD-13 an internationalised domain is shown in its own script': async ({ browser, service }) => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(service.at('/login'));
    await enter(page, 'jo@почта.рф');
    assert.match(await page.locator('main').innerText(), /jo@почта\.рф/);
    await draw(page, 'idn');
    await context.close();
  },
};
