"""Authlib as a Flask application uses it that signs with a key of its own and is notified of sign-outs."""

from threading import Thread
from urllib.parse import urlencode, urlsplit

from authlib.integrations.flask_client import OAuth
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign
from flask import Flask, request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from werkzeug.serving import make_server

import program

key = ECKey.import_key(program.client_key)


class Assertion(PrivateKeyJWT):
    """Lives for a minute: those of Authlib live for an hour."""

    def sign(self, auth, token_endpoint):
        return private_key_jwt_sign(
            key, auth.client_id, token_endpoint, alg="ES256", header={"kid": key.kid}, expires_in=60,
        )


assertion = Assertion(program.issuer)
app = Flask("interop")
app.secret_key = "only for this run"
entree = OAuth(app).register(
    "entree", client_id=program.client_id, client_secret=key, server_metadata_url=program.metadata_url,
    client_auth_methods=[assertion],
    client_kwargs={
        "scope": "openid email offline_access lessons:read", "code_challenge_method": "S256",
        "token_endpoint_auth_method": "private_key_jwt",
    },
)
got, ended = {}, []


@app.route("/sign-in")
def sign_in():
    return entree.authorize_redirect(program.redirect_uri, prompt="consent")


@app.route("/callback")
def callback():
    got.update(entree.authorize_access_token())
    return "signed in"


@app.route("/logout-token", methods=["POST"])
def logout():
    token = jwt.decode(
        request.form["logout_token"], KeySet.import_key_set(entree.fetch_jwk_set()), algorithms=[program.id_alg],
    )
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": program.issuer}, aud={"essential": True, "value": program.client_id},
        iat={"essential": True}, exp={"essential": True}, jti={"essential": True}, sid={"essential": True},
        events={"essential": True},
    ).validate(token.claims)
    assert token.header["typ"] == "logout+jwt" and "nonce" not in token.claims, token
    assert token.claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}, token
    ended.append(token.claims["sid"])
    return "", 204


program.version("Authlib")
metadata = entree.load_server_metadata()
own = OAuth2Session(program.client_id, key, token_endpoint_auth_method="private_key_jwt")
own.register_client_auth_method(assertion)
api = OAuth2Session("exchanging", program.exchanging_secret, token_endpoint_auth_method="client_secret_basic")
endpoint = metadata["token_endpoint"]
program.patiently(lambda: own.fetch_token(endpoint, grant_type="client_credentials"))
program.tell("did", "private_key_jwt with the issuer as audience, client credentials")
with app.test_client() as browser:
    away = browser.get("/sign-in")
    back = urlsplit(program.visit(away.headers["Location"]))
    answer = browser.get(f"{back.path}?{back.query}")
    assert answer.status_code == 200, answer.text
second = own.refresh_token(endpoint, refresh_token=got["refresh_token"])
assert own.introspect_token(metadata["introspection_endpoint"], token=second["access_token"]).json()["active"]
program.tell("did", "code + PKCE, ID token, refresh, introspection")

exchanged = api.fetch_token(
    endpoint, grant_type="urn:ietf:params:oauth:grant-type:token-exchange", subject_token=second["access_token"],
    subject_token_type="urn:ietf:params:oauth:token-type:access_token", resource=program.next_api,
)
assert exchanged["scope"] == "lessons:read", exchanged
program.tell("did", "token exchange")

at = urlsplit(program.logout_uri)
server = make_server(at.hostname, at.port, app)
receiver = Thread(target=server.handle_request, daemon=True)
receiver.start()
out = urlencode({"id_token_hint": got["id_token"], "post_logout_redirect_uri": program.goodbye_uri})
program.visit(f"{metadata['end_session_endpoint']}?{out}")
receiver.join(20)
assert ended == [got["userinfo"]["sid"]], ended
program.tell("did", "logout token")
program.tokens(second["access_token"], got["id_token"])
