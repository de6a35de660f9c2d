// Runs the matrix against running services. One line a library, then `interop: N passed, N failed`.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import * as chromium from './browser.mjs';
import { claims, forgeries, header } from './forge.mjs';
import { audience, callback, clientLibraries, clients, confidential, documentReaders, goodbye, settingsFor, verifierLibraries } from './matrix.mjs';
import { Person } from './person.mjs';
import { Program } from './program.mjs';
import { api, proofCases } from './proofs.mjs';
import { programs } from './programs/all.mjs';
import { otherClients, World } from './programs/world.mjs';
import { certificate, configuration, faketime, proxy, start, takes } from './service.mjs';
import { table } from './table.mjs';
import { freePort } from '../browser/ports.mjs';

const here = import.meta.dirname;
const binary = resolve(process.env.BIN ?? 'target/debug', 'entree');
const tools = resolve(process.env.INTEROP_TOOLS ?? 'target/interop');
const built = resolve(process.env.BIN ?? 'target/debug');
const onPath = (name) => (process.env.PATH ?? '').split(delimiter).some((one) => existsSync(join(one, name)));
const wanted = process.argv.slice(2);
// A round at a path of the host has few rows, those with `path`: it is about addresses, and the other rounds about the
// rest.
const atPath = 'https at a path';
const runsAt = ({ schemes, path }, scheme) => (scheme === atPath ? path : schemes?.includes(scheme) ?? true);
const chosen = (list) => list.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
const folder = mkdtempSync(join(tmpdir(), 'entree-interop-'));
// Apache gives its rights up, and reads the certificate then.
chmodSync(folder, 0o711);
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

// What each language needs; run.sh puts it there.
const languages = {
  Node: {
    command: (file) => [process.execPath, join(here, file)],
    needs: join(here, 'node/node_modules'), else: 'no packages in tests/interop/node',
  },
  Python: {
    command: (file) => [join(tools, 'venv/bin/python'), join(here, file)],
    needs: join(tools, 'venv/.entree-lock'), else: 'no virtual environment for Python',
  },
  Go: { command: (file) => [join(tools, 'go', file)], needs: join(tools, 'go/client'), else: 'no Go that is new enough; scripts/setup.sh interop says which' },
  Rust: { command: (file) => [join(built, file)], needs: join(built, 'interop-client'), else: 'cargo has built nothing' },
  Java: {
    command: (file) => ['java', '-cp', `${join(tools, 'java/classes')}:${join(tools, 'java/lib/*')}`, file],
    needs: join(tools, 'java/classes/Main.class'), else: 'no JDK and Maven; scripts/setup.sh interop installs them',
  },
  Shell: {
    command: (file) => ['bash', join(here, file)],
    needs: ['curl', 'jq', 'openssl'].every(onPath) ? here : '/nonexistent', else: 'no curl, jq and openssl; scripts/setup.sh interop installs them',
  },
};
const missing = ({ language, needs }) => {
  if (!language) return needs.find(([path]) => !existsSync(path))?.[1];
  if (language === 'Browser') return chromium.missing();
  return existsSync(languages[language].needs) ? undefined : languages[language].else;
};

// Some languages tell the cause at the top, others at the end.
function short(text) {
  const lines = text.split('\n').map((line) => line.slice(0, 500));
  return (lines.length > 16 ? [...lines.slice(0, 8), '…', ...lines.slice(-8)] : lines).join('\n');
}

const rows = [];
async function row(library, { scheme, metadata, service }, work) {
  const reason = missing(library);
  const result = { name: library.name, scheme, version: '', did: [], result: '' };
  try {
    if (!runsAt(library, scheme)) return;
    if (reason) result.result = `skipped (${reason})`;
    else if (library.language && library.needs && !(library.needs in metadata)) result.result = `not yet (discovery has no ${library.needs})`;
    else Object.assign(result, await work(), { result: 'passed' });
  } catch (error) {
    result.result = 'FAILED';
    result.error = short(String(error.message ?? error));
    // An error page has the reference of its lines in the log.
    const [reference] = result.error.match(/\b[0-9a-f]{32}\b/) ?? [];
    if (reference) result.error += `\n${service.log.filter((line) => line.includes(reference)).join('\n')}`;
  }
  rows.push(result);
  const words = [library.name, result.version, scheme].filter(Boolean).join(' ');
  console.log(`${result.result.padEnd(7)} ${words}${result.did.length > 0 ? ': ' : ''}${result.did.join(', ')}${result.error ? `\n${result.error.replace(/^/gm, '        ')}` : ''}`);
}

class Run {
  constructor(scheme, service, { origin, trust, strays, worlds, proxied }) {
    Object.assign(this, { scheme, service, issuer: service.issuer, origin, trust, strays, worlds, proxied, tokens: [] });
  }

  trusting() {
    return this.trust && {
      NODE_EXTRA_CA_CERTS: this.trust.ca, SSL_CERT_FILE: this.trust.ca, REQUESTS_CA_BUNDLE: this.trust.ca,
      CURL_CA_BUNDLE: this.trust.ca,
      JAVA_TOOL_OPTIONS: `-Djavax.net.ssl.trustStore=${this.trust.store} -Djavax.net.ssl.trustStorePassword=changeit`,
    };
  }

  env(id) {
    return {
      ...this.trusting(), ...(this.trust ? {} : { AUTHLIB_INSECURE_TRANSPORT: '1' }), PYTHONDONTWRITEBYTECODE: '1',
      DOCUMENT: join(tools, 'document'), ISSUER: this.issuer, CLIENT_ID: id, AUDIENCE: audience, API_URL: api, REDIRECT_URI: callback, GOODBYE_URI: goodbye,
      ...settingsFor({ ...clients, ...confidential }[id]),
    };
  }

  async signIn(library, id) {
    const env = this.env(id);
    const asked = { ...clients, ...confidential }[id].first_party === false;
    const person = new Person(this.issuer, this.trust?.pem);
    const said = library.language === 'Browser'
      ? await chromium.signIn(env, this.origin, this.trust?.pem)
      : await new Program(languages[library.language].command(library.file), env).run((url) => person.visit(url), (url, code) => person.allow(url, code));
    if (asked && library.language !== 'Browser') assert.ok(person.consented, 'a third party without consent');
    assert.equal(header(said.access_token).alg, env.ACCESS_ALG, 'algorithm of the access token');
    assert.equal(header(said.id_token).alg, env.ID_ALG, 'algorithm of the ID token');
    assert.equal(claims(said.access_token).sub, claims(said.id_token).sub, 'one subject');
    return said;
  }

  async client(library) {
    let said;
    for (const id of library.as) {
      said = await this.signIn(library, id);
      if (library.bound) {
        assert.ok(claims(said.access_token).cnf?.jkt, 'a token without its key');
        this.bound = said.access_token;
      } else this.tokens.push({ access: said.access_token, id: said.id_token, of: `${library.name} as ${id}` });
    }
    return { version: said.version, did: said.did };
  }

  // Every access token of this run is accepted, and everything forged from it refused.
  async verifier(library) {
    assert.ok(this.tokens.length > 0, 'no client got a token');
    const program = new Program(languages[library.language].command(library.file), this.env('public'));
    const said = { version: '', did: [] };
    const verdict = async (token) => {
      program.say(token);
      for (let line = await program.nextLine(); line; line = await program.nextLine()) {
        const [what, words] = line;
        if (what === 'accepted' || what === 'refused') return { accepted: what === 'accepted', words };
        if (what === 'did') said.did.push(words);
        else said[what] = words;
      }
      await program.end();
      throw new Error('ended early');
    };
    const takes = ({ access }) => library.algs?.includes(header(access).alg) ?? true;
    const [good, other] = [this.tokens.filter(takes), this.tokens.filter((token) => !takes(token))];
    for (const { access, of } of good) {
      const { accepted, words } = await verdict(access);
      assert.ok(accepted, `refused the token of ${of}: ${words}`);
      assert.equal(words, claims(access).sub);
    }
    const bad = {
      ...this.forged, ...(other.length > 0 && { 'another algorithm': other[0].access }),
      // Those that verify proofs get this one without its proof.
      ...(library.proofs && this.bound && { 'no proof': this.bound }),
    };
    for (const [what, token] of Object.entries(bad)) {
      const { accepted } = await verdict(token);
      assert.ok(!accepted, `accepted a token that is bad: ${what}`);
    }
    assert.ok(good.length > 0, 'no token of its algorithm');
    if (library.offline) {
      this.service.pause();
      const { accepted, words } = await verdict(good[0].access).finally(() => this.service.resume());
      assert.ok(accepted, `refused a token while Entree was away: ${words}`);
      said.did.push('verified with Entree away');
    }
    if (library.proofs) said.did.push(await this.proofs(verdict));
    await program.end();
    said.did.push(`${good.length} tokens accepted`, `${Object.keys(bad).length} bad ones refused`);
    return said;
  }

  // Every good proof of possession is accepted once, and every other one refused (PP-11).
  async proofs(verdict) {
    const { good, bad } = proofCases();
    for (const [what, ask] of Object.entries(good)) {
      const { accepted, words } = await verdict(JSON.stringify(ask));
      assert.ok(accepted, `refused a good proof, ${what}: ${words}`);
    }
    for (const [what, ask] of Object.entries(bad)) {
      const { accepted, words } = await verdict(JSON.stringify(ask));
      assert.ok(!accepted, `accepted a bad proof: ${what}`);
      if (ask.isYoung) assert.match(words, /just begun/, what);
    }
    return `${Object.keys(good).length} proofs accepted, ${Object.keys(bad).length} refused`;
  }

  // A program as its recipe in docs/clients.md sets it up.
  async program(program) {
    const world = Object.assign(this.worlds.get(program), { issuer: this.issuer, trust: this.trust, env: this.trusting() ?? {}, proxied: this.proxied });
    try {
      const did = await program.run(world);
      return { version: program.version(), did };
    } catch (error) {
      throw new Error(`${error.message}\n${error.stack.split('\n').find((line) => line.includes('/programs/')) ?? ''}\n${(world.log ?? []).join('').slice(-3000)}`);
    } finally {
      await world.stop();
      if (this.proxied) this.proxied.withheld = undefined;
    }
  }

  async reader(library) {
    return new Program(languages[library.language].command(library.file), this.env('native')).run();
  }

  async forge() {
    const person = new Person(this.issuer, this.trust?.pem);
    const jwks = JSON.parse((await person.ask(this.metadata.jwks_uri)).text);
    const [first] = this.tokens;
    const library = clientLibraries.find((one) => one.as.includes('public') && one.language !== 'Browser' && !missing(one));
    const { access_token: elsewhere } = await this.signIn(library, 'elsewhere');
    this.forged = forgeries({ access: first.access, idToken: first.id, elsewhere, jwks, strays: this.strays });
  }

  async all() {
    const person = new Person(this.issuer, this.trust?.pem);
    this.metadata = JSON.parse((await person.ask(`${this.issuer}/.well-known/openid-configuration`)).text);
    const [soon, late] = [false, true].map((late) => chosen(clientLibraries).filter((one) => (one.late ?? false) === late));
    const client = (library) => row(library, this, () => this.client(library));
    const beside = soon.filter(({ waits }) => waits).map(client);
    for (const library of soon.filter(({ waits }) => !waits)) await client(library);
    for (const program of this.worlds.keys()) await row(program, this, () => this.program(program));
    await Promise.all(beside);
    for (const library of chosen(documentReaders)) await row(library, this, () => this.reader(library));
    const besideLate = late.filter(({ waits }) => waits).map(client);
    for (const library of late.filter(({ waits }) => !waits)) await client(library);
    await Promise.all(besideLate);
    if (this.tokens.length > 0) await this.forge();
    for (const library of chosen(verifierLibraries)) await row(library, this, () => this.verifier(library));
  }
}

const site = await chromium.pages();
const trusted = certificate(folder);

// One service and all libraries against it.
async function round(scheme) {
  const at = join(folder, scheme.replace(/\W+/g, '-'));
  const own = scheme === 'https';
  const other = (result) => {
    rows.push({ name: 'all', scheme, version: '', did: [], result });
    console.log(`${result} ${scheme}`);
  };
  if (scheme !== 'http' && !trusted) return other('skipped (no openssl to make a certificate)');
  const worlds = new Map();
  for (const program of chosen(programs).filter((one) => runsAt(one, scheme))) worlds.set(program, await World.open(join(at, program.client)));
  mkdirSync(at, { recursive: true });
  const recipes = [...worlds].map(([program, world]) => world.client(program.client))
    .concat(otherClients(at, [...worlds.keys()].map(({ client }) => client))).join('\n');
  const write = (clients) => configuration(clients, site.origin, own ? trusted : undefined) + recipes;
  const all = write({ ...clients, ...confidential });
  const text = takes(binary, at, all) ? all : write(clients);
  if (own && !takes(binary, at, text)) return other('FAILED');
  const path = scheme === atPath ? '/auth' : '';
  const proxied = path || scheme === 'https by proxy' ? await proxy(trusted, path) : undefined;
  const trust = scheme === 'http' ? undefined : trusted;
  const port = await freePort();
  // As `proxied` or not, one issuer at all its times.
  const begin = async (more) => {
    const service = await start(binary, at, text, proxied && { ENTREE__SERVER__PUBLIC_URL: proxied.url }, { port, ...more });
    if (proxied) proxied.to = service.url;
    return { ...service, issuer: proxied?.url ?? service.url };
  };
  // Tokens by the very same keys: of two hours ago, and of a service that goes by another name.
  const strays = {};
  const stray = async (what, service) => {
    const issuer = service.issuer ?? service.url;
    strays[what] = await new Person(issuer, issuer.startsWith('https:') ? trusted.pem : undefined).appToken('native');
    await service.stop();
  };
  if (faketime()) await stray('expired', await begin({ clock: '-2h' }));
  await stray('another issuer', await start(binary, at, text));
  const service = await begin();
  assert.equal(new URL(service.issuer).protocol, `${scheme.split(' ')[0]}:`);
  await new Run(scheme, service, { origin: site.origin, trust, strays, worlds, proxied }).all();
  await service.stop();
  proxied?.stop();
  for (const world of worlds.values()) world.close();
  const troubles = {
    'the service logged': service.log.filter((line) => /\bERROR\b|panicked/.test(line)),
    'asked for outside of the path': proxied?.strayed ?? [],
  };
  for (const [name, lines] of Object.entries(troubles)) {
    if (lines.length > 0) rows.push({ name, scheme, version: '', did: [], result: 'FAILED', error: lines[0] });
    for (const line of lines.slice(0, 10)) console.log(`FAILED  ${name}: ${line}`);
  }
}

for (const scheme of (process.env.SCHEMES ?? `http,https by proxy,https,${atPath}`).split(',')) await round(scheme);
site.stop();

if (process.env.WRITE === '1') writeFileSync(join(here, '../../docs/interop.md'), table(rows, [...clientLibraries, ...documentReaders, ...verifierLibraries, ...programs].map(({ name }) => name)));
const passed = rows.filter(({ result }) => result === 'passed').length;
const skipped = rows.filter(({ result }) => result.startsWith('skipped')).length;
const failed = rows.filter(({ result }) => result === 'FAILED').length + (process.env.CI === 'true' ? skipped : 0);
console.log(`interop: ${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
