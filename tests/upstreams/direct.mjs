// The upstreams by themselves: a certified client library signs in at each of them in Chromium, so that a failing walk
// through the service is the service's fault.
import assert from 'node:assert/strict';
import * as client from 'openid-client';
import { resign } from './mock.mjs';
import * as strict from './strict.mjs';

const callback = 'http://127.0.0.1:1/callback';

export async function walk(browser, { issuer, id, secret, redirect = callback }, act) {
  const config = await client.discovery(new URL(issuer), id, undefined, secret ? client.ClientSecretBasic(secret) : client.None(), {
    execute: [client.allowInsecureRequests],
  });
  const [verifier, state, nonce] = [client.randomPKCECodeVerifier(), client.randomState(), client.randomNonce()];
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  try {
    const page = await context.newPage();
    // The address is all that is wanted: what stands there is of no interest.
    const back = page.waitForRequest((request) => request.url().startsWith(redirect), { timeout: 60_000 });
    back.catch(() => {});
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: redirect, scope: 'openid email profile', code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256', state, nonce,
    });
    await page.goto(url.href).catch(() => {});
    await act?.(page);
    const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
    const tokens = await client.authorizationCodeGrant(config, new URL((await back).url()), checks);
    const claims = tokens.claims();
    const asked = config.serverMetadata().userinfo_endpoint && await client.fetchUserInfo(config, tokens.access_token, claims.sub);
    return { ...asked, ...claims };
  } finally {
    await context.close();
  }
}

export const direct = {
  'oidc-provider by itself: login, consent, claims from userinfo': async ({ browser, service, upstreams: { partner } }) => {
    const own = service.at('/upstream/partner/callback');
    await partner.register(own, callback);
    const at = { issuer: partner.issuer, id: 'entree', secret: strict.secret };
    const claims = await walk(browser, at, (page) => strict.signIn(page, 'degas-0'));
    assert.equal(claims.email, 'degas-0@example.test');
    assert.equal(claims.sub, 'degas-0');
    await assert.rejects(walk(browser, at, async (page) => strict.cancel(page)), { error: 'access_denied' });
    await partner.register(own);
  },

  'oauth2-mock-server by itself: honest, then spoiled': async ({ browser, upstreams: { mock } }) => {
    mock.honest();
    const at = { issuer: mock.issuer, id: 'entree' };
    assert.equal((await walk(browser, at)).sub, mock.subject);
    mock.spoil.token = ({ payload }) => { payload.nonce = 'another'; };
    await assert.rejects(walk(browser, at));
    mock.spoil = { response: ({ body }) => { body.id_token = resign(body.id_token, { header: { alg: 'none' }, key: null }); } };
    await assert.rejects(walk(browser, at));
    mock.honest();
  },
};
