// The browser and what drives it, both of the browser layer.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createRequire } from 'node:module';

const require = createRequire(join(import.meta.dirname, '../browser/package.json'));
const names = ['chromium', 'chromium-browser', 'google-chrome'];
const folders = (process.env.PATH ?? '').split(delimiter);

export const { chromium: playwright } = require('playwright-core');
export const { source: axe } = require('axe-core');
export const browserAt = process.env.CHROMIUM ?? names.flatMap((name) => folders.map((one) => join(one, name))).find(existsSync);
