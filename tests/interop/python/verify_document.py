"""The verifier of docs/verify-tokens.md, as it stands there."""

import os
import sys

import program

sys.path.insert(0, os.environ["DOCUMENT"])
import verify  # noqa: E402

program.version("PyJWT")
verifier = verify.Verifier(program.issuer, program.audience)
program.tell("did", "the file of the document, unchanged")
program.verifier(lambda token: verifier(token)["sub"])
