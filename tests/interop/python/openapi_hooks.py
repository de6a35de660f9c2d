"""What Schemathesis must know of this service: which values its operations know, and which refusals are no fault."""

import os

import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

client_id, redirect_uri = os.environ["CLIENT_ID"], os.environ["REDIRECT_URI"]
schemathesis.openapi.format("mailbox", st.from_regex(r"[a-z0-9]{1,12}@[a-z0-9]{1,12}\.example", fullmatch=True))

# A proof that the schema allows is still no proof: which codes say so.
NO_PROOF = {
    "consumeMagicLink": {"invalid_code"},
    "submitCode": {"invalid_code"},
    "finishUpstream": {"invalid_code"},
}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Narrows the document to what is registered here, so that requests come as far as the rules behind it."""
    schemas = raw_schema["components"]["schemas"]
    for name in ("NewLogin", "NewUpstreamLogin"):
        schemas[name]["properties"]["client_id"]["enum"] = [client_id]
        schemas[name]["example"]["client_id"] = client_id
    schemas["NewLogin"]["properties"]["email"]["format"] = "mailbox"
    upstream = schemas["NewUpstreamLogin"]
    upstream["properties"]["redirect_uri"]["enum"] = [redirect_uri]
    upstream["example"]["redirect_uri"] = redirect_uri


@schemathesis.check
def form_is_accepted(ctx, response, case):
    """A request that the document allows is never refused for its form."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE or response.status_code != 400:
        return
    operation = case.operation.definition.raw["operationId"]
    code = response.json().get("code")
    assert code in NO_PROOF.get(operation, ()), f"the document allows it, and it was refused with {code}"
