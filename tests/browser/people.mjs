// What a person does at a browser.
import assert from 'node:assert/strict';
import { linkOf } from './service.mjs';

let count = 0;
export const newAddress = () => `b${++count}-${process.pid}@example.test`;

export async function askForMail(page, service, address) {
  await page.goto(service.at('/login'));
  await page.fill('form#sign-in [name=email]', address);
  await page.click('form#sign-in button');
  await page.waitForSelector('form#code');
  return service.mail(address);
}

// Signs in by email, in a browser with or without scripts.
export async function signIn(context, service, address = newAddress()) {
  const page = await context.newPage();
  const mail = await askForMail(page, service, address);
  await page.goto(linkOf(mail));
  await pressLinkButton(page);
  await page.goto(service.at('/account'));
  await page.waitForSelector('form#sign-out');
  return { page, mail, address };
}

// Presses the button where the link page does not submit itself: it asks first, or scripts do not run, and then the
// token stays in the address. A press beside the script's own post may find a new cookie and an old form.
export async function pressLinkButton(page) {
  const byHand = await page.locator('form#link')
    .evaluateAll(([form]) => Boolean(form) && (!('auto' in form.dataset) || !location.pathname.endsWith('/login/link')))
    // The page is being left.
    .catch(() => false);
  if (byHand) await page.locator('form#link button').first().click();
  await page.waitForURL((url) => !url.pathname.includes('/login/link'), { timeout: 30_000 });
}

export async function isSignedIn(context, service) {
  const page = await context.newPage();
  await page.goto(service.at('/account'));
  const signedIn = (await page.locator('form#sign-out').count()) > 0;
  await page.close();
  return signedIn;
}

export const assertSignedIn = async (context, service) =>
  assert.ok(await isSignedIn(context, service), 'the browser is signed in');
export const assertSignedOut = async (context, service) =>
  assert.ok(!(await isSignedIn(context, service)), 'the browser is not signed in');

// Presses Tab until an element has the focus, and checks that every stop on the way can be seen.
export async function tabTo(page, selector) {
  for (let stops = 0; stops < 30; stops++) {
    const there = await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector);
    if (there) return;
    await page.keyboard.press('Tab');
    const seen = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return true;
      const style = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      return box.width > 0 && box.height > 0 &&
        ((style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none');
    });
    assert.ok(seen, `the focus cannot be seen on the way to ${selector}`);
  }
  assert.fail(`Tab does not lead to ${selector}`);
}
