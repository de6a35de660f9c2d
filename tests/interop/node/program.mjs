// What every client program here does besides using its library: read its task, ask the person, tell the runner.
import { createInterface } from 'node:readline';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

const { ISSUER, CLIENT_ID, REDIRECT_URI, GOODBYE_URI, AUDIENCE, ID_ALG, NEXT_API } = process.env;
export const task = {
  issuer: ISSUER, clientId: CLIENT_ID, redirectUri: REDIRECT_URI, goodbyeUri: GOODBYE_URI, audience: AUDIENCE, idAlg: ID_ALG,
  nextApi: NEXT_API,
};
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const tell = (what, words) => console.log(`${what} ${words}`);
export const nextLine = async () => (await lines.next()).value;

// Sends the person to `url`; gives the address that they came back to.
export async function visit(url) {
  tell('visit', url);
  return new URL(await nextLine());
}

// While the service cannot know whether an assertion or a proof is new, it says when to come again.
export async function patiently(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (error.cause?.status !== 503) throw error;
      await setTimeout(1000 * Number(error.cause.headers.get('retry-after')));
    }
  }
}

// How often the service asked for a proof with a nonce: what a client without nonces would have failed at.
export const refused = { proofs: 0 };
export async function counting(...request) {
  const response = await fetch(...request);
  const { error } = response.status === 400 ? await response.clone().json() : {};
  const challenge = response.status === 401 ? response.headers.get('www-authenticate') : '';
  if (error === 'use_dpop_nonce' || challenge?.includes('use_dpop_nonce')) refused.proofs += 1;
  return response;
}

// The version that is installed, not the one that was asked for.
export function version(library) {
  const file = join(import.meta.dirname, 'node_modules', library, 'package.json');
  if (!existsSync(file)) throw new Error(`${library} is not installed`);
  tell('version', JSON.parse(readFileSync(file)).version);
}

export function tokens({ access, id }) {
  tell('access_token', access);
  tell('id_token', id);
  process.exit(0);
}

// A verifier: answers each token with what `verify` says of it.
export async function verifier(verify) {
  for (let token = await nextLine(); token; token = await nextLine()) {
    try {
      tell('accepted', await verify(token));
    } catch (error) {
      tell('refused', String(error.message).replace(/\s+/g, ' '));
    }
  }
  process.exit(0);
}
