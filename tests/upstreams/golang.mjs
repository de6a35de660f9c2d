// Providers in Go, built once from a module of tests/interop/go or tests/upstreams/go into a folder that is kept.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import net from 'node:net';

const kept = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'entree-testkit');
const path = `${process.env.PATH}:/usr/local/go/bin`;

export const versionIn = (folder, module) =>
  readFileSync(join(folder, 'go.mod'), 'utf8').match(new RegExp(`${module.replaceAll('.', '\\.')} (v\\S+)`))[1];

// Why it cannot be had; undefined: it can. Fetches and builds it unless NO_INSTALL=1.
export function missing({ folder, what, binary, env = {}, flags = [] }) {
  if (existsSync(binary)) return undefined;
  const more = process.env.NO_INSTALL === '1' ? { GOPROXY: 'off' } : {};
  mkdirSync(kept, { recursive: true });
  const draft = `${binary}.${process.pid}`;
  const args = ['build', '-mod=readonly', '-ldflags=-s -w', ...flags, '-o', draft, what];
  const build = () => spawnSync('go', args, { cwd: folder, encoding: 'utf8', env: { ...process.env, PATH: path, ...env, ...more } });
  let got = build();
  // The registry may be away for a moment.
  for (const seconds of ['5', '10']) if (got.status !== 0 && !got.error && spawnSync('sleep', [seconds])) got = build();
  if (got.error) return 'no go on PATH';
  if (got.status !== 0) return `it cannot be built: ${got.stderr.trim().split('\n').pop()}`;
  if (existsSync(binary)) rmSync(draft);
  else renameSync(draft, binary);
  return undefined;
}

export const keptAt = (name) => join(kept, name);

const listens = (port) => new Promise((done) => {
  const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); done(true); });
  socket.on('error', () => done(false));
});

// Starts a program and waits until it listens on all of `ports`.
export async function serve(command, { cwd, env = {}, ports }) {
  // setpriv: the kernel ends it even when we are killed.
  const child = spawn('setpriv', ['--pdeathsig=KILL', ...command], { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const log = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => log.push(String(chunk)));
  let over = false;
  const ended = new Promise((done) => child.on('error', done).on('close', done)).then(() => { over = true; });
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  for (const end = Date.now() + 60_000; ; await new Promise((go) => setTimeout(go, 50))) {
    if ((await Promise.all(ports.map(listens))).every(Boolean)) return { pid: child.pid, log, stop };
    if (over || Date.now() > end) {
      await stop();
      throw new Error(`${command[0]} did not start:\n${log.join('')}`);
    }
  }
}
