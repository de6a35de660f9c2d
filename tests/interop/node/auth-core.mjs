// Auth.js as a web framework calls it: requests in, responses and cookies out.
import { Auth } from '@auth/core';
import { task, tell, tokens, version, visit } from './program.mjs';

version('@auth/core');
const home = new URL(task.redirectUri).origin;
let got;
const config = {
  basePath: '/auth',
  secret: 'only for this run, only for this run',
  trustHost: true,
  useSecureCookies: false,
  providers: [{
    id: 'entree', name: 'Entree', type: 'oidc', issuer: task.issuer, clientId: task.clientId,
    checks: ['pkce', 'state', 'nonce'],
    client: { token_endpoint_auth_method: 'none', id_token_signed_response_alg: task.idAlg },
    authorization: { params: { scope: 'openid email' } },
    profile: (claims) => ({ id: claims.sub }),
  }],
  callbacks: {
    jwt({ token, account }) {
      got ??= account;
      return token;
    },
    session: ({ session, token }) => ({ ...session, subject: token.sub }),
  },
  logger: { error(error) { throw new Error(`${error.name}: ${error.cause?.err?.message ?? error.message}`); } },
};
const jar = new Map();

async function ask(path, form) {
  const headers = { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') };
  const body = form && new URLSearchParams(form);
  const response = await Auth(new Request(new URL(path, home), { method: form ? 'POST' : 'GET', headers, body }), config);
  for (const line of response.headers.getSetCookie()) {
    const [name, value] = line.split(';', 1)[0].split(/=(.*)/s);
    jar.set(name, value);
  }
  return response;
}

const { csrfToken } = await (await ask('/auth/csrf')).json();
const away = await ask('/auth/signin/entree', { csrfToken, callbackUrl: `${home}/` });
tell('did', 'discovery');
const back = await visit(away.headers.get('location'));
const arrival = await ask(back.pathname + back.search);
if (new URL(arrival.headers.get('location'), home).pathname !== '/') {
  throw new Error(`sent to ${arrival.headers.get('location')}`);
}
tell('did', 'code + PKCE');
const session = await (await ask('/auth/session')).json();
if (!session?.user) throw new Error('no session');
tell('did', 'ID token, session');
tokens({ access: got.access_token, id: got.id_token });
