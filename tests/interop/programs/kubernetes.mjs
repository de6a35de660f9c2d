// The verifier of the Kubernetes API server, and the tokens that kubelogin would send it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { claims } from '../forge.mjs';
import { Program } from '../program.mjs';
import { codeFlow } from './tokens.mjs';
import { tools, versionOfGo } from './found.mjs';

const binary = join(tools, 'go/kubernetes');

export const kubernetes = {
  name: "Kubernetes API server's verifier",
  client: 'kubernetes',
  schemes: ['https by proxy', 'https'],
  path: true,
  needs: [[binary, 'no Go that is new enough; scripts/setup.sh interop says which']],
  version: () => versionOfGo('kubernetes', 'k8s.io/apiserver'),
  async run(world) {
    const file = join(world.folder, 'authentication.yaml');
    const authority = `certificateAuthority: |\n${String(world.trust.pem).replace(/^(?=.)/gm, ' '.repeat(8))}`;
    writeFileSync(file, world.file('authentication.yaml').replace('audiences:', `${authority}      audiences:`));
    const verifier = new Program([binary, file], world.env);
    const verdict = async (token) => {
      verifier.say(token);
      return await verifier.nextLine() ?? await verifier.end().then(() => assert.fail('it ended'));
    };
    const mine = await codeFlow(world, { client_id: 'kubernetes', redirect_uri: 'http://localhost:8000' });
    assert.deepEqual(await verdict(mine.id_token), ['accepted', `entree:${claims(mine.id_token).sub} ${mine.person.address}`]);
    const other = await codeFlow(world, { client_id: 'public', redirect_uri: 'http://127.0.0.1:49152/callback' });
    const bad = { 'another client': other.id_token, 'an access token': mine.access_token, 'a changed signature': mine.id_token.slice(0, -8) + 'AAAAAAAA' };
    for (const [what, token] of Object.entries(bad)) {
      const [word, words] = await verdict(token);
      assert.equal(word, 'refused', `${what}: ${words}`);
    }
    await verifier.end();
    return ['ID token with the configuration of the document, user name and email', '3 bad ones refused'];
  },
};
