// A client without a secret whose tokens are bound to a key.
import * as oauth from 'oauth4webapi';
import { tokens, version } from './program.mjs';
import { bound } from './server.mjs';

version('oauth4webapi');
tokens(await bound(oauth.None()));
