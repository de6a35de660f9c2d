// The recipe for tokens that are bound to a key in docs/clients.md, as it stands there.
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as client from 'openid-client';
import { filesOf } from '../document.mjs';
import { counting, patiently, refused, task, tell, tokens, version, visit } from './program.mjs';
import { attempt, insecure } from './sign-in.mjs';

version('openid-client');
const folder = mkdtempSync(join(tmpdir(), 'entree-bound-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
symlinkSync(join(import.meta.dirname, 'node_modules'), join(folder, 'node_modules'));
const text = readFileSync(join(import.meta.dirname, '../../../docs/clients.md'), 'utf8');
writeFileSync(join(folder, 'bound.mjs'), filesOf(text).get('bound.mjs'));
const recipe = await import(pathToFileURL(join(folder, 'bound.mjs')));

const config = await client.discovery(
  new URL(task.issuer), task.clientId, { id_token_signed_response_alg: task.idAlg }, client.None(),
  { execute: [...insecure, client.enableNonRepudiationChecks] },
);
config[client.customFetch] = counting;
const { parameters, checks } = await attempt();
const { DPoP, address } = await patiently(() => recipe.begin(config, parameters));
if (!address.searchParams.get('request_uri')) throw new Error('nothing was pushed');
// The library came again by itself.
if (refused.proofs !== 1) throw new Error(`asked ${refused.proofs} times for a nonce`);
const back = await visit(address);
const first = await patiently(() => recipe.finish(config, back, checks, DPoP));
if (first.token_type !== 'dpop') throw new Error(`a token of type ${first.token_type}`);
tell('did', 'the file of the document, unchanged: PAR with DPoP and a nonce, code');

const second = await recipe.refresh(config, first.refresh_token, DPoP);
const userinfo = new URL(config.serverMetadata().userinfo_endpoint);
const person = await (await recipe.ask(config, second.access_token, userinfo, DPoP)).json();
if (person.sub !== first.claims().sub) throw new Error('another subject');
tell('did', 'refresh and userinfo with DPoP');

await client.refreshTokenGrant(config, second.refresh_token).then(
  () => { throw new Error('a bound token was refreshed without a proof'); },
  (error) => { if (!error.error) throw error; },
);
const bare = await fetch(userinfo, { headers: { authorization: `Bearer ${second.access_token}` } });
if (bare.status !== 401) throw new Error(`a bound token without a proof: ${bare.status}`);
tell('did', 'refused without a proof');
tokens({ access: second.access_token, id: first.id_token });
