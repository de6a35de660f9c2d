// A client with `profile = "fapi2"`: its own key at each endpoint, pushed requests, tokens bound to a second key.
import * as oauth from 'oauth4webapi';
import { tell, tokens, version } from './program.mjs';
import { bound } from './server.mjs';

version('oauth4webapi');
const jwk = JSON.parse(process.env.CLIENT_KEY);
const key = await crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
const got = await bound(oauth.PrivateKeyJwt({ key, kid: jwk.kid }));
tell('did', 'private_key_jwt with the issuer as audience');
tokens(got);
