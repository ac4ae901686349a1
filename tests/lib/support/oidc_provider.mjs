// The certified OpenID provider from npm, for tests: fresh keys at every start, in-memory store.
// Usage: node oidc_provider.mjs <its index.js> <options as JSON>
import { generateKeyPairSync } from 'node:crypto';
import { pathToFileURL } from 'node:url';

const { Provider } = await import(pathToFileURL(process.argv[2]));
const { port, clients, claims, inUserinfo } = JSON.parse(process.argv[3]);

function key(kid, type, options, alg) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg };
}
const started = Date.now().toString(36);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  jwks: {
    keys: [
      key(`rs-${started}`, 'rsa', { modulusLength: 2048 }, 'RS256'),
      key(`ec-${started}`, 'ec', { namedCurve: 'P-256' }, 'ES256'),
    ],
  },
  claims: { openid: ['sub'], profile: Object.keys(claims) },
  conformIdTokenClaims: inUserinfo,
  findAccount: async (ctx, id) => ({
    accountId: id,
    claims: async () => ({ ...claims, sub: id }),
  }),
  pkce: { required: () => true },
  cookies: { keys: ['for-tests-only'] },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, audience) => ({
        scope: '', audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: async (ctx, token) =>
    (token.kind === 'ClientCredentials' ? { ...claims, sub: token.clientId } : undefined),
});
provider.listen(port, '127.0.0.1', () => console.log('ready'));
