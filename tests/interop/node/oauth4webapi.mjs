import * as oauth from 'oauth4webapi';
import { task, tell, tokens, version, visit } from './program.mjs';

version('oauth4webapi');
const http = { [oauth.allowInsecureRequests]: task.issuer.startsWith('http:') };
const issuer = new URL(task.issuer);
const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
// RFC 8414 gives the same.
const rfc8414 = await oauth.discoveryRequest(issuer, { ...http, algorithm: 'oauth2' });
await oauth.processDiscoveryResponse(issuer, rfc8414);
tell('did', 'discovery (OpenID and RFC 8414)');

const client = { client_id: task.clientId, id_token_signed_response_alg: task.idAlg };
// The way to the service and back. The library compares state and `iss` (RFC 9207) of success and error alike.
async function authorize(more) {
  const verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
  const url = new URL(server.authorization_endpoint);
  for (const [name, value] of Object.entries({
    client_id: task.clientId, redirect_uri: task.redirectUri, response_type: 'code', scope: 'openid email', state, nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
  })) url.searchParams.set(name, value);
  return { params: oauth.validateAuthResponse(server, client, await visit(url), state), verifier, nonce };
}

async function exchange({ params, verifier, nonce }, more) {
  const response = await oauth.authorizationCodeGrantRequest(
    server, client, oauth.None(), params, task.redirectUri, verifier, http,
  );
  const answer = await oauth.processAuthorizationCodeResponse(server, client, response, {
    expectedNonce: nonce, requireIdToken: true, ...more,
  });
  await oauth.validateApplicationLevelSignature(server, response, http);
  return answer;
}

await authorize({ prompt: 'none' }).then(
  () => { throw new Error('prompt=none gave a code without a session'); },
  (error) => { if (error.error !== 'login_required') throw error; },
);
tell('did', 'login_required with iss');
const answer = await exchange(await authorize({ max_age: '3600' }), { maxAge: 3600 });
tell('did', 'code + PKCE');
tell('did', 'ID token with max_age');
const silent = await exchange(await authorize({ prompt: 'none', id_token_hint: answer.id_token }));
if (oauth.getValidatedIdTokenClaims(silent).sub !== oauth.getValidatedIdTokenClaims(answer).sub) throw new Error('another subject');
tell('did', 'prompt=none with id_token_hint');
tokens({ access: answer.access_token, id: answer.id_token });
