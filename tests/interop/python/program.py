"""What every program here does besides using its library: read its task, ask the person, tell the runner."""

import os
import sys
from importlib.metadata import version as installed

issuer, client_id, redirect_uri, audience, id_alg = (
    os.environ.get(name, "") for name in ("ISSUER", "CLIENT_ID", "REDIRECT_URI", "AUDIENCE", "ID_ALG")
)
metadata_url = f"{issuer}/.well-known/openid-configuration"


def tell(what: str, words: str) -> None:
    print(what, " ".join(str(words).split()), flush=True)


def version(library: str) -> None:
    tell("version", installed(library))


def visit(url: str) -> str:
    """Sends the person to `url`; gives the address that they came back to."""
    tell("visit", url)
    return sys.stdin.readline().strip()


def tokens(access: str, id_token: str) -> None:
    tell("access_token", access)
    tell("id_token", id_token)


def verifier(verify) -> None:
    """Answers each token with what `verify` says of it."""
    for line in sys.stdin:
        try:
            tell("accepted", verify(line.strip()))
        except Exception as error:  # Whatever the library raises is its refusal.
            tell("refused", f"{type(error).__name__}: {error}")
