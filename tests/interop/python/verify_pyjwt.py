"""PyJWT as a resource server uses it."""

import jwt

import program

program.version("PyJWT")
keys = jwt.PyJWKClient(f"{program.issuer}/.well-known/jwks.json", lifespan=300)
program.tell("did", "access token (RFC 9068) with cached JWKS")


def verify(token: str) -> str:
    decoded = jwt.decode_complete(
        token, keys.get_signing_key_from_jwt(token), algorithms=["ES256", "RS256"], audience=program.audience,
        issuer=program.issuer, options={"require": ["exp", "iat", "sub", "aud", "iss"]},
    )
    # RFC 9068 §4: an ID token is no access token.
    if decoded["header"].get("typ", "").lower() != "at+jwt":
        raise ValueError("another typ")
    return decoded["payload"]["sub"]


program.verifier(verify)
