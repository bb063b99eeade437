// The certified provider of OpenID Connect (github.com/panva/node-oidc-provider) at ISSUER, with one client and anybody
// for a person. KEY names the signing key: another name is another key, as after a rotation.
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const { ISSUER, CLIENT, SECRET, BACK, KEY, UNVERIFIED = "" } = process.env;
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: "jwk" }), kid: KEY, alg: "RS256", use: "sig" };

const provider = new Provider(ISSUER, {
  clients: [{ client_id: CLIENT, client_secret: SECRET, redirect_uris: [BACK], response_types: ["code"] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: id, email_verified: id !== UNVERIFIED, name: "Ann of Elsewhere" }),
  }),
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: ["only for tests"] },
  jwks: { keys: [jwk] },
  pkce: { required: () => true },
  ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 3600, IdToken: 60, Interaction: 600, Session: 3600 },
});

const page = `<!doctype html><html lang="en"><title>Elsewhere</title><main><h1>Elsewhere</h1>
<form method="post"><label>Address <input name="login"></label><button>Sign in there</button></form></main></html>`;

async function posted(request) {
  let body = "";
  for await (const piece of request) body += piece;
  return new URLSearchParams(body);
}

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  if (ctx.method === "GET") {
    ctx.type = "html";
    ctx.body = page;
    return;
  }
  const accountId = (await posted(ctx.req)).get("login");
  const grant = new provider.Grant({ accountId, clientId: CLIENT });
  grant.addOIDCScope("openid email profile");
  const consent = { grantId: await grant.save() };
  ctx.respond = false;
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId }, consent });
});

provider.listen(new URL(ISSUER).port, "127.0.0.1");
