// A device without a browser (RFC 8628), and an API that exchanges what the device shows it (RFC 8693).
import * as client from 'openid-client';
import { task, tell, tokens, version } from './program.mjs';
import { insecure } from './sign-in.mjs';

version('openid-client');
const as = (id, authentication) => client.discovery(
  new URL(task.issuer), id, { id_token_signed_response_alg: task.idAlg }, authentication,
  { execute: [...insecure, client.enableNonRepudiationChecks] },
);
const device = await as(task.clientId, client.None());
const codes = await client.initiateDeviceAuthorization(device, { scope: 'openid email lessons:read' });
const polling = client.pollDeviceAuthorizationGrant(device, codes);
tell('allow', `${codes.verification_uri} ${codes.user_code}`);
const shown = await polling;
if (!shown.claims()?.sub) throw new Error('no subject');
tell('did', 'device grant with ID token');

const api = await as('exchanging', client.ClientSecretBasic(process.env.EXCHANGING_SECRET));
const next = await client.genericGrantRequest(api, 'urn:ietf:params:oauth:grant-type:token-exchange', {
  subject_token: shown.access_token, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  resource: task.nextApi, scope: 'lessons:read',
});
const { aud, sub, act } = JSON.parse(Buffer.from(next.access_token.split('.')[1], 'base64url'));
if (aud !== task.nextApi || sub !== shown.claims().sub) throw new Error(`for ${aud}, of ${sub}`);
if (!act) throw new Error('nothing says who exchanged');
tell('did', 'token exchange for the next API');
tokens({ access: shown.access_token, id: shown.id_token });
