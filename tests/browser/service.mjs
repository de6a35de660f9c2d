// The built binaries: `entree dev` on free ports, and the lessons demo beside it.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { freePort } from './ports.mjs';

const bin = resolve(process.env.BIN ?? 'target/debug');
const children = new Set();
const folders = new Set();

export function stopAll() {
  for (const child of children) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
process.on('exit', stopAll);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

export function binary(name) {
  return existsSync(join(bin, name)) ? join(bin, name) : undefined;
}

// Starts a binary and waits for a line that begins with `prefix`; gives what follows it.
// setpriv: the kernel ends the child even when we are killed.
function start(name, args, { cwd, env, prefix }) {
  const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('ENTREE_'));
  const child = spawn('setpriv', ['--pdeathsig=KILL', binary(name), ...args], {
    cwd, env: { ...Object.fromEntries(inherited), ...env }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  const log = [];
  const found = new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`${name} did not start:\n${log.join('\n')}`)), 60_000);
    let rest = '';
    const read = (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        log.push(line);
        if (line.startsWith(prefix)) {
          clearTimeout(timer);
          done(line.slice(prefix.length).trim().replace(/\/$/, ''));
        }
      }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', (chunk) => log.push(...String(chunk).split('\n')));
    child.on('exit', (code) => {
      children.delete(child);
      clearTimeout(timer);
      fail(new Error(`${name} ended with ${code}:\n${log.join('\n')}`));
    });
  });
  return found.then((url) => ({ url, log, child }));
}

function faketime() {
  const folders = existsSync('/usr/lib') ? readdirSync('/usr/lib') : [];
  return folders.map((one) => join('/usr/lib', one, 'faketime/libfaketime.so.1')).find(existsSync);
}

// `entree dev` with its own data. `clock`: its clock can be moved, if libfaketime is there (else `shift` is undefined),
// and is `ahead` by so many seconds at first; it moves once every email is on record. `toml`: its configuration file.
// `webPort`: where the lessons client will listen (an address to come back to after signing out has its port). `home`:
// the client has registered its home page there, and with `backchannel` where it takes logout tokens. `path`: the path
// of its public URL. `clients`: further ones, as lines of TOML. `env`: more settings.
export async function entree({ clock = false, ahead = 0, webPort = 8081, home = false, backchannel = false, path = '', toml, clients = [], env: more = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'entree-browser-'));
  folders.add(folder);
  if (toml !== undefined) writeFileSync(join(folder, 'entree.toml'), toml);
  const env = {
    // Every browser here comes from one address; budgets by address are tested elsewhere.
    ENTREE__LIMITS__NETWORK: '[{ count = 100000, seconds = 60 }]',
    ENTREE__LIMITS__DOMAIN: '[{ count = 100000, seconds = 60 }]',
    ENTREE__LIMITS__NETWORK_ADDRESS: '[{ count = 1000, seconds = 60 }]',
    ENTREE__LIMITS__ADDRESS: '[{ count = 1000, seconds = 60 }]',
    ENTREE__LIMITS__DEVICE: '[{ count = 1000, seconds = 60 }]',
    ENTREE__LIMITS__DEVICE_CODES: '[{ count = 1000, seconds = 60 }]',
    ENTREE__MANAGEMENT__LISTEN: '127.0.0.1:0',
    ENTREE__DEVICE__ENABLED: 'true',
    ENTREE__RESOURCES: `[{ identifier = "https://notes.example", name = { en = "Dance notes", fr = "Notes de danse" },
      scopes = { "notes:read" = { en = "Read your notes", fr = "Lire vos notes" } } },
      { identifier = "https://halls.example", name = { en = "Halls", fr = "Salles" },
      scopes = { "halls:book" = { en = "Book halls for you", fr = "Réserver des salles pour vous" } } }]`,
    // The demo's client, as `entree dev` presets it, and foreign ones that have to ask for consent.
    ENTREE__CLIENTS: `[{ client_id = "lessons-web", name = "Lessons", redirect_uris = ["http://127.0.0.1:8081/callback"],
      ${home ? `client_uri = "http://127.0.0.1:${webPort}/",` : ''}
      ${backchannel ? `backchannel_logout_uri = "http://127.0.0.1:${webPort}/backchannel-logout",` : ''}
      post_logout_redirect_uris = ["http://127.0.0.1:${webPort}/signed-out"], refresh_tokens = "always",
      audience = "http://127.0.0.1:8082", first_party = true, id_token_signed_response_alg = "ES256" },
      { client_id = "partner", name = "Pointe Shoes Ltd", redirect_uris = ["http://127.0.0.1:9/cb"],
      audience = "https://partner.example" },
      { client_id = "club", name = "Swan Lake Club", redirect_uris = ["http://127.0.0.1:9/club"],
      grant_types = ["authorization_code", "device_code"], audience = "https://notes.example",
      resources = ["https://halls.example"] },
      { client_id = "named", name = "Club notebook", redirect_uris = ["http://127.0.0.1:9/named"],
      audience = "https://named.example", first_party = true, require_name = true },
      { client_id = "window", name = "Window", redirect_uris = ["http://127.0.0.1/window"],
      audience = "https://window.example", first_party = true, uses_popups = true },
      { client_id = "no-window", name = "No window", redirect_uris = ["http://127.0.0.1/window"],
      audience = "https://window.example", first_party = true }${clients.map((one) => `, ${one}`).join('')}]`,
    ...more,
  };
  let move;
  if (clock && faketime()) {
    const file = join(folder, 'clock');
    move = (seconds) => {
      writeFileSync(`${file}.next`, `${seconds < 0 ? '' : '+'}${seconds}s\n`);
      renameSync(`${file}.next`, file);
    };
    move(ahead);
    Object.assign(env, {
      LD_PRELOAD: faketime(), FAKETIME_TIMESTAMP_FILE: file, FAKETIME_DONT_FAKE_MONOTONIC: '1',
      // Read once a second: while one thread reads the file, another may see the real time.
      FAKETIME_CACHE_DURATION: '1',
    });
  }
  // The public URL of a service at a path has to be known before it starts.
  const port = path ? await freePort() : 0;
  const publicUrl = `http://localhost:${port}${path}`;
  if (path) env.ENTREE__SERVER__PUBLIC_URL = publicUrl;
  const args = ['dev', '--port', String(port), '--data', join(folder, 'data')];
  const started = await start('entree', args, { cwd: folder, env, prefix: 'public listener: ' });
  const { log, child } = started;
  const url = path ? publicUrl : started.url;
  const service = new Service(url, log, folder);
  const shift = move && (async (seconds) => {
    await service.emailsOnRecord();
    move(seconds);
    await new Promise((seen) => setTimeout(seen, 2_500));
  });
  return Object.assign(service, { child, shift });
}

export async function lessons(service, { webPort = 0, refreshMargin = 60 } = {}) {
  const cwd = tmpdir();
  const args = ['--issuer', service.url, '--listen'];
  const apiArgs = [...args, '127.0.0.1:0', '--audience', 'http://127.0.0.1:8082'];
  const api = await start('lessons-api', apiArgs, { cwd, prefix: 'lessons-api: ' });
  const more = ['--lessons-api-url', api.url, '--refresh-margin', String(refreshMargin)];
  const web = await start('lessons-web', [...args, `127.0.0.1:${webPort}`, ...more], { cwd, prefix: 'lessons-web: ' });
  return { ...web, api };
}

// `make run` as it is after its build (scripts/demo.sh), over http or https; what it printed, once its walk is there.
// `toml`: what stands in entree.toml.
export async function demo(https, toml = '') {
  const folder = mkdtempSync(join(tmpdir(), 'entree-demo-'));
  folders.add(folder);
  const data = join(folder, 'data');
  writeFileSync(join(folder, 'entree.toml'), toml);
  if (https) spawnSync(binary('local-cert'), [join(data, 'tls'), 'localhost', '127.0.0.1']);
  const child = spawn('setpriv', ['--pdeathsig=TERM', join(import.meta.dirname, '../../scripts/demo.sh')], {
    env: {
      ...process.env, CARGO_TARGET_DIR: resolve(bin, '..'), PORT: String(await freePort()), WEB_PORT: '0', API_PORT: '0',
      DATA: data, ENTREE__MANAGEMENT__LISTEN: '127.0.0.1:0', ENTREE_CONFIG: join(folder, 'entree.toml'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  await new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`no walk:\n${text}`)), 60_000);
    const read = (chunk) => {
      text += chunk;
      if (text.includes('Ctrl-C stops everything')) done(clearTimeout(timer));
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('exit', () => fail(new Error(`it ended:\n${text}`)));
  });
  const ended = once(child, 'exit');
  return { text, stop: async () => { child.kill('SIGTERM'); await ended; } };
}

class Service {
  constructor(url, log, folder) {
    Object.assign(this, { url, log, folder });
  }

  // Saves another configuration file, as an editor does.
  configure(toml) {
    writeFileSync(join(this.folder, 'next.toml'), toml);
    renameSync(join(this.folder, 'next.toml'), join(this.folder, 'entree.toml'));
  }

  // What a command says that looks at the same data: [exit code, standard output, standard error]. This process goes on
  // meanwhile: it may be what is looked at.
  ask(...args) {
    const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('ENTREE_'));
    const options = { cwd: this.folder, env: Object.fromEntries(inherited) };
    return new Promise((done) => {
      execFile(binary('entree'), args, options, (error, out, err) => done([error?.code ?? 0, out, err]));
    });
  }

  at(path) {
    return this.url + path;
  }

  // Runs `entree …` on the data of this service, as operators do beside it.
  admin(...args) {
    const env = { ...process.env, ENTREE__SERVER__DATA_DIR: join(this.folder, 'data') };
    const { status, stdout, stderr } = spawnSync(binary('entree'), args, { cwd: this.folder, env, encoding: 'utf8' });
    if (status !== 0) throw new Error(`entree ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  // Ends it at once: nothing answers at its address any more.
  async kill() {
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }

  // What the log says of this after its first `from` lines.
  async logged(from, pattern) {
    for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((go) => setTimeout(go, 50))) {
      const found = this.log.slice(from).map((line) => line.match(pattern)).find(Boolean);
      if (found) return found;
    }
    throw new Error(`the log does not say ${pattern}`);
  }

  // The newest of at least `count` mails to an address.
  async mail(to, count = 1) {
    for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((go) => setTimeout(go, 50))) {
      const mails = await (await fetch(this.at(`/dev/mailbox.json?to=${encodeURIComponent(to)}`))).json();
      if (mails.length >= count) return mails[0];
    }
    throw new Error(`no mail number ${count} to ${to}`);
  }

  // An email is in the mailbox before the service has written down that it was taken, which is when its time begins.
  async emailsOnRecord() {
    const emails = await (await fetch(this.at('/dev/mailbox.json'))).json();
    for (const end = Date.now() + 20_000; Date.now() < end;) {
      const [status, out, err] = await this.ask('audit', '--json', '--kind', 'magic_link.sent');
      if (status !== 0) throw new Error(`entree audit: ${err}`);
      if (JSON.parse(out).length >= emails.length) return;
    }
    throw new Error(`not all of ${emails.length} emails are on record`);
  }
}

export const linkOf = (mail) => mail.text.match(/https?:\/\/\S+\/login\/link\/\S+/)[0];
export const linksOf = (mail) =>
  [...new Set([...`${mail.text} ${mail.html}`.matchAll(/https?:\/\/[^\s"'<>)]+/g)].map((m) => m[0].replaceAll('&amp;', '&')))];
export const codeOf = (mail) =>
  mail.text.split('\n').map((line) => line.trim()).find((line) => /^[\d \u00a0-]{6,14}$/.test(line)).replace(/\D/g, '');
