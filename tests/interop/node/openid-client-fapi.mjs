// A client with `profile = "fapi2"`: its own key at each endpoint, pushed requests, tokens bound to a second key.
import * as client from 'openid-client';
import { counting, patiently, refused, task, tell, tokens, version, visit } from './program.mjs';
import { attempt, insecure } from './sign-in.mjs';

version('openid-client');
const jwk = JSON.parse(process.env.CLIENT_KEY);
const key = await crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
const config = await client.discovery(
  new URL(task.issuer), task.clientId, { id_token_signed_response_alg: task.idAlg },
  client.PrivateKeyJwt({ key, kid: jwk.kid }), { execute: [...insecure, client.enableNonRepudiationChecks] },
);
config[client.customFetch] = counting;
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
const { parameters, checks } = await attempt();
const address = await patiently(() => client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP }));
tell('did', 'private_key_jwt with the issuer as audience, PAR with DPoP');
const first = await client.authorizationCodeGrant(config, await visit(address), checks, undefined, { DPoP });
const { sub } = first.claims();
await client.fetchUserInfo(config, first.access_token, sub, { DPoP });
tell('did', 'code and userinfo with DPoP');
const second = await client.refreshTokenGrant(config, first.refresh_token, undefined, { DPoP });
if (second.token_type !== 'dpop') throw new Error(`a token of type ${second.token_type}`);
if ((second.refresh_token ?? first.refresh_token) !== first.refresh_token) throw new Error('the refresh token changed');
tell('did', 'refresh without rotation');
if (refused.proofs === 0) throw new Error('no nonce was asked for');
tell('did', 'nonces');
tokens({ access: second.access_token, id: first.id_token });
