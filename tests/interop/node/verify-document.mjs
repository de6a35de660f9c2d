// The verifiers of docs/verify-tokens.md, as they stand there.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { task, tell, verifier, version } from './program.mjs';

version('jose');
const document = await import(pathToFileURL(join(process.env.DOCUMENT, 'verify.mjs')));
const { proofs } = await import(pathToFileURL(join(process.env.DOCUMENT, 'proof.mjs')));
const verify = document.verifier(task.issuer, task.audience);
tell('did', 'the files of the document, unchanged');
// One began an hour ago, the other begins now.
const began = Math.floor(Date.now() / 1000) - 3600;
const [old, young] = [proofs(process.env.API_URL, began), proofs(process.env.API_URL)];
// A line of JSON is a request with proofs, any other a token.
await verifier(async (line) => {
  if (!line.startsWith('{')) return (await verify(line)).sub;
  const { isYoung, ...request } = JSON.parse(line);
  await (isYoung ? young : old)(request);
  return 'the proof';
});
