// A person at a browser without scripts: follows redirects, keeps cookies, fills in forms, reads the mail.
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

let count = 0;
export const someone = () => `i${++count}-${process.pid}@example.test`;

export class Person {
  constructor(issuer, ca) {
    Object.assign(this, { issuer, ca, cookies: new Map(), address: someone(), read: 0, signedIn: 0 });
    const { origin, pathname } = new URL(issuer);
    Object.assign(this, { host: origin, path: pathname.replace(/\/$/, '') });
  }

  // Whether an address is of the service. One of its host outside of its path is another program's: no browser may be
  // sent there.
  isOurs(url) {
    const { origin, pathname } = new URL(url);
    if (origin !== this.host) return false;
    if (!pathname.startsWith(`${this.path}/`)) throw new Error(`sent outside of ${this.path}: ${pathname}`);
    return true;
  }

  // One request, by hand: `fetch` would say of itself that it is a script.
  ask(url, form, from = this.host) {
    return this.send(url, form && new URLSearchParams(form).toString(), {
      accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document',
      'sec-fetch-site': form ? 'same-origin' : 'none',
      cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
      ...(form && { origin: from, 'content-type': 'application/x-www-form-urlencoded' }),
    });
  }

  // What an app of theirs asks: no cookie, JSON.
  async call(path, body) {
    const answer = await this.send(this.issuer + path, JSON.stringify(body), { 'content-type': 'application/json' });
    if (answer.status >= 300) throw new Error(`${answer.status} at ${path}: ${answer.text.slice(0, 300)}`);
    return JSON.parse(answer.text);
  }

  send(url, body, headers) {
    if (body) headers['content-length'] = Buffer.byteLength(body);
    const { request } = url.startsWith('https:') ? https : http;
    return new Promise((done, fail) => {
      const out = request(url, { method: body ? 'POST' : 'GET', headers, ca: this.ca, timeout: 20_000 }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => { text += chunk; }).on('end', () => {
          this.keep(response.headers['set-cookie'] ?? []);
          done({ status: response.statusCode, location: response.headers.location, text, url });
        });
      });
      out.on('error', fail).on('timeout', () => out.destroy(new Error(`no answer from ${new URL(url).pathname}`)));
      out.end(body);
    });
  }

  keep(lines) {
    for (const line of lines) {
      const [name, value] = line.split(';', 1)[0].split(/=(.*)/s);
      if (/;\s*(max-age=0|expires=[^;]*1970)/i.test(line) || value === '') this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
  }

  // Signs in with the form of an app (docs/native-apps.md); gives an access token.
  async appToken(client_id) {
    const code_verifier = randomBytes(32).toString('base64url');
    const code_challenge = createHash('sha256').update(code_verifier).digest('base64url');
    const begun = { client_id, email: this.address, code_challenge, code_challenge_method: 'S256' };
    const { flow_id } = await this.call('/api/v1/auth/magic-link/request', begun);
    const code = codeOf(await this.mail());
    const done = { flow_id, code_verifier, code, scope: 'openid' };
    return (await this.call('/api/v1/auth/magic-link/consume', done)).access_token;
  }

  // Goes to `url` and signs in where asked to. Gives the first address outside of the service.
  async visit(url) {
    let page = await this.ask(url);
    for (let steps = 0; steps < 20; steps++) {
      const next = page.location ?? refresh(page.text);
      if (next) {
        const to = new URL(next, page.url).href;
        if (!this.isOurs(to)) return to;
        page = await this.ask(to);
      } else if (page.status !== 200) {
        throw new Error(`${page.status} at ${new URL(page.url).pathname}: ${words(page.text)}`);
      } else {
        page = await this.answer(page);
      }
    }
    throw new Error('sent around in circles');
  }

  // Goes to the address that a device shows, enters the code and allows it. Gives the address of the last page.
  async enter(user_code, url) {
    let page = await this.ask(url);
    for (let steps = 0, allowed = false; steps < 20; steps++) {
      const next = page.location ?? refresh(page.text);
      const [device, decide] = [form(page, 'device'), form(page, 'decide')];
      if (next) page = await this.ask(new URL(next, page.url).href);
      else if (page.status !== 200) throw new Error(`${page.status} at ${new URL(page.url).pathname}: ${words(page.text)}`);
      else if (allowed) return page.url;
      else if (decide) page = await this.ask(decide.action, { ...decide.fields, decision: 'allow' });
      else if (device) page = await this.ask(device.action, { ...device.fields, user_code });
      else page = await this.answer(page);
      allowed ||= decide !== undefined;
    }
    throw new Error('sent around in circles');
  }

  // The same, and on from there: gives the page outside of the service at which it ends.
  async open(url, body) {
    let page = await this.ask(url, body, new URL(url).origin);
    for (let steps = 0; steps < 30; steps++) {
      const next = page.location ?? refresh(page.text);
      if (next) page = await this.ask(new URL(next, page.url).href);
      else if (!this.isOurs(page.url) || new URL(page.url).pathname === `${this.path}/logged-out`) return page;
      else if (page.status !== 200) throw new Error(`${page.status} at ${new URL(page.url).pathname}: ${words(page.text)}`);
      else page = await this.answer(page);
    }
    throw new Error('sent around in circles');
  }

  async answer(page) {
    const code = form(page, 'code');
    const signIn = form(page, 'sign-in');
    const consent = form(page, 'consent');
    const signOut = form(page, 'logout');
    if (code) this.signedIn += 1;
    if (code) return this.ask(code.action, { ...code.fields, code: codeOf(await this.mail()) });
    if (signIn) return this.ask(signIn.action, { ...signIn.fields, email: this.address });
    if (consent) {
      this.consented = true;
      return this.ask(consent.action, consent.fields);
    }
    const name = form(page, 'name');
    if (name) {
      this.name = 'Marie Taglioni';
      return this.ask(name.action, { ...name.fields, name: this.name });
    }
    if (signOut) return this.ask(signOut.action, signOut.fields);
    throw new Error(`nothing to do at ${new URL(page.url).pathname}: ${words(page.text)}`);
  }

  async mail() {
    const url = `${this.issuer}/dev/mailbox.json?to=${encodeURIComponent(this.address)}`;
    for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((go) => setTimeout(go, 50))) {
      const mails = JSON.parse((await this.ask(url)).text);
      if (mails.length > this.read) {
        this.read = mails.length;
        return mails[0];
      }
    }
    throw new Error('no mail came');
  }
}

export const codeOf = (mail) =>
  mail.text.split('\n').map((line) => line.trim()).find((line) => /^[\d \u00a0-]{6,14}$/.test(line)).replace(/\D/g, '');

const plain = (text) => text.replaceAll('&quot;', '"').replace(/&#x([0-9a-f]+);/gi, (_, hex) => String.fromCodePoint(parseInt(hex, 16)))
  .replace(/&#(\d+);/g, (_, number) => String.fromCodePoint(Number(number))).replaceAll('&amp;', '&');
const attribute = (tag, name) => {
  const found = tag.match(new RegExp(`\\s${name}="([^"]*)"`, 'i'));
  return found && plain(found[1]);
};
const refresh = (html) => {
  const tag = html.match(/<meta[^>]*http-equiv="refresh"[^>]*>/i);
  return tag && attribute(tag[0], 'content').match(/url=(.*)$/i)?.[1];
};
export const words = (html) => html.replace(/<(script|style)[\s\S]*?<\/\1>|<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim().slice(0, 300);

// The form with this id, or the first: where it goes, and its hidden fields and named button.
export function form(page, id) {
  const found = page.text.match(new RegExp(`<form[^>]*${id ? `\\sid="${id}"` : ''}[^>]*>[\\s\\S]*?</form>`, 'i'));
  if (!found) return undefined;
  const fields = {};
  for (const [tag] of found[0].matchAll(/<(input|button)[^>]*>/gi)) {
    const name = attribute(tag, 'name');
    const type = attribute(tag, 'type');
    if (name && (type === 'hidden' || (/^<button/i.test(tag) && !(name in fields)))) fields[name] = attribute(tag, 'value') ?? '';
  }
  return { action: new URL(attribute(found[0].match(/<form[^>]*>/i)[0], 'action') ?? '', page.url).href, fields };
}
