// Whole walks of a person through real providers: signing up, coming back, joining, connecting, and what happens when a
// provider does not play along.
import assert from 'node:assert/strict';
import { assertSignedIn, assertSignedOut, newAddress, signIn } from '../browser/people.mjs';
import { binary, lessons } from '../browser/service.mjs';
import { addressOf, arrive, begin, button, byCode, byLink, giveAddress, login, mails, auditLog } from './people.mjs';
import * as strict from './strict.mjs';
import { configure } from './world.mjs';

const fresh = (browser, options) => browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB', ...options });
const email = (page) => page.locator('#email').innerText();
const identities = (page) => page.locator('#identities li').count();

// Sets out for a provider, signs in there, and comes back.
async function come(page, service, id, name) {
  await begin(page, service, id);
  await strict.signIn(page, name);
}

// A user with the address of `name` at the providers, made by mail.
async function member(context, service, name) {
  await signIn(context, service, addressOf(name));
  return context.pages().at(-1);
}

// The page that asks whether to connect the account.
async function agree(page, answer = 'yes') {
  await page.locator(`form#identity button[value=${answer}]`).click();
  await arrive(page);
}

// Disconnects the one provider; the account page comes again without it.
async function disconnect(page) {
  await page.locator('#identities form.disconnect button').click();
  await page.waitForSelector('#identities li', { state: 'detached' });
  await page.waitForSelector('#email');
  await page.waitForLoadState();
}

// The answer that the service gives to the browser that comes back from a provider.
const answer = (page, id) => page.waitForResponse((response) => new URL(response.url()).pathname === `/upstream/${id}/callback`);

export const walks = {
  'LK-05 C D a pinned provider signs up in one click: no mail, and the second time directly': async ({ browser, service }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    const name = login();
    await come(page, service, 'studio', name);
    await arrive(page);
    assert.equal(await email(page), addressOf(name));
    assert.equal(await identities(page), 1);
    assert.deepEqual(await mails(service, addressOf(name)), []);
    await page.click('form#sign-out button');
    await page.waitForURL((url) => url.pathname === '/logged-out');
    await assertSignedOut(context, service);
    await page.goto(service.at('/login'));
    // The provider remembers the person and what they agreed to, so this click is all there is to do.
    await button(page, 'studio').click();
    await arrive(page);
    assert.equal(await email(page), addressOf(name));
    assert.deepEqual(await mails(service, addressOf(name)), []);
    await context.close();
  },

  'C D any other provider: one proof by mail, then directly': async ({ browser, service }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    const name = login();
    await come(page, service, 'partner', name);
    await page.waitForSelector('#linking');
    await assertSignedOut(context, service);
    assert.equal(await giveAddress(page), addressOf(name), 'the address from the provider stands there already');
    await assertSignedOut(context, service);
    await byLink(page, service, addressOf(name));
    await assertSignedIn(context, service);
    await page.goto(service.at('/account'));
    assert.equal(await identities(page), 1);
    // Another browser: known there by the account alone.
    const other = await fresh(browser);
    const again = await other.newPage();
    await come(again, service, 'partner', name);
    await arrive(again);
    assert.equal(await email(again), addressOf(name));
    const proofs = (await mails(service, addressOf(name))).filter((mail) => mail.text.includes('/login/link/'));
    assert.equal(proofs.length, 1, 'no second proof');
    await Promise.all([context.close(), other.close()]);
  },

  'C by code: the mail is read on another device': async ({ browser, service }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    const name = login('unverified');
    await come(page, service, 'studio', name);
    await giveAddress(page);
    await byCode(page, service, addressOf(name));
    await arrive(page);
    assert.equal(await identities(page), 1);
    await context.close();
  },

  'I a provider that tells no address: the field is empty, and any address may be proven': async ({ browser, service }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    await come(page, service, 'studio', login('nomail'));
    await page.waitForSelector('#linking');
    assert.equal(await page.inputValue('form#sign-in [name=email]'), '');
    const address = await giveAddress(page, newAddress());
    await byCode(page, service, address);
    await arrive(page);
    assert.equal(await email(page), address);
    await context.close();
  },

  'E who is here already joins by mail and a yes, even with a pinned provider': async ({ browser, service }) => {
    const name = login();
    const [home, work] = [await fresh(browser), await fresh(browser)];
    const first = await member(home, service, name);
    assert.equal(await identities(first), 0);
    const page = await work.newPage();
    await come(page, service, 'studio', name);
    await page.waitForSelector('#linking');
    await assertSignedOut(work, service);
    await giveAddress(page);
    await byCode(page, service, addressOf(name), 2);
    await page.waitForSelector('form#identity');
    assert.match(await page.locator('main').innerText(), /Dance Studio/);
    await agree(page);
    assert.equal(await identities(page), 1);
    await first.reload();
    assert.equal(await identities(first), 1, 'it is one account');
    await Promise.all([home.close(), work.close()]);
  },

  'E a no leaves everything as it was, and the next time asks again': async ({ browser, service }) => {
    const name = login();
    const context = await fresh(browser);
    const home = await fresh(browser);
    await member(home, service, name);
    const page = await context.newPage();
    await come(page, service, 'partner', name);
    await giveAddress(page);
    await byCode(page, service, addressOf(name), 2);
    await agree(page, 'no');
    assert.equal(await identities(page), 0);
    await Promise.all([context.close(), home.close()]);
  },

  'F the link of the proof opened in another browser connects nothing': async ({ browser, service }) => {
    const name = login();
    const [laptop, phone] = [await fresh(browser), await fresh(browser)];
    const page = await laptop.newPage();
    await come(page, service, 'partner', name);
    await giveAddress(page);
    const mail = await service.mail(addressOf(name));
    const there = await phone.newPage();
    await there.goto(mail.text.match(/https?:\/\/\S+\/login\/link\/\S+/)[0]);
    assert.equal(await there.locator('form#link').count(), 0);
    await assertSignedOut(phone, service);
    await byCode(page, service, addressOf(name));
    await arrive(page);
    assert.equal(await identities(page), 1);
    await Promise.all([laptop.close(), phone.close()]);
  },

  'B connecting on the account page, and LK-07 disconnecting there': async ({ browser, service }) => {
    const context = await fresh(browser);
    const name = login();
    const page = await member(context, service, name);
    await page.locator('form#connect-partner button').click();
    await strict.signIn(page, name);
    await page.waitForSelector('form#identity');
    await agree(page);
    assert.equal(await identities(page), 1);
    assert.equal((await mails(service, addressOf(name))).length >= 1, true);
    await disconnect(page);
    assert.equal(await identities(page), 0);
    await assertSignedIn(context, service);
    await service.mail(addressOf(name), 3);
    // From now on the same account is a stranger's, who must prove the address.
    const other = await fresh(browser);
    const again = await other.newPage();
    await come(again, service, 'partner', name);
    await again.waitForSelector('#linking');
    await Promise.all([context.close(), other.close()]);
  },

  'LK-04 in by a provider alone: disconnecting leads to the mail and back, and then works': async ({ browser, service }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    const name = login();
    await come(page, service, 'studio', name);
    await arrive(page);
    await page.locator('#identities form.disconnect button').click();
    await page.locator('a#next').click();
    assert.equal(await page.locator('#providers').count(), 0, 'only the mail');
    const before = (await mails(service, addressOf(name))).length;
    assert.equal(await giveAddress(page), addressOf(name), 'the address stands there already');
    await byCode(page, service, addressOf(name), before + 1);
    await arrive(page);
    assert.equal(await identities(page), 1);
    await disconnect(page);
    assert.equal(await identities(page), 0);
    await context.close();
  },

  'LK taken: an account that belongs to another person is not connected': async ({ browser, service }) => {
    const [one, two] = [await fresh(browser), await fresh(browser)];
    const name = login();
    const page = await one.newPage();
    await come(page, service, 'studio', name);
    await arrive(page);
    const other = await member(two, service, login());
    await other.locator('form#connect-studio button').click();
    const came = answer(other, 'studio');
    await strict.signIn(other, name);
    assert.equal((await came).status(), 409);
    await other.goto(service.at('/account'));
    assert.equal(await identities(other), 0);
    await Promise.all([one.close(), two.close()]);
  },

  'LC-A another person is signed in here: asks first': async ({ browser, service }) => {
    const [one, two] = [await fresh(browser), await fresh(browser)];
    const name = login();
    const first = await one.newPage();
    await come(first, service, 'studio', name);
    await arrive(first);
    const page = await member(two, service, login());
    const here = await email(page);
    await page.goto(service.at('/login'));
    if ((await button(page, 'studio').count()) > 0) {
      await come(page, service, 'studio', name);
      await page.waitForSelector('form#identity');
      await page.goto(service.at('/account'));
      assert.equal(await email(page), here, 'nothing has happened yet');
      await page.goBack();
      await agree(page);
      assert.equal(await email(page), addressOf(name));
    }
    await Promise.all([one.close(), two.close()]);
  },

  'from an application through a provider and back, with the lessons shown': async ({ browser, service }) => {
    assert.ok(binary('lessons-web') && binary('lessons-api'), 'the demo is built');
    const web = await lessons(service);
    const context = await fresh(browser);
    const page = await context.newPage();
    await page.goto(web.url);
    await page.click('#sign-in');
    await page.waitForSelector('form#sign-in');
    await button(page, 'studio').click();
    await strict.signIn(page, login());
    await page.waitForSelector('#lessons li', { timeout: 20_000 });
    assert.match(await page.locator('#sub').innerText(), /^[0-9a-f-]{36}$/);
    await context.close();
  },

  'without scripts: one click with a pinned provider, a proof by mail with another': async ({ browser, service }) => {
    for (const id of ['studio', 'partner']) {
      const context = await fresh(browser, { javaScriptEnabled: false });
      const page = await context.newPage();
      const name = login();
      await come(page, service, id, name);
      if (id === 'partner') {
        await giveAddress(page);
        await byCode(page, service, addressOf(name));
      }
      await arrive(page);
      assert.equal(await email(page), addressOf(name));
      await context.close();
    }
  },

  'by keyboard alone: the button is reached and pressed': async ({ browser, service }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    await page.goto(service.at('/login'));
    for (let steps = 0; steps < 12; steps++) {
      await page.keyboard.press('Tab');
      const there = await page.evaluate(() => document.activeElement?.closest('form')?.id);
      if (there === 'upstream-studio') break;
    }
    await page.keyboard.press('Enter');
    await page.waitForSelector('input[name=login]');
    await context.close();
  },

  'UE-01 denied at the provider: the sign-in page with a word, and the mail works': async ({ browser, service }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    await begin(page, service, 'studio');
    await page.waitForSelector('input[name=login]');
    const came = answer(page, 'studio');
    await strict.cancel(page);
    assert.equal((await came).status(), 200);
    assert.match(await page.locator('#notice').innerText(), /Dance Studio/);
    assert.doesNotMatch(await page.locator('main').innerText(), /aborted/, 'UE-03: its words are not shown');
    const address = newAddress();
    await page.fill('form#sign-in [name=email]', address);
    await page.click('form#sign-in button');
    await page.waitForSelector('form#code');
    await byCode(page, service, address);
    await arrive(page);
    await context.close();
  },

  'UE-04 killed in mid-flight: 503 and a way on, the mail works, and later the provider too': async ({ browser, service, upstreams: { partner } }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    const name = login();
    await begin(page, service, 'partner');
    // It sends the browser back, and is dead when the service asks.
    let killed;
    partner.door.detour = (to, response) => {
      if (to.startsWith(service.at('/upstream/'))) response.on('finish', () => { killed = partner.door.kill(); });
    };
    const came = answer(page, 'partner');
    await strict.signIn(page, name);
    const response = await came;
    partner.door.detour = undefined;
    await killed;
    assert.equal(response.status(), 503);
    assert.equal(response.headers()['retry-after'], '30');
    assert.match(await page.locator('main').innerText(), /Pointe Shoes/);
    await assertSignedOut(context, service);
    await page.locator('a#next').click();
    const address = newAddress();
    await page.fill('form#sign-in [name=email]', address);
    await page.click('form#sign-in button');
    await page.waitForSelector('form#code');
    await byCode(page, service, address);
    await arrive(page);
    await context.close();
    await partner.door.open();
    const other = await fresh(browser);
    const again = await other.newPage();
    await come(again, service, 'partner', login());
    await again.waitForSelector('#linking');
    await other.close();
  },

  'DJ-08 UE-05 one that was never reached: 503 at the button, the others and the mail work': async ({ browser, service, providers }) => {
    const gone = { ...providers.partner, name: 'Gone', issuer: 'http://127.0.0.1:9' };
    await configure(service, { ...providers, gone });
    const context = await fresh(browser);
    const page = await context.newPage();
    await page.goto(service.at('/login'));
    const came = page.waitForResponse((response) => response.url().endsWith('/login/upstream/gone'));
    await button(page, 'gone').click();
    assert.equal((await came).status(), 503);
    assert.match(await page.locator('main').innerText(), /Gone/);
    await come(page, service, 'studio', login());
    await arrive(page);
    await context.close();
    await configure(service, providers);
  },

  'CB-04 the answer a second time: the restart page, and nothing changes': async ({ browser, service }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    await begin(page, service, 'studio');
    const came = answer(page, 'studio');
    await strict.signIn(page, login());
    const url = (await came).url();
    await arrive(page);
    const again = await page.goto(url);
    assert.equal(again.status(), 400);
    await assertSignedIn(context, service);
    await context.close();
  },

  'CB-05 the answer in another browser: the restart page, and no one is signed in': async ({ browser, service, upstreams: { studio } }) => {
    const [one, two] = [await fresh(browser), await fresh(browser)];
    const page = await one.newPage();
    await begin(page, service, 'studio');
    let url;
    studio.door.detour = (to) => {
      if (!to.startsWith(service.at('/upstream/'))) return undefined;
      url = to;
      return `${studio.issuer}/nowhere`;
    };
    await strict.signIn(page, login());
    await page.waitForURL('**/nowhere');
    studio.door.detour = undefined;
    const there = await two.newPage();
    assert.equal((await there.goto(url)).status(), 400);
    assert.equal((await page.goto(url)).status(), 400, 'the flow is spent');
    await assertSignedOut(one, service);
    await assertSignedOut(two, service);
    await Promise.all([one.close(), two.close()]);
  },

  'CB-03 an answer that is posted across sites: the POST brings no cookie, our own GET after it does': async ({ browser, service, providers, upstreams: { studio } }) => {
    const posted = { ...providers.studio, name: 'By post', response_mode: 'form_post' };
    await studio.register(service.at('/upstream/studio/callback'), service.at('/upstream/posted/callback'));
    await configure(service, { ...providers, posted });
    const context = await fresh(browser);
    const page = await context.newPage();
    const to = (path) => page.waitForRequest((request) => new URL(request.url()).pathname === `/upstream/posted/callback${path}`);
    const requests = Promise.all([to(''), to('/resume')]);
    const name = login();
    await come(page, service, 'posted', name);
    const [post, get] = await requests;
    const cookies = async (request) => (await request.allHeaders()).cookie;
    assert.equal(post.method(), 'POST');
    assert.match(post.postData(), /code=/);
    assert.equal(await cookies(post), undefined, 'Lax cookies stay at home');
    assert.equal(get.method(), 'GET');
    assert.doesNotMatch(get.url(), /code=|state=/);
    assert.match(await cookies(get), /pre(-\d+)?=/);
    await arrive(page);
    assert.equal(await email(page), addressOf(name));
    await context.close();
    await configure(service, providers);
    await studio.register(service.at('/upstream/studio/callback'));
  },

  'DJ-10 its keys change right before a sign-in: it works': async ({ browser, service, upstreams: { studio } }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    await studio.rotate();
    const name = login();
    await come(page, service, 'studio', name);
    await arrive(page);
    assert.equal(await email(page), addressOf(name));
    await context.close();
  },

  'UP-01 switched off while a person is there: 403, no button, and on again without a restart': async ({ browser, service, providers }) => {
    const context = await fresh(browser);
    const page = await context.newPage();
    await begin(page, service, 'partner');
    await page.waitForSelector('input[name=login]');
    await configure(service, { ...providers, partner: { ...providers.partner, enabled: false } });
    const came = answer(page, 'partner');
    await strict.signIn(page, login());
    assert.equal((await came).status(), 403);
    await assertSignedOut(context, service);
    await configure(service, providers);
    await context.close();
  },

  'the audit log gives operators the reason, and entree doctor finds each provider': async ({ service }) => {
    const reasons = new Set((await auditLog(service)).filter(({ kind }) => kind === 'upstream.refused').map(({ reason }) => reason));
    for (const code of ['up_denied', 'up_token_http', 'up_browser_mismatch', 'up_provider_disabled']) {
      assert.ok(reasons.has(code) || (code === 'up_token_http' && reasons.has('up_provider_down')), `${code} is not in ${[...reasons]}`);
    }
    const [status, out, err] = await service.ask('doctor', '--dev', '--json');
    assert.equal(status, 0, `${out}${err}`);
    const found = JSON.parse(out).findings.filter(({ check }) => check.startsWith('provider '));
    assert.deepEqual([...new Set(found.map(({ check }) => check))].sort(), ['provider mock', 'provider partner', 'provider studio']);
  },
};
