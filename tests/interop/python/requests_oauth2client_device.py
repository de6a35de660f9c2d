"""requests-oauth2client in a device without a browser (RFC 8628)."""

import requests
from requests_oauth2client import DeviceAuthorizationPollingJob, OAuth2Client

import program

program.version("requests_oauth2client")
# The library leaves this endpoint out of what it reads in the metadata.
start = requests.get(program.metadata_url).json()["device_authorization_endpoint"]
client = OAuth2Client.from_discovery_endpoint(
    issuer=program.issuer, client_id=program.client_id, device_authorization_endpoint=start,
    id_token_signed_response_alg=program.id_alg, testing=program.issuer.startswith("http:"),
)
codes = client.authorize_device(scope="openid email")
polling = DeviceAuthorizationPollingJob(client, codes)
assert polling() is None, "tokens before anyone allowed it"
program.tell("did", "device code, authorization_pending")
program.allow(codes.verification_uri, codes.user_code)
while not (token := polling()):
    pass
assert client.userinfo(token)["email"]
program.tell("did", "tokens once it was allowed, userinfo")
program.tokens(str(token), str(token.id_token))
