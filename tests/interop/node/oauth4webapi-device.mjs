// A device without a browser (RFC 8628), and an API that exchanges what the device shows it (RFC 8693).
import { setTimeout } from 'node:timers/promises';
import * as oauth from 'oauth4webapi';
import { task, tell, tokens, version } from './program.mjs';
import { client, http, server } from './server.mjs';

version('oauth4webapi');
const codes = await oauth.processDeviceAuthorizationResponse(server, client,
  await oauth.deviceAuthorizationRequest(server, client, oauth.None(), { scope: 'openid email lessons:read' }, http));
const poll = async () => oauth.processDeviceCodeResponse(server, client,
  await oauth.deviceCodeGrantRequest(server, client, oauth.None(), codes.device_code, http), { requireIdToken: true });
await poll().then(
  () => { throw new Error('tokens before anyone allowed them'); },
  (error) => { if (error.error !== 'authorization_pending') throw error; },
);
tell('allow', `${codes.verification_uri} ${codes.user_code}`);
let shown;
while (!shown) {
  await setTimeout(1000 * codes.interval);
  shown = await poll().catch((error) => { if (error.error !== 'authorization_pending') throw error; });
}
const { sub } = oauth.getValidatedIdTokenClaims(shown);
tell('did', 'device grant with ID token, authorization_pending');

const api = { client_id: 'exchanging' };
const authentication = oauth.ClientSecretBasic(process.env.EXCHANGING_SECRET);
const next = await oauth.processGenericTokenEndpointResponse(server, api, await oauth.genericTokenEndpointRequest(
  server, api, authentication, 'urn:ietf:params:oauth:grant-type:token-exchange', {
    subject_token: shown.access_token, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    resource: task.nextApi, scope: 'lessons:read',
  }, http));
const claims = JSON.parse(Buffer.from(next.access_token.split('.')[1], 'base64url'));
if (claims.aud !== task.nextApi || claims.sub !== sub) throw new Error(`for ${claims.aud}, of ${claims.sub}`);
if (!claims.act) throw new Error('nothing says who exchanged');
tell('did', 'token exchange for the next API');
tokens({ access: shown.access_token, id: shown.id_token });
