// The programs of other makers that docs/clients.md has a tested recipe for.
import { dex } from './dex.mjs';
import { django } from './django.mjs';
import { kubernetes } from './kubernetes.mjs';
import { authJs, expressOpenidConnect, passport } from './node.mjs';
import { apache, oauth2Proxy } from './proxies.mjs';
import { rails, ruby } from './ruby.mjs';
import { spring, springApi } from './spring.mjs';

export const programs = [oauth2Proxy, kubernetes, expressOpenidConnect, passport, apache, spring, springApi, ruby, rails, django, authJs, dex];
