// What a person does at the service's own pages, and what operators see of it.
import assert from 'node:assert/strict';
import { codeOf, linkOf } from '../browser/service.mjs';
import { pressLinkButton } from '../browser/people.mjs';

let count = 0;
// A new person's login at a provider. `kind`: what the provider tells of them.
export const login = (kind = 'dancer') => `${kind}-${++count}-${process.pid}`;
export const addressOf = (name) => `${name}@example.test`;

export const button = (page, id) => page.locator(`form#upstream-${id} button`);

// From the sign-in page to the provider, as far as its own first page or, for who is known there, back again.
export async function begin(page, service, id) {
  if (new URL(page.url() === 'about:blank' ? service.url : page.url()).pathname !== '/login') await page.goto(service.at('/login'));
  await button(page, id).click();
}

export const isAccount = (url) => url.pathname === '/account';
export const arrive = (page) => page.waitForURL(isAccount, { timeout: 20_000 });

// The page that asks for an address; `typed` replaces what stands there.
export async function giveAddress(page, typed) {
  await page.locator('form input[name=email]').first().waitFor({ state: 'attached' });
  // The page knows the address, and one button is enough.
  if (typed === undefined && (await page.locator('form#confirm').count()) > 0) {
    const address = await page.locator('form#confirm input[name=email]').inputValue();
    await page.click('form#confirm button');
    await page.waitForSelector('form#code');
    return address;
  }
  const field = page.locator('form:not(#confirm) input[name=email]');
  await field.waitFor();
  if (typed !== undefined) await field.fill(typed);
  const address = await field.inputValue();
  await page.locator('form:has(input[name=email]) button').first().click();
  await page.waitForSelector('form#code');
  return address;
}

export async function byLink(page, service, address, count = 1) {
  const mail = await service.mail(address, count);
  await page.goto(linkOf(mail));
  await pressLinkButton(page);
}

export async function byCode(page, service, address, count = 1) {
  await page.fill('form#code [name=code]', codeOf(await service.mail(address, count)));
  await page.click('form#code button');
}

export const mails = async (service, address) =>
  (await fetch(service.at(`/dev/mailbox.json?to=${encodeURIComponent(address)}`))).json();

// Rows of the audit log since `before`.
export async function auditLog(service) {
  const [status, out, err] = await service.ask('audit', '--json', '--limit', '10000');
  assert.equal(status, 0, err);
  return JSON.parse(out);
}
