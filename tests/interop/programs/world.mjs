// What a program of another maker runs in: the files of its recipe in docs/clients.md, a port, and a page behind it.
import { randomBytes } from 'node:crypto';
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { freePort } from '../../browser/ports.mjs';
import { filesOf } from '../document.mjs';
import { Person } from '../person.mjs';

const recipes = filesOf(readFileSync(join(import.meta.dirname, '../../../docs/clients.md'), 'utf8'));

// Listens where a program sends the requests that it lets through, and gives back their headers.
async function behind() {
  const server = http.createServer((request, response) => response.end(JSON.stringify(request.headers)));
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

const listens = (port) => new Promise((done) => {
  const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); done(true); });
  socket.on('error', () => done(false));
});

// The blocks of the recipes whose programs are not run: the service must take them all the same.
export function otherClients(folder, run) {
  const names = [...recipes.keys()].filter((name) => name.endsWith('.entree.toml') && !run.includes(name.slice(0, -'.entree.toml'.length)));
  const secret = join(folder, 'other.secret');
  writeFileSync(secret, randomBytes(32).toString('hex'), { mode: 0o600 });
  return names.map((name) => recipes.get(name).replace(/(client_secret_file = )".*"/, `$1${JSON.stringify(secret)}`)).join('\n');
}

// One for each program, before the service starts: its client has the program's address.
export class World {
  static async open(folder) {
    const [port, upstream] = [await freePort(), await behind()];
    return Object.assign(new World(), {
      folder, port, secret: randomBytes(32).toString('hex'), upstream, app: `http://127.0.0.1:${port}`, children: [],
    });
  }

  // A file of the document. The names of its examples give way to what they stand for; nothing else does.
  file(name) {
    const text = recipes.get(name);
    if (text === undefined) throw new Error(`docs/clients.md has no file ${name}`);
    const issuer = this.issuer ?? 'https://login.example.com';
    const means = {
      'https://login.example.com': issuer, 'login.example.com': new URL(issuer).host, 'https://app.example.com': this.app,
      '127.0.0.1:4180': `127.0.0.1:${this.port}`, '127.0.0.1:3000': `127.0.0.1:${this.upstream.address().port}`,
      '/etc/entree': join(this.folder, 'etc'),
    };
    // In one pass: a port that stands for one of these may begin like another.
    const names = Object.keys(means).map((name) => name.replaceAll('.', '\\.')).join('|');
    return text.replace(new RegExp(names, 'g'), (name) => means[name]);
  }

  // The blocks of its clients as Entree has them.
  client(recipe) {
    const text = this.file(`${recipe}.entree.toml`);
    mkdirSync(join(this.folder, 'etc'), { recursive: true });
    for (const [, path] of text.matchAll(/client_secret_file = "([^"]*)"/g)) this.secretFile(path);
    return text;
  }

  secretFile(path, secret = this.secret) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, secret, { mode: 0o600 });
    chmodSync(path, 0o600);
  }

  // Writes files of the recipe into a folder, which it gives.
  lay(...names) {
    return this.layIn(this.folder, ...names);
  }

  layIn(folder, ...names) {
    for (const name of names) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), this.file(name));
    }
    return folder;
  }

  // Starts a program and waits until it listens.
  async launch([command, ...args], { cwd = this.folder, env = {}, port = this.port } = {}) {
    const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('ENTREE_'));
    // setpriv: the kernel ends it even when we are killed.
    const child = spawn('setpriv', ['--pdeathsig=KILL', command, ...args], {
      cwd, env: { ...Object.fromEntries(inherited), ...this.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.log = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => this.log.push(String(chunk)));
    const ended = new Promise((done) => child.on('error', (error) => { this.log.push(String(error)); done(); }).on('close', done));
    this.children.push({ child, ended });
    let over = false;
    ended.then(() => { over = true; });
    for (const end = Date.now() + 90_000; !await listens(port); await new Promise((go) => setTimeout(go, 50))) {
      if (over) throw new Error('it ended');
      if (Date.now() > end) throw new Error('it did not listen within 90 s');
    }
  }

  person() {
    return new Person(this.issuer, this.trust?.pem);
  }

  async stop() {
    for (const { child, ended } of this.children.splice(0)) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await ended;
      clearTimeout(timer);
    }
  }

  close() {
    this.upstream.close();
  }
}
