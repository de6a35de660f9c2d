// What oauth2-mock-server signs when a hook has spoiled it: each is refused with a page, no one is signed in, and the
// log has the code.
import assert from 'node:assert/strict';
import { assertSignedOut } from '../browser/people.mjs';
import { begin } from './people.mjs';
import { resign } from './mock.mjs';

const now = () => Math.floor(Date.now() / 1000);
const payload = (change) => ({ token: (token) => change(token.payload) });
const body = (change) => ({ response: (response) => change(response.body, response) });
const idToken = (change) => body((answer) => { answer.id_token = change(answer.id_token); });

const lies = {
  'nonce of another sign-in': ['up_nonce', 502, payload((claims) => { claims.nonce = 'another'; })],
  'no nonce': ['up_nonce', 502, payload((claims) => { delete claims.nonce; })],
  'another issuer': ['up_iss_claim', 502, payload((claims) => { claims.iss = 'https://elsewhere.example'; })],
  'issuer with a slash': ['up_iss_claim', 502, payload((claims) => { claims.iss += '/'; })],
  'for another client': ['up_aud', 502, payload((claims) => { claims.aud = 'another'; })],
  'for us and another': ['up_aud', 502, payload((claims) => { claims.aud = ['entree', 'another']; })],
  'azp of another': ['up_azp', 502, payload((claims) => { claims.azp = 'another'; })],
  'expired': ['up_expired', 502, payload((claims) => { claims.exp = now() - 61; })],
  'issued long ago': ['up_iat', 502, payload((claims) => { claims.iat = now() - 700; })],
  'issued in the future': ['up_iat', 502, payload((claims) => { claims.iat = now() + 120; })],
  'not valid yet': ['up_nbf', 502, payload((claims) => { claims.nbf = now() + 120; })],
  'no subject': ['up_sub', 502, payload((claims) => { claims.sub = ''; })],
  'a wrong at_hash': ['up_at_hash', 502, payload((claims) => { claims.at_hash = 'AAAAAAAAAAAAAAAAAAAAAA'; })],
  'another kind of token': ['up_typ', 502, { token: ({ header }) => { header.typ = 'at+jwt'; } }],
  'a critical extension': ['up_crit', 502, idToken((token) => resign(token, { header: { crit: ['x'], x: 1 } }))],
  'a key that is not published': ['up_key_unknown', 502, idToken((token) => resign(token, { header: { kid: 'unknown' } }))],
  'a stranger\'s signature': ['up_signature', 502, idToken((token) => resign(token))],
  'not signed at all': ['up_alg', 502, idToken((token) => resign(token, { header: { alg: 'none' }, key: null }))],
  'two parts': ['up_id_token_malformed', 502, idToken((token) => token.split('.').slice(0, 2).join('.'))],
  'no ID token': ['up_id_token_missing', 502, body((answer) => { delete answer.id_token; })],
  'no bearer token': ['up_token_type', 502, body((answer) => { answer.token_type = 'mac'; })],
  'the code refused': ['up_token_http', 400, body((answer, response) => { response.statusCode = 400; response.body = { error: 'invalid_grant' }; })],
  'a failing token endpoint': ['up_token_http', 503, body((answer, response) => { response.statusCode = 500; response.body = { error: 'x' }; })],
  'userinfo of another person': ['up_userinfo_sub', 502, {
    token: ({ payload }) => { delete payload.email; },
    userinfo: (response) => { response.body.sub = 'another'; },
  }],
  'another issuer in the answer': ['up_iss_mismatch', 400, { redirect: (url) => url.searchParams.set('iss', 'https://elsewhere.example') }],
  'a parameter twice': ['up_param_duplicate', 400, { redirect: (url) => url.searchParams.append('code', 'x') }],
  'neither code nor error': ['up_code_missing', 400, { redirect: (url) => url.searchParams.delete('code') }],
  'a state of its own': ['up_state_unknown', 400, { redirect: (url) => url.searchParams.set('state', 'A'.repeat(43)) }],
  'our client refused': ['up_misconfigured_reported', 502, { redirect: (url) => { url.searchParams.delete('code'); url.searchParams.set('error', 'unauthorized_client'); } }],
  'an unknown error': ['up_provider_error', 502, { redirect: (url) => { url.searchParams.delete('code'); url.searchParams.set('error', 'made_up'); } }],
  'trouble of its own': ['up_provider_error', 200, { redirect: (url) => { url.searchParams.delete('code'); url.searchParams.set('error', 'temporarily_unavailable'); } }],
};

const callback = (response) => new URL(response.url()).pathname === '/upstream/mock/callback';

export const spoiled = {
  'an honest oauth2-mock-server is believed': async ({ browser, service, upstreams: { mock } }) => {
    mock.honest();
    const context = await browser.newContext();
    const page = await context.newPage();
    await begin(page, service, 'mock');
    await page.waitForSelector('#linking');
    assert.equal(await page.inputValue('form#sign-in [name=email]'), `${mock.subject}@example.test`);
    await context.close();
  },
};
for (const [what, [code, status, spoil]] of Object.entries(lies)) {
  spoiled[`${code} ${status}: ${what}`] = async ({ browser, service, upstreams: { mock } }) => {
    mock.honest();
    mock.spoil = spoil;
    const context = await browser.newContext();
    const page = await context.newPage();
    const came = page.waitForResponse(callback);
    const logged = service.log.length;
    await begin(page, service, 'mock');
    const response = await came;
    mock.honest();
    assert.equal(response.status(), status);
    assert.equal(response.headers()['set-cookie'], undefined, 'no cookie is set or changed');
    await page.waitForLoadState();
    if (status === 200) await page.waitForSelector('#notice');
    else await page.waitForSelector('a#next');
    await assertSignedOut(context, service);
    // The audit log keeps few refusals of a network (OA-8); the log has each.
    await service.logged(logged, new RegExp(`upstream sign-in refused.*\\b${code}\\b`));
    await context.close();
  };
}
