"""What every program here does besides using its library: read its task, ask the person, tell the runner."""

import json
import os
import sys
import time
from importlib.metadata import version as installed

issuer, client_id, redirect_uri, audience, id_alg = (
    os.environ.get(name, "") for name in ("ISSUER", "CLIENT_ID", "REDIRECT_URI", "AUDIENCE", "ID_ALG")
)
goodbye_uri, logout_uri, next_api, exchanging_secret = (
    os.environ.get(name, "") for name in ("GOODBYE_URI", "LOGOUT_URI", "NEXT_API", "EXCHANGING_SECRET")
)
client_key = json.loads(os.environ.get("CLIENT_KEY", "null"))
metadata_url = f"{issuer}/.well-known/openid-configuration"


def tell(what: str, words: str) -> None:
    print(what, " ".join(str(words).split()), flush=True)


def version(library: str) -> None:
    tell("version", installed(library))


def visit(url: str) -> str:
    """Sends the person to `url`; gives the address that they came back to."""
    tell("visit", url)
    return sys.stdin.readline().strip()


def allow(url: str, code: str) -> None:
    """Has the person allow the device that shows them `url` and `code`."""
    tell("allow", f"{url} {code}")


def tokens(access: str, id_token: str) -> None:
    tell("access_token", access)
    tell("id_token", id_token)


def patiently(work):
    """While the service cannot know whether an assertion or a proof is new, it says when to come again."""
    while True:
        try:
            return work()
        except Exception as error:
            response = getattr(error, "response", None)
            if response is None or response.status_code != 503:
                raise
            time.sleep(int(response.headers["Retry-After"]))


def verifier(verify) -> None:
    """Answers each token with what `verify` says of it."""
    for line in sys.stdin:
        try:
            tell("accepted", verify(line.strip()))
        except Exception as error:  # Whatever the library raises is its refusal.
            tell("refused", f"{type(error).__name__}: {error}")
