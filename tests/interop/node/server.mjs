// What the programs with oauth4webapi begin with: the service, as it says what it is, and ways to ask it.
import * as oauth from 'oauth4webapi';
import { counting, patiently, refused, task, tell, visit } from './program.mjs';

export const http = { [oauth.allowInsecureRequests]: task.issuer.startsWith('http:'), [oauth.customFetch]: counting };
const issuer = new URL(task.issuer);
export const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
export const client = { client_id: task.clientId, id_token_signed_response_alg: task.idAlg };

// The library says that a nonce is asked for; to come again with it is up to the program.
async function withNonce(work) {
  try {
    return await work();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return work();
  }
}

// PAR, code, refresh and userinfo, all with proofs of one key.
export async function bound(authentication) {
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
  const options = { ...http, DPoP };
  const verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
  const parameters = {
    redirect_uri: task.redirectUri, response_type: 'code', scope: 'openid email offline_access', prompt: 'consent', state,
    nonce, code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  };
  const { request_uri } = await patiently(() => withNonce(async () => oauth.processPushedAuthorizationResponse(
    server, client, await oauth.pushedAuthorizationRequest(server, client, authentication, parameters, options),
  )));
  const url = new URL(server.authorization_endpoint);
  url.search = new URLSearchParams({ client_id: task.clientId, request_uri });
  const params = oauth.validateAuthResponse(server, client, await visit(url), state);
  const answer = await patiently(() => withNonce(async () => oauth.processAuthorizationCodeResponse(server, client,
    await oauth.authorizationCodeGrantRequest(server, client, authentication, params, task.redirectUri, verifier, options),
    { expectedNonce: nonce, requireIdToken: true })));
  tell('did', 'PAR and code with DPoP');
  const next = await withNonce(async () => oauth.processRefreshTokenResponse(server, client,
    await oauth.refreshTokenGrantRequest(server, client, authentication, answer.refresh_token, options)));
  if (next.token_type !== 'dpop') throw new Error(`a token of type ${next.token_type}`);
  const { sub } = oauth.getValidatedIdTokenClaims(answer);
  await withNonce(async () => oauth.processUserInfoResponse(server, client, sub,
    await oauth.userInfoRequest(server, client, next.access_token, options)));
  tell('did', 'refresh and userinfo with DPoP');
  if (refused.proofs === 0) throw new Error('no nonce was asked for');
  tell('did', 'nonces');
  return { access: next.access_token, id: answer.id_token };
}
