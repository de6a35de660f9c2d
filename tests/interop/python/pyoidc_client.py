"""pyoidc (`oic`)."""

import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import urlsplit

from oic.oic import Client
from oic.oic.message import AccessTokenResponse, AuthorizationResponse
from oic.utils.authn.client import CLIENT_AUTHN_METHOD

import program

program.version("oic")
client = Client(client_id=program.client_id, client_authn_method=CLIENT_AUTHN_METHOD)
client.redirect_uris = [program.redirect_uri]
client.registration_response = {"id_token_signed_response_alg": program.id_alg}
client.provider_config(program.issuer)
program.tell("did", "discovery")

state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
request = client.construct_AuthorizationRequest(request_args={
    "client_id": program.client_id, "response_type": "code", "scope": ["openid", "email"], "state": state,
    "nonce": nonce, "redirect_uri": program.redirect_uri, "code_challenge": challenge, "code_challenge_method": "S256",
})
back = urlsplit(program.visit(request.request(client.authorization_endpoint)))
client.parse_response(AuthorizationResponse, info=back.query, sformat="urlencoded")
answer = client.do_access_token_request(
    state=state, scope=["openid", "email"],
    request_args={"redirect_uri": program.redirect_uri, "code_verifier": verifier, "client_id": program.client_id},
    authn_method="", response_cls=AccessTokenResponse,
)
assert isinstance(answer, AccessTokenResponse), answer
program.tell("did", "code + PKCE")
# pyoidc verifies the ID token as it parses the response; the nonce is left to its user.
assert answer["id_token"]["nonce"] == nonce and answer["id_token"]["iss"] == program.issuer
program.tell("did", "ID token")
raw = client.grant[state].get_token().id_token
program.tokens(answer["access_token"], raw.jwt if hasattr(raw, "jwt") else "")
