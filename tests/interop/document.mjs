// Takes the files out of a document: every fenced block whose first line names one (```js verify.mjs). Blocks of one
// name are parts of one file. Arguments: documents, then the folder for their files.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function filesOf(text) {
  const files = new Map();
  for (const [, name, body] of text.matchAll(/^```[a-z]+ ([\w./[\]-]+)\n([\s\S]*?)^```$/gm)) {
    files.set(name, (files.get(name) ?? '') + body);
  }
  return files;
}

if (import.meta.filename === process.argv[1]) {
  const documents = process.argv.slice(2);
  const folder = documents.pop();
  mkdirSync(folder, { recursive: true });
  for (const document of documents) {
    const files = filesOf(readFileSync(document, 'utf8'));
    if (files.size === 0) throw new Error(`${document} has no files`);
    for (const [name, body] of files) writeFileSync(join(folder, name), body);
  }
}
