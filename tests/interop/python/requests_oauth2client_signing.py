"""requests-oauth2client with a key for its assertions and another one for its tokens."""

from jwskate import Jwk
from requests_oauth2client import BearerToken, DPoPToken, OAuth2Client, PrivateKeyJwt

import program


def client_of(client_id: str) -> OAuth2Client:
    return OAuth2Client.from_discovery_endpoint(
        issuer=program.issuer, auth=PrivateKeyJwt(client_id, Jwk(program.client_key), aud=program.issuer),
        redirect_uri=program.redirect_uri, id_token_signed_response_alg=program.id_alg,
        testing=program.issuer.startswith("http:"),
    )


program.version("requests_oauth2client")
client = client_of(program.client_id)
refused = []
client.session.hooks["response"].append(lambda answer, **_: None if answer.ok else refused.append(answer.text))

request = client.authorization_request(
    scope="openid email offline_access other:read", prompt="consent", dpop=True,
)
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

api = client_of("exchanger")
exchanged = api.token_exchange(
    subject_token=str(second), subject_token_type="access_token", resource=program.other_audience,
)
claims = exchanged.access_token_jwt.claims
assert (claims["aud"], claims["scope"]) == (program.other_audience, "other:read"), claims
assert claims["act"]["sub"] == "exchanger", claims
program.tell("did", "token exchange")
program.tokens(str(second), str(first.id_token))
