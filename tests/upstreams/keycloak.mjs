// Keycloak's own distribution, in a folder that is kept: unpacked and built once, started anew for each run with a
// database in memory and a realm that is imported.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../browser/ports.mjs';

export const version = '26.4.7';
const kept = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'entree-testkit');
const home = process.env.KEYCLOAK_HOME ?? join(kept, `keycloak-${version}`);
const options = ['--db=dev-mem', '--features-disabled=admin,device-flow,ciba', '--health-enabled=false'];

const has = (...command) => spawnSync(command[0], command.slice(1), { stdio: 'ignore' }).status === 0;

// Why it cannot run here; undefined: it can. Fetches it once by Maven, unless NO_INSTALL=1.
export function missing() {
  if (!has('java', '-version')) return 'no java on PATH; scripts/setup.sh installs it';
  if (existsSync(join(home, 'lib/quarkus-run.jar'))) return undefined;
  if (process.env.NO_INSTALL === '1') return `no Keycloak in ${home}, and NO_INSTALL=1`;
  return fetched();
}

function fetched() {
  if (!has('mvn', '-version')) return 'no mvn on PATH; scripts/setup.sh installs it';
  if (!has('unzip', '-v')) return 'no unzip on PATH; scripts/setup.sh installs it';
  mkdirSync(kept, { recursive: true });
  const draft = mkdtempSync(join(kept, 'draft-'));
  try {
    const artifact = `org.keycloak:keycloak-quarkus-dist:${version}:zip`;
    console.log(`fetching Keycloak ${version} into ${kept}, once`);
    const run = (...command) => spawnSync(command[0], command.slice(1), { cwd: draft, encoding: 'utf8' });
    const fetch = () => run('mvn', '-q', '-B', 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${draft}`);
    let got = fetch();
    // The registry may be away for a moment.
    for (const seconds of ['5', '10']) if (got.status !== 0 && run('sleep', seconds)) got = fetch();
    if (got.status !== 0) return `Keycloak cannot be fetched: ${got.stdout.split('\n').find((line) => line.includes('ERROR')) ?? got.error}`;
    const zip = `keycloak-quarkus-dist-${version}.zip`;
    if (run('unzip', '-q', zip).status !== 0) return 'what was fetched cannot be unpacked';
    const unpacked = join(draft, `keycloak-${version}`);
    const built = run(join(unpacked, 'bin/kc.sh'), 'build', ...options);
    if (built.status !== 0) return `it cannot be built: ${built.stdout}${built.stderr}`;
    // Whole or not at all; another run may have been faster.
    if (!existsSync(home)) renameSync(unpacked, home);
    return undefined;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

// What suffices for tests: little memory, and a compiler that starts fast.
const small = ['-Xms64m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

// Starts it with the realm `school`, and gives its issuer and process. Unless a whole realm is given, it has one client
// and one user.
export async function start({ redirect, secret, user, realm = realmOf({ redirect, secret, user }), java = small }) {
  const folder = mkdtempSync(join(tmpdir(), 'entree-keycloak-'));
  // Everything but its data is the kept folder's.
  for (const name of ['bin', 'conf', 'lib', 'providers', 'themes']) symlinkSync(join(home, name), join(folder, name));
  mkdirSync(join(folder, 'data/import'), { recursive: true });
  writeFileSync(join(folder, 'data/import/school.json'), JSON.stringify(realm));
  const port = await freePort();
  const args = [
    ...java, `-Dkc.home.dir=${folder}`, `-Djboss.server.config.dir=${join(home, 'conf')}`,
    '-Djava.util.logging.manager=org.jboss.logmanager.LogManager', '-Dpicocli.disable.closures=true',
    '--add-opens=java.base/java.util=ALL-UNNAMED', '--add-opens=java.base/java.util.concurrent=ALL-UNNAMED', '--add-opens=java.base/java.security=ALL-UNNAMED',
    '-cp', join(home, 'lib/quarkus-run.jar'), 'io.quarkus.bootstrap.runner.QuarkusEntryPoint',
    'start', '--optimized', '--import-realm', '--cache=local', '--http-enabled=true', '--http-host=127.0.0.1', `--http-port=${port}`, '--hostname-strict=false',
  ];
  // setpriv: the kernel ends it even when we are killed.
  const child = spawn('setpriv', ['--pdeathsig=KILL', 'java', ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const log = [];
  const stop = () => new Promise((done) => {
    const gone = () => { rmSync(folder, { recursive: true, force: true }); done(); };
    if (child.exitCode !== null || child.signalCode !== null) gone();
    else child.on('close', gone).kill('SIGKILL');
  });
  await new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`Keycloak did not start:\n${log.join('')}`)), 180_000);
    const read = (chunk) => {
      log.push(String(chunk));
      if (log.join('').includes('Listening on:')) { clearTimeout(timer); done(); }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('error', fail).on('close', () => fail(new Error(`Keycloak ended:\n${log.join('')}`)));
  }).catch(async (error) => { await stop(); throw error; });
  return { issuer: `http://127.0.0.1:${port}/realms/school`, pid: child.pid, log, stop };
}

const realmOf = ({ redirect, secret, user }) => ({
  realm: 'school', enabled: true, sslRequired: 'none',
  clients: [{
    clientId: 'entree', secret, enabled: true, protocol: 'openid-connect', publicClient: false, standardFlowEnabled: true,
    directAccessGrantsEnabled: false, redirectUris: [redirect], attributes: { 'pkce.code.challenge.method': 'S256' },
  }],
  users: [{
    username: user.name, email: user.email, emailVerified: true, firstName: 'Edgar', lastName: 'Degas', enabled: true,
    credentials: [{ type: 'password', value: user.password, temporary: false }],
  }],
});

// What a person does at its page.
export async function signIn(page, user) {
  await page.fill('#username', user.name);
  await page.fill('#password', user.password);
  await page.click('#kc-login');
}
