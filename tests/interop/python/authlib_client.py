"""Authlib as a Flask application uses it."""

from urllib.parse import urlsplit

from authlib.integrations.flask_client import OAuth
from flask import Flask, session

import program

app = Flask("interop")
app.secret_key = "only for this run"
entree = OAuth(app).register(
    "entree",
    client_id=program.client_id,
    server_metadata_url=program.metadata_url,
    client_kwargs={
        "scope": "openid email", "code_challenge_method": "S256", "token_endpoint_auth_method": "none",
    },
)
got = {}


@app.route("/sign-in")
def sign_in():
    return entree.authorize_redirect(program.redirect_uri)


@app.route("/callback")
def callback():
    got.update(entree.authorize_access_token())
    session["user"] = got["userinfo"]["sub"]
    return "signed in"


program.version("Authlib")
with app.test_client() as browser:
    away = browser.get("/sign-in")
    program.tell("did", "discovery")
    back = urlsplit(program.visit(away.headers["Location"]))
    answer = browser.get(f"{back.path}?{back.query}")
    assert answer.status_code == 200, answer.text
program.tell("did", "code + PKCE")
# Authlib verifies the ID token, its nonce and at_hash before it gives these claims.
assert got["userinfo"]["sub"] and got["userinfo"]["iss"] == program.issuer
program.tell("did", "ID token")
program.tokens(got["access_token"], got["id_token"])
