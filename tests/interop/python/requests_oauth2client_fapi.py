"""requests-oauth2client as a client with `profile = "fapi2"`: a key for its assertions, another one for its tokens."""

from jwskate import Jwk
from requests_oauth2client import BearerToken, ClientSecretBasic, DPoPToken, OAuth2Client, PrivateKeyJwt

import program


def client_of(auth) -> OAuth2Client:
    return OAuth2Client.from_discovery_endpoint(
        issuer=program.issuer, auth=auth, redirect_uri=program.redirect_uri,
        id_token_signed_response_alg=program.id_alg,
        testing=program.issuer.startswith("http:"),
    )


program.version("requests_oauth2client")
client = client_of(PrivateKeyJwt(program.client_id, Jwk(program.client_key), aud=program.issuer))
refused = []
client.session.hooks["response"].append(lambda answer, **_: None if answer.ok else refused.append(answer.text))

scope = "openid email offline_access lessons:read"
request = client.authorization_request(scope=scope, prompt="consent", dpop=True)
pushed = program.patiently(lambda: client.pushed_authorization_request(request))
program.tell("did", "private_key_jwt with the issuer as audience, PAR")
back = request.validate_callback(program.visit(pushed.uri))
first = client.authorization_code(back, dpop=True, validate=False)
assert isinstance(first, DPoPToken) and any("use_dpop_nonce" in text for text in refused), refused
# The library cannot validate the ID token beside a token that is bound to a key: it loses the key.
BearerToken(str(first), id_token=str(first.id_token)).validate_id_token(client, back)
program.tell("did", "code + PKCE with DPoP and its nonce, ID token")
assert client.userinfo(first)["email"]
second = client.refresh_token(first)
assert isinstance(second, DPoPToken) and second.dpop_key == first.dpop_key, second
program.tell("did", "userinfo and refresh with DPoP")

api = client_of(ClientSecretBasic("exchanging", program.exchanging_secret))
exchanged = api.token_exchange(
    subject_token=str(second), subject_token_type="access_token", resource=program.next_api,
)
claims = exchanged.access_token_jwt.claims
assert (claims["aud"], claims["scope"]) == (program.next_api, "lessons:read"), claims
assert claims["act"]["sub"] == "exchanging", claims
program.tell("did", "token exchange")
program.tokens(str(second), str(first.id_token))
