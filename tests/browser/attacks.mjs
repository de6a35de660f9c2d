// What others do with a link: scanners, framing pages, forged forms.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { entree, linkOf, linksOf } from './service.mjs';
import { askForMail, assertSignedIn, assertSignedOut, isSignedIn, pressLinkButton, newAddress } from './people.mjs';

export const attacks = {
  'C2 a plain form post under no-referrer sends Origin null and is taken': async ({ browser, service }) => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    const mail = await askForMail(page, service, newAddress());
    const posted = page.waitForRequest((request) => request.method() === 'POST' && request.url().includes('/login/link'));
    await page.goto(linkOf(mail));
    await page.locator('form#link button').first().click();
    const headers = await (await posted).allHeaders();
    assert.equal(headers.origin, 'null', 'the trap is there: browsers send null under no-referrer');
    assert.equal(headers['sec-fetch-site'], 'same-origin');
    await page.waitForURL((url) => !url.pathname.startsWith('/login/link'));
    await assertSignedIn(context, service);
    await context.close();
  },

  'C2 a sandboxed frame of another site cannot use the link': async ({ browser, service }) => {
    const context = await browser.newContext();
    const own = await context.newPage();
    const mail = await askForMail(own, service, newAddress());
    const link = linkOf(mail);
    await own.close();
    const form = `<form method=post action="${link}"><input name=form_token value=x></form><script>document.forms[0].submit()</script>`;
    const attribute = form.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
    const html = `<!doctype html><title>Elsewhere</title>
      <iframe sandbox="allow-forms allow-scripts" srcdoc="${attribute}"></iframe><iframe src="${link}"></iframe>`;
    const server = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end(html));
    await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
    try {
      const page = await context.newPage();
      const seen = service.log.length;
      // Another name of the loopback address is another site.
      await page.goto(`http://localhost:${server.address().port}/`);
      // Read at the service: a sandboxed frame is a process of its own, whose first requests the browser may not
      // report.
      const answered = (method) => service.logged(seen, new RegExp(`method=${method} route="/login/link/:token" status=(\\d+)`));
      const [, status] = await answered('POST');
      assert.ok(status >= 400 && status < 500, `refused, with ${status}`);
      await answered('GET');
      // Until both frames show the result; the driver may get no event from a frame that is a process of its own.
      const underway = () => page.frames().some((frame) => ['', 'about:blank', 'about:srcdoc'].includes(frame.url()));
      for (const end = Date.now() + 20_000; underway() && Date.now() < end;) await new Promise((go) => setTimeout(go, 50));
      const framed = page.frames().filter((frame) => frame.url().startsWith(service.url));
      for (const frame of framed) assert.equal(await frame.locator('form#link').count().catch(() => 0), 0, 'not framed');
      await assertSignedOut(context, service);
      await page.goto(link);
      await pressLinkButton(page);
      await assertSignedIn(context, service);
    } finally {
      server.close();
      await context.close();
    }
  },
};

// C5: every scanner follows every link of the mail; the clock moves between; then the owner comes.
const scanners = {
  'plain fetch': async (_, link) => {
    await fetch(link);
  },
  'HEAD, then GET': async (_, link) => {
    await fetch(link, { method: 'HEAD' });
    await fetch(link);
  },
  'a browser with scripts': async (context, link) => {
    const page = await context.newPage();
    await page.goto(link);
    await page.waitForLoadState('networkidle');
    await page.close();
  },
  'a browser that clicks everything and submits every form': async (context, link, service) => {
    const page = await context.newPage();
    await visit(page, link);
    const things = await page.locator('a[href], button, input[type=submit]').count();
    for (let index = 0; index < things; index++) {
      await visit(page, link);
      const thing = page.locator('a[href], button, input[type=submit]').nth(index);
      await led(page, () => thing.click({ timeout: 2_000 }));
      if (!page.url().startsWith(service.url)) continue;
      const forms = await page.locator('form').count();
      for (let form = 0; form < forms; form++) {
        const here = page.url();
        await led(page, () => send(page, form));
        await visit(page, here);
      }
    }
    await visit(page, link);
    for (let form = 0; form < (await page.locator('form').count()); form++) {
      await led(page, () => send(page, form));
      await visit(page, link);
    }
    await page.close();
  },
};

// A scanner does not invent mail addresses: a form it cannot fill in, it sends as it stands.
const send = (page, form) => page.locator('form').nth(form).evaluate((one) => HTMLFormElement.prototype.submit.call(one));

// Does it and waits for the page that it leads to, so that nothing breaks the request off; not all lead to one.
const led = async (page, act) => {
  const there = page.waitForEvent('framenavigated', { timeout: 3_000 }).catch(() => {});
  await act().catch(() => {});
  await there;
  await page.waitForLoadState().catch(() => {});
};

// Opens an address. What the page before had begun, a script or a refresh, may come between.
const visit = async (page, link) => {
  for (let tries = 1; ; tries++) {
    try {
      return await page.goto(link);
    } catch (error) {
      if (tries === 5 || !error.message.includes('interrupted by another navigation')) throw error;
    }
  }
};

export const scans = {};
for (const [name, scan] of Object.entries(scanners)) {
  scans[`C5 scanner: ${name}; the owner still gets in, the scanner does not`] = async ({ browser }) => {
    const service = await entree({ clock: true });
    const [owner, scanner] = [await browser.newContext(), await browser.newContext()];
    const page = await owner.newPage();
    const mail = await askForMail(page, service, newAddress());
    // A window that waits belongs to the owner; it must not help the scanner either.
    for (const seconds of service.shift ? [0, 22, 480] : [0]) {
      await service.shift?.(seconds);
      for (const link of linksOf(mail)) await scan(scanner, link, service);
      assert.ok(!(await isSignedIn(scanner, service)), `the scanner has no session after ${seconds} s`);
    }
    await page.goto(linkOf(mail));
    await pressLinkButton(page);
    await assertSignedIn(owner, service);
    await assertSignedOut(scanner, service);
    await Promise.all([owner.close(), scanner.close()]);
  };
}
