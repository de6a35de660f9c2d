"""mozilla-django-oidc in a Django application with users in a database."""

import os
from urllib.parse import urlsplit

import django
from django.conf import settings

import program

back = urlsplit(program.redirect_uri)
issuer = program.issuer
settings.configure(
    SECRET_KEY="only for this run",
    ALLOWED_HOSTS=[back.hostname],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "mozilla_django_oidc",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    AUTHENTICATION_BACKENDS=["mozilla_django_oidc.auth.OIDCAuthenticationBackend"],
    OIDC_RP_CLIENT_ID=program.client_id,
    OIDC_RP_CLIENT_SECRET=os.environ["CLIENT_SECRET"],
    OIDC_RP_SIGN_ALGO=program.id_alg,
    OIDC_RP_SCOPES="openid email",
    OIDC_USE_PKCE=True,
    OIDC_TOKEN_USE_BASIC_AUTH=os.environ["CLIENT_AUTH"] == "client_secret_basic",
    OIDC_OP_AUTHORIZATION_ENDPOINT=f"{issuer}/oauth2/authorize",
    OIDC_OP_TOKEN_ENDPOINT=f"{issuer}/oauth2/token",
    OIDC_OP_USER_ENDPOINT=f"{issuer}/oauth2/userinfo",
    OIDC_OP_JWKS_ENDPOINT=f"{issuer}/.well-known/jwks.json",
    OIDC_STORE_ACCESS_TOKEN=True,
    OIDC_STORE_ID_TOKEN=True,
    LOGIN_REDIRECT_URL="/inside",
    LOGIN_REDIRECT_URL_FAILURE="/outside",
)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.decorators import login_required  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402
from mozilla_django_oidc import views  # noqa: E402


@login_required
def inside(request):
    return HttpResponse(request.user.email)


urlpatterns = [
    path("sign-in", views.OIDCAuthenticationRequestView.as_view(), name="oidc_authentication_init"),
    path(back.path.lstrip("/"), views.OIDCAuthenticationCallbackView.as_view(), name="oidc_authentication_callback"),
    path("inside", inside),
]

program.version("mozilla-django-oidc")
call_command("migrate", verbosity=0)
browser = Client(SERVER_NAME=back.hostname, SERVER_PORT=str(back.port))
arrived = urlsplit(program.visit(browser.get("/sign-in").headers["Location"]))
answer = browser.get(f"{arrived.path}?{arrived.query}")
# It verifies the signature of the ID token by the published keys, its nonce, and takes the address from userinfo.
assert answer.headers.get("Location") == "/inside", answer.headers
program.tell("did", "client_secret_basic and client_secret_post, code + PKCE, ID token, userinfo")
page = browser.get("/inside")
user = get_user_model().objects.get()
assert page.status_code == 200 and page.content.decode() == user.email and "@" in user.email
program.tell("did", "a user in the database, signed in")
program.tokens(browser.session["oidc_access_token"], browser.session["oidc_id_token"])
