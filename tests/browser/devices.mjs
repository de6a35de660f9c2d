// A device without a browser, and the person who enters its code in one.
import assert from 'node:assert/strict';
import { askForMail, newAddress, signIn, tabTo } from './people.mjs';
import { codeOf } from './service.mjs';

const grant = 'urn:ietf:params:oauth:grant-type:device_code';
const scope = 'openid email notes:read halls:book';

const post = async (service, path, fields) => {
  const response = await fetch(service.at(path), { method: 'POST', body: new URLSearchParams({ client_id: 'club', ...fields }) });
  return response.json();
};

// What a device gets that starts: its own code and the one that it shows.
const start = (service) => post(service, '/oauth2/device_authorization', { scope });
const poll = (service, { device_code }) => post(service, '/oauth2/token', { grant_type: grant, device_code });

// A code like that of a device, and not the one.
const wrongCode = (code) => code.replace(/^./, (first) => (first === 'B' ? 'C' : 'B'));

async function enterCode(page, code, shows = 'form#decide') {
  await page.fill('form#device [name=user_code]', code);
  await page.click('form#device button');
  await page.waitForSelector(shows);
}

async function decide(page, decision) {
  await page.click(`form#decide [value=${decision}]`);
  await page.waitForSelector('a[href$="/account/access"]');
}

// What the page asks: who, on which account, with which code, for what, from where; the refusal first and as large.
async function assertAsks(page, code, address) {
  assert.match(await page.locator('h1').innerText(), /Swan Lake Club on a device/);
  const text = await page.locator('main').innerText();
  for (const part of [address, code, 'Only continue if you started this yourself']) assert.ok(text.includes(part), `${part}: ${text}`);
  assert.match(await page.locator('#scopes').innerText(), /email/i);
  assert.deepEqual(await page.locator('.resource h2').allInnerTexts(), ['Dance notes', 'Halls']);
  assert.deepEqual(await page.locator('.resource li').allInnerTexts(), ['Read your notes', 'Book halls for you']);
  assert.match(await page.locator('#from').innerText(), /from the network .*127\.0\.0/);
  assert.equal(await page.locator('#elsewhere').count(), 0, 'this browser is in the same network');
  const buttons = page.locator('form#decide button');
  assert.deepEqual(await buttons.evaluateAll((all) => all.map((one) => one.value)), ['deny', 'allow']);
  const [deny, allow] = [await buttons.first().boundingBox(), await buttons.last().boundingBox()];
  assert.deepEqual([deny.width, deny.height], [allow.width, allow.height]);
}

async function assertDenies(page, service) {
  const device = await start(service);
  await enterCode(page, device.user_code);
  assert.equal((await poll(service, device)).error, 'authorization_pending');
  await decide(page, 'deny');
  assert.match(await page.locator('h1').innerText(), /not allowed/);
  assert.equal((await poll(service, device)).error, 'access_denied');
}

export const devices = {
  'DE-4 DE-5 RS-5 without scripts: a wrong code, the right one, denied, and allowed the next time': async ({ browser, service }) => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    const address = newAddress();
    const device = await start(service);
    await page.goto(device.verification_uri);
    await page.fill('form#sign-in [name=email]', address);
    await page.click('form#sign-in button');
    await page.fill('form#code [name=code]', codeOf(await service.mail(address)));
    await page.click('form#code button');
    await page.waitForSelector('form#device');

    await enterCode(page, wrongCode(device.user_code), '#error');
    assert.match(await page.locator('#error').innerText(), /wrong or has expired/);
    await enterCode(page, device.user_code.toLowerCase().replace('-', ' '));
    await assertAsks(page, device.user_code, address);
    await page.goto(device.verification_uri);
    await assertDenies(page, service);

    // A refusal holds for its own device alone.
    await page.goto(device.verification_uri);
    await enterCode(page, device.user_code);
    await decide(page, 'allow');
    assert.match(await page.locator('h1').innerText(), /is connected/);
    const tokens = await poll(service, device);
    assert.ok(tokens.access_token && tokens.id_token, JSON.stringify(tokens));
    assert.equal(tokens.scope.split(' ').sort().join(' '), 'email notes:read openid', 'for the API of the client alone');
    await page.click('a[href$="/account/access"]');
    const row = await page.locator('#access li', { hasText: 'Swan Lake Club' }).innerText();
    for (const part of [/Dance notes.*Read your notes/, /Halls.*Book halls for you/]) assert.match(row, part);
    await context.close();
  },

  'DE-4 DE-5 by keyboard alone: a device is connected': async ({ browser, service }) => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const code = codeOf(await askForMail(page, service, newAddress()));
    await page.keyboard.type(code);
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.pathname === '/account');
    const device = await start(service);
    await page.goto(device.verification_uri);
    await tabTo(page, 'form#device [name=user_code]');
    await page.keyboard.type(device.user_code);
    await page.keyboard.press('Enter');
    await page.waitForSelector('form#decide');
    await tabTo(page, 'form#decide [value=deny]');
    await tabTo(page, 'form#decide [value=allow]');
    await page.keyboard.press('Enter');
    await page.waitForSelector('a[href$="/account/access"]');
    assert.ok((await poll(service, device)).access_token);
    await context.close();
  },
};

// A person who is signed in, at the page that takes the code of a device, and such a code.
async function atForm(context, service) {
  const { page } = await signIn(context, service);
  const { user_code, verification_uri } = await start(service);
  await page.goto(verification_uri);
  return { page, code: user_code };
}

const afterDecision = (decision) => async (context, service) => {
  const { page, code } = await atForm(context, service);
  await enterCode(page, code);
  await decide(page, decision);
  return page;
};

// Each opens its page in a fresh browser and gives it back.
export const devicePages = {
  device: async (context, service) => (await atForm(context, service)).page,
  'device-error': async (context, service) => {
    const { page, code } = await atForm(context, service);
    await enterCode(page, wrongCode(code), '#error');
    return page;
  },
  'device-question': async (context, service) => {
    const { page, code } = await atForm(context, service);
    await enterCode(page, code);
    return page;
  },
  'device-denied': afterDecision('deny'),
  'device-allowed': afterDecision('allow'),
};
