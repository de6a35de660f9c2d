// Whole walks of a person: the lessons, without scripts, by keyboard, in two tabs.
import assert from 'node:assert/strict';
import { binary, codeOf, lessons, linkOf } from './service.mjs';
import { askForMail, assertSignedIn, assertSignedOut, pressLinkButton, signIn, newAddress, tabTo } from './people.mjs';

export const walks = {
  'the lessons: from the application through the mailbox page and back': async ({ browser, service }) => {
    assert.ok(binary('lessons-web') && binary('lessons-api'), 'the demo is built');
    const web = await lessons(service);
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(web.url);
    await page.click('#sign-in');
    const address = newAddress();
    await page.fill('form#sign-in [name=email]', address);
    await page.click('form#sign-in button');
    await page.waitForSelector('form#code');
    await service.mail(address);
    const mailbox = await context.newPage();
    await mailbox.goto(service.at('/dev/mailbox'));
    await mailbox.locator('#emails li', { hasText: address }).first().locator('a').click();
    await mailbox.click('#text a[href*="/login/link/"]');
    // Whichever tab goes on first ends at the lessons; the other says that the person is signed in.
    const arrived = (tab) => tab.waitForSelector('#lessons li', { timeout: 20_000 }).then(() => tab);
    const tab = await Promise.any([arrived(page), arrived(mailbox)]);
    assert.ok((await tab.locator('#lessons li').count()) > 0);
    assert.match(await tab.locator('#sub').innerText(), /^[0-9a-f-]{36}$/);
    assert.equal(new URL(tab.url()).search, '', 'no code is left in the address');
    await context.close();
  },

  'C3 the waiting page goes on by itself once the link was used in the same browser': async ({ browser, service }) => {
    const context = await browser.newContext();
    const waiting = await context.newPage();
    const mail = await askForMail(waiting, service, newAddress());
    const link = await context.newPage();
    await link.goto(linkOf(mail));
    await link.waitForURL((url) => !url.pathname.startsWith('/login/link'));
    // A hidden tab does not ask; the person comes back to it.
    await waiting.bringToFront();
    await waiting.waitForURL((url) => url.pathname !== '/login/sent', { timeout: 20_000 });
    await assertSignedIn(context, service);
    await context.close();
  },

  'C3 F2 the link page posts by itself and leaves no secret in the address': async ({ browser, service }) => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const mail = await askForMail(page, service, newAddress());
    const link = linkOf(mail);
    const token = link.split('/').pop();
    const addresses = [];
    page.on('framenavigated', (frame) => addresses.push(frame.url()));
    await page.goto(link);
    await page.waitForURL((url) => !url.pathname.startsWith('/login/link'));
    assert.ok(addresses.includes(service.at('/login/link')), `its script takes the token away first: ${addresses.join(' ')}`);
    assert.ok(!page.url().includes(token), 'no token is left in the address');
    await assertSignedIn(context, service);
    await context.close();
  },

  'without scripts: by link': async ({ browser, service }) => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    await signIn(context, service);
    await assertSignedIn(context, service);
    await context.close();
  },

  'without scripts: by code, and the waiting page links on': async ({ browser, service }) => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    const mail = await askForMail(page, service, newAddress());
    assert.equal(await page.locator('a[href*="/login/continue"]').count(), 1);
    await page.fill('form#code [name=code]', codeOf(mail));
    await page.click('form#code button');
    await page.waitForURL((url) => !url.pathname.startsWith('/login/code'));
    await assertSignedIn(context, service);
    await context.close();
  },

  'by keyboard alone, with the focus seen at every step': async ({ browser, service }) => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const address = newAddress();
    await page.goto(service.at('/login'));
    await tabTo(page, '[name=email]');
    await page.keyboard.type(address);
    await page.keyboard.press('Enter');
    await page.waitForSelector('form#code');
    await tabTo(page, 'form#code [name=code]');
    await page.keyboard.type(codeOf(await service.mail(address)));
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.pathname === '/account');
    await tabTo(page, 'form#sign-out button');
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.pathname === '/logged-out');
    await assertSignedOut(context, service);
    await context.close();
  },

  'D5 a code may be pasted with blanks': async ({ browser, service }) => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const code = codeOf(await askForMail(page, service, newAddress()));
    const field = page.locator('form#code [name=code]');
    assert.equal(await field.getAttribute('autocomplete'), 'one-time-code');
    assert.equal(await field.getAttribute('inputmode'), 'numeric');
    await field.focus();
    await page.keyboard.insertText(` ${code.slice(0, 4)} ${code.slice(4)} `);
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.pathname === '/account');
    await context.close();
  },

  'C4 a link opened on another device says where to type the code': async ({ browser, service }) => {
    const [laptop, phone] = [await browser.newContext(), await browser.newContext()];
    const waiting = await laptop.newPage();
    const mail = await askForMail(waiting, service, newAddress());
    const page = await phone.newPage();
    await page.goto(linkOf(mail));
    assert.equal(await page.locator('form#link').count(), 0);
    await assertSignedOut(phone, service);
    await waiting.fill('form#code [name=code]', codeOf(mail));
    await waiting.click('form#code button');
    await waiting.waitForURL((url) => url.pathname === '/account');
    await assertSignedOut(phone, service);
    await Promise.all([laptop.close(), phone.close()]);
  },

  'RS-5 the consent page groups scopes by API, in the language of the person': async ({ browser, service }) => {
    for (const [locale, apis, words] of [
      ['en-GB', ['Dance notes', 'Halls'], ['Read your notes', 'Book halls for you']],
      ['fr-FR', ['Notes de danse', 'Salles'], ['Lire vos notes', 'Réserver des salles pour vous']],
    ]) {
      const context = await browser.newContext({ locale });
      const { page } = await signIn(context, service);
      await page.goto(service.at(`/oauth2/authorize?${new URLSearchParams({
        client_id: 'club', redirect_uri: 'http://127.0.0.1:9/club', response_type: 'code', scope: 'openid email notes:read halls:book',
        state: 's', code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256',
      })}`));
      await page.waitForSelector('form#consent');
      assert.deepEqual(await page.locator('.resource h2').allInnerTexts(), apis);
      assert.deepEqual(await page.locator('.resource li').allInnerTexts(), words);
      await context.close();
    }
  },

  'C7 signed in as someone else: asks, and nothing happens by itself': async ({ browser, service }) => {
    const context = await browser.newContext();
    const first = await signIn(context, service);
    const other = newAddress();
    const page = await context.newPage();
    // A signed-in browser may be shown its account instead of the form: the form is there all the same.
    const mail = await askForMail(page, service, other);
    await page.goto(linkOf(mail));
    await page.waitForSelector('form#link [name=switch]', { state: 'attached' });
    await page.waitForLoadState('networkidle');
    assert.equal(await page.locator('form#link').count(), 1, 'it still asks');
    await first.page.goto(service.at('/account'));
    assert.ok((await first.page.content()).includes(first.address));
    await pressLinkButton(page);
    await first.page.goto(service.at('/account'));
    assert.ok((await first.page.content()).includes(other));
    await context.close();
  },
};
