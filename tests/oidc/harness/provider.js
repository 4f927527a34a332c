// A real provider: oidc-provider from npm, with people, groups and its own forms.

import { once } from "node:events";

import { Provider } from "oidc-provider";

import { SECRET } from "./router.js";

const PEOPLE = {
  ann: { groups: ["everyone", "sre"] },
  otto: { groups: ["developers", "everyone"] },
  vera: { groups: ["everyone"] },
  nora: { groups: ["outsiders"] },
  nobody: {},
  gus: { preferred_username: "guard", groups: ["everyone"] },
  ci: { groups: ["everyone"] },
  mark: { preferred_username: "<img src=x onerror=alert(1)>\u202e\n", groups: ["everyone"] },
  max: { preferred_username: "<script>alert(1)</script>", groups: ["outsiders"] },
};

/** A provider at this port for a router at that address. */
export async function startProvider(t, { port, routerUrl, isPublic = false, claimsInToken = false, method = "client_secret_basic" }) {
  const issuer = `http://127.0.0.1:${port}`;
  const redirect_uris = [`${routerUrl}/auth/callback`];
  const secret = isPublic ? { token_endpoint_auth_method: "none" } : { client_secret: SECRET, token_endpoint_auth_method: method };
  const quiet = console.warn;
  console.warn = console.info = () => {};
  const provider = new Provider(issuer, {
    clients: [{ client_id: "crossfade", redirect_uris, ...secret }],
    ...(method !== "client_secret_basic" && { clientAuthMethods: [method] }),
    claims: { openid: ["sub"], profile: ["preferred_username"], groups: ["groups"] },
    scopes: ["openid", "profile", "groups"],
    conformIdTokenClaims: !claimsInToken,
    pkce: { required: () => true },
    findAccount: (_, id) => PEOPLE[id] && { accountId: id, claims: () => ({ sub: id, preferred_username: id, ...PEOPLE[id] }) },
    cookies: { keys: ["only for tests"] },
    ttl: { Session: 3600, Interaction: 3600, Grant: 3600, AccessToken: 600, IdToken: 600 },
  });
  /** Every request, so that tests see what was asked. */
  const asked = [];
  const server = provider.listen(port, "127.0.0.1");
  server.on("request", (request) => asked.push(`${request.method} ${request.url}`));
  await once(server, "listening");
  console.warn = quiet;
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { issuer, asked };
}
