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
const verifier = oauth.generateRandomCodeVerifier();
const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
const url = new URL(server.authorization_endpoint);
for (const [name, value] of Object.entries({
  client_id: task.clientId, redirect_uri: task.redirectUri, response_type: 'code', scope: 'openid email', state, nonce,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', max_age: '3600',
})) url.searchParams.set(name, value);

const params = oauth.validateAuthResponse(server, client, await visit(url), state);
tell('did', 'iss of the response');
const response = await oauth.authorizationCodeGrantRequest(
  server, client, oauth.None(), params, task.redirectUri, verifier, http,
);
const answer = await oauth.processAuthorizationCodeResponse(server, client, response, {
  expectedNonce: nonce, maxAge: 3600, requireIdToken: true,
});
tell('did', 'code + PKCE');
await oauth.validateApplicationLevelSignature(server, response, http);
tell('did', 'ID token with max_age');
tokens({ access: answer.access_token, id: answer.id_token });
