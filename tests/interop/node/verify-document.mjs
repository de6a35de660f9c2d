// The verifier of docs/verify-tokens.md, as it stands there.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { task, tell, verifier, version } from './program.mjs';

version('jose');
const document = await import(pathToFileURL(join(process.env.DOCUMENT, 'verify.mjs')));
const verify = document.verifier(task.issuer, task.audience);
tell('did', 'the file of the document, unchanged');
await verifier(async (token) => (await verify(token)).sub);
