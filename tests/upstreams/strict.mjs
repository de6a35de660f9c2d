// npm oidc-provider: strict about everything a client says, with pages of its own for login and consent. Each login
// name makes a person; what stands before the first hyphen says what the provider tells of them.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { Door } from './listen.mjs';

export const secret = randomBytes(32).toString('hex');

// Claims of the person who signs in as `login`.
export function person(login) {
  const [kind] = login.split('-');
  const claims = { sub: login, name: `Dancer ${login}`, locale: 'en' };
  if (kind === 'nomail') return claims;
  return { ...claims, email: `${login}@example.test`, email_verified: kind !== 'unverified' };
}

export async function strict(tls) {
  // It warns on the console of everything that a real deployment would not do.
  const { default: Provider } = await quietly(() => import('oidc-provider'));
  const door = new Door(tls);
  await door.open((_, response) => response.writeHead(503).end());
  const key = () => ({ ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' });
  const state = { keys: [key()], redirects: [] };
  const build = () => quietly(() => {
    const provider = new Provider(door.origin, {
      clients: [{ client_id: 'entree', client_secret: secret, redirect_uris: state.redirects, grant_types: ['authorization_code'], response_types: ['code'] }],
      jwks: { keys: state.keys },
      pkce: { required: () => true },
      claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'locale'] },
      findAccount: (_, id) => ({ accountId: id, claims: () => person(id) }),
      cookies: { keys: ['upstream'] },
      features: { devInteractions: { enabled: true } },
      // Given, for else it says of each that one should.
      ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 600, IdToken: 600, AuthorizationCode: 60 },
    });
    provider.on('server_error', (_, error) => console.log(`oidc-provider: ${error.stack}`));
    return provider.callback();
  });
  return {
    door, issuer: door.origin,
    // The client's redirect addresses, as an operator registers them.
    async register(...redirects) {
      state.redirects = redirects;
      door.handler = await build();
    },
    // Another key signs from now on, and the old one is gone.
    async rotate() {
      state.keys = [key()];
      door.handler = await build();
    },
  };
}

async function quietly(work) {
  const { info, warn } = console;
  Object.assign(console, { info: () => {}, warn: () => {} });
  try {
    return await work();
  } finally {
    Object.assign(console, { info, warn });
  }
}

// What a person does at its pages.
export async function signIn(page, login) {
  await page.fill('input[name=login]', login);
  await page.fill('input[name=password]', 'pointe');
  const before = page.url();
  await page.click('button[type=submit]');
  await page.waitForURL((url) => url.href !== before);
  await consent(page);
}

// The consent page, unless this person has agreed before.
async function consent(page) {
  const button = page.locator('form[action*="/interaction/"] input[value=consent] ~ button');
  if ((await button.count()) > 0) await button.click();
}

export const cancel = (page) => page.click('a[href*="/abort"]');
