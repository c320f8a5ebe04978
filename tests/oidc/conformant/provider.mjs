// A certified OpenID provider for the tests: `node provider.mjs SETTINGS`, where SETTINGS is JSON with issuer, port,
// audience, redirect and the people it knows. Anybody may log in by name; the password is not looked at.

import { generateKeyPair, exportJWK } from 'jose';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);

const keys = [];
for (const [alg, kid] of [['RS256', 'rsa-1'], ['ES256', 'ec-1']]) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  keys.push({ ...(await exportJWK(privateKey)), alg, kid, use: 'sig' });
}

const person = (id) => ({ sub: id, preferred_username: id, groups: settings.groups[id] ?? [] });

const provider = new Provider(settings.issuer, {
  clients: [
    {
      client_id: 'station',
      client_secret: 'the-secret-of-the-station',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
    {
      client_id: 'catalog-pages',
      client_secret: 'the-secret-of-the-pages',
      grant_types: ['authorization_code'],
      redirect_uris: [settings.redirect],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['a-key-for-tests'] },
  extraTokenClaims: (_, token) => ({ groups: settings.groups[token.accountId ?? token.clientId] ?? [] }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (_, resource) => ({
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: settings.algorithm } },
        scope: 'catalog',
      }),
      useGrantedResource: () => true,
    },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => person(id) }),
  jwks: { keys },
  pkce: { required: () => true },
  scopes: ['openid', 'profile', 'groups', 'catalog'],
});

provider.listen(settings.port, '127.0.0.1', () => console.log('ready'));
