// dex as the layer upstreams has it, with its storage in memory. It has no sessions, so its connector for tests stands
// in for one: it signs a user in without a page. It has neither client credentials nor userinfo nor introspection, and
// one refresh token for each user and client, so that callers would end each other's.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../browser/ports.mjs';
import * as golang from '../upstreams/golang.mjs';
import { client, missing, redirect, report } from './report.mjs';

const module = 'github.com/dexidp/dex';
const folder = join(import.meta.dirname, '../interop/go/dex');
const version = golang.versionIn(folder, module).replace(/\+.*/, '');
const binary = golang.keptAt(`dex-${version}`);

const reason = golang.missing({ folder, what: '.', binary, env: { CGO_ENABLED: '0' } });
if (reason !== undefined) missing(reason);

const cwd = mkdtempSync(join(tmpdir(), 'entree-dex-'));
const port = await freePort();
const issuer = `http://127.0.0.1:${port}/dex`;
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/local/go/bin` };
const found = spawnSync('go', ['list', '-m', '-f', '{{.Dir}}', module], { cwd: folder, encoding: 'utf8', env });
cpSync(join(found.stdout.trim(), 'web'), join(cwd, 'web'), { recursive: true });
// JSON is YAML.
writeFileSync(join(cwd, 'dex.yaml'), JSON.stringify({
  issuer, storage: { type: 'memory' }, web: { http: `127.0.0.1:${port}` }, oauth2: { skipApprovalScreen: true },
  connectors: [{ type: 'mockCallback', id: 'mock', name: 'Mock' }],
  staticClients: [{ id: client.id, name: 'Peers', secret: client.secret, redirectURIs: [redirect] }],
}));
const { pid } = await golang.serve([binary, 'dex.yaml', 'web'], { cwd, ports: [port] }).catch((error) => missing(error.message.slice(0, 500)));
report({
  version: version.slice(1), issuer, pid, id: client.id, secret: client.secret, scope: 'openid email',
  works: ['code flow with a session', 'discovery'],
});
