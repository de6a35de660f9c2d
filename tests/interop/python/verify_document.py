"""The verifiers of docs/verify-tokens.md, as they stand there."""

import json
import os
import sys
import time

import program

sys.path.insert(0, os.environ["DOCUMENT"])
import proof  # noqa: E402
import verify  # noqa: E402

program.version("PyJWT")
verifier = verify.Verifier(program.issuer, program.audience)
# One began an hour ago, the other begins now.
old = proof.Proofs(os.environ["API_URL"], int(time.time()) - 3600)
young = proof.Proofs(os.environ["API_URL"])
program.tell("did", "the files of the document, unchanged")


def check(line: str) -> str:
    """A line of JSON is a request with proofs, any other a token."""
    if not line.startswith("{"):
        return verifier(line)["sub"]
    request = json.loads(line)
    (young if request.pop("isYoung") else old).check(**request)
    return "the proof"


program.verifier(check)
