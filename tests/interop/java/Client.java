import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jwt.JWT;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.oauth2.sdk.*;
import com.nimbusds.oauth2.sdk.auth.ClientAuthentication;
import com.nimbusds.oauth2.sdk.auth.JWTAuthenticationClaimsSet;
import com.nimbusds.oauth2.sdk.auth.PrivateKeyJWT;
import com.nimbusds.oauth2.sdk.device.*;
import com.nimbusds.oauth2.sdk.dpop.DefaultDPoPProofFactory;
import com.nimbusds.oauth2.sdk.dpop.DPoPProofFactory;
import com.nimbusds.oauth2.sdk.http.HTTPRequest;
import com.nimbusds.oauth2.sdk.http.HTTPResponse;
import com.nimbusds.oauth2.sdk.id.*;
import com.nimbusds.oauth2.sdk.pkce.CodeChallengeMethod;
import com.nimbusds.oauth2.sdk.pkce.CodeVerifier;
import com.nimbusds.oauth2.sdk.token.AccessToken;
import com.nimbusds.oauth2.sdk.token.TokenTypeURI;
import com.nimbusds.oauth2.sdk.tokenexchange.TokenExchangeGrant;
import com.nimbusds.oauth2.sdk.util.URLUtils;
import com.nimbusds.openid.connect.sdk.*;
import com.nimbusds.openid.connect.sdk.op.OIDCProviderMetadata;
import com.nimbusds.openid.connect.sdk.token.OIDCTokens;
import com.nimbusds.openid.connect.sdk.validators.IDTokenValidator;
import com.nimbusds.openid.connect.sdk.validators.LogoutTokenValidator;
import com.sun.net.httpserver.HttpServer;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Date;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A client of Nimbus oauth2-oidc-sdk that signs, pushes its requests, and has all its tokens bound to a key. */
public final class Client {
    private final BufferedReader person = new BufferedReader(new InputStreamReader(System.in));
    private final ClientID id = new ClientID(System.getenv("CLIENT_ID"));
    private final ECKey key = ECKey.parse(System.getenv("CLIENT_KEY"));
    private final DPoPProofFactory proofs =
        new DefaultDPoPProofFactory(new ECKeyGenerator(Curve.P_256).generate(), JWSAlgorithm.ES256);
    private final OIDCProviderMetadata provider = OIDCProviderMetadata.resolve(new Issuer(System.getenv("ISSUER")));
    private final IDTokenValidator validator = new IDTokenValidator(
        provider.getIssuer(), id, JWSAlgorithm.parse(System.getenv("ID_ALG")), provider.getJWKSetURI().toURL());
    private Nonce nonce;
    private boolean neededNonce;

    private Client() throws Exception {}

    public static void main(String[] args) throws Exception {
        var version = new Properties();
        try (var file = Client.class.getResourceAsStream("/META-INF/maven/com.nimbusds/oauth2-oidc-sdk/pom.properties")) {
            version.load(file);
        }
        System.out.println("version " + version.getProperty("version"));
        try {
            new Client().run();
        } catch (Exception error) {
            // The receiver of logout tokens would keep the program alive.
            error.printStackTrace();
            System.exit(1);
        }
        System.exit(0);
    }

    private void run() throws Exception {
        var tokens = signIn();
        device();
        exchange(tokens.getAccessToken());
        signOut(tokens.getIDToken());
        System.out.println("access_token " + tokens.getAccessToken().getValue());
        System.out.println("id_token " + tokens.getIDTokenString());
    }

    private OIDCTokens signIn() throws Exception {
        var callback = URI.create(System.getenv("REDIRECT_URI"));
        var verifier = new CodeVerifier();
        var state = new State();
        var expected = new Nonce();
        var scope = new Scope("openid", "email", "lessons:read");
        var request = new AuthenticationRequest.Builder(ResponseType.CODE, scope, id, callback)
            .state(state).nonce(expected).codeChallenge(verifier, CodeChallengeMethod.S256).build();
        var endpoint = provider.getPushedAuthorizationRequestEndpointURI();
        var pushed = PushedAuthorizationResponse.parse(
            send(() -> new PushedAuthorizationRequest(endpoint, auth(), request).toHTTPRequest(), null));
        check(pushed.indicatesSuccess(), "the pushed request is refused");
        var brief = new AuthenticationRequest.Builder(pushed.toSuccessResponse().getRequestURI(), id)
            .endpointURI(provider.getAuthorizationEndpointURI()).build();
        var back = AuthenticationResponseParser.parse(visit(brief.toURI())).toSuccessResponse();
        check(back.getState().equals(state), "another state");
        check(back.getIssuer().equals(provider.getIssuer()), "another issuer");
        var grant = new AuthorizationCodeGrant(back.getAuthorizationCode(), callback, verifier);
        var tokens = tokens(token(grant));
        validator.validate(tokens.getIDToken(), expected);
        check(tokens.getAccessToken().getType().getValue().equals("DPoP"), "a token that is not bound");
        check(neededNonce, "no nonce was needed");
        say("private_key_jwt with the issuer as audience, PAR and code with DPoP and its nonce");
        var userinfo = UserInfoResponse.parse(send(
            () -> new UserInfoRequest(provider.getUserInfoEndpointURI(), tokens.getAccessToken()).toHTTPRequest(),
            tokens.getAccessToken()));
        check(userinfo.indicatesSuccess(), "userinfo is refused");
        say("userinfo with DPoP");
        return tokens;
    }

    private void device() throws Exception {
        var endpoint = provider.getDeviceAuthorizationEndpointURI();
        var begun = DeviceAuthorizationResponse.parse(send(() -> new DeviceAuthorizationRequest.Builder(auth())
            .scope(new Scope("openid")).endpointURI(endpoint).build().toHTTPRequest(), null));
        check(begun.indicatesSuccess(), "no codes for the device");
        var codes = begun.toSuccessResponse();
        var grant = new DeviceCodeGrant(codes.getDeviceCode());
        check(isPending(token(grant)), "not pending");
        System.out.println("allow " + codes.getVerificationURI() + " " + codes.getUserCode().getValue());
        TokenResponse response;
        do {
            Thread.sleep(1000 * codes.getInterval());
            response = token(grant);
        } while (isPending(response));
        validator.validate(tokens(response).getIDToken(), null);
        say("device grant with authorization_pending");
    }

    private static boolean isPending(TokenResponse response) {
        return response instanceof TokenErrorResponse refusal
            && refusal.getErrorObject().equals(DeviceAuthorizationGrantError.AUTHORIZATION_PENDING);
    }

    private void exchange(AccessToken subject) throws Exception {
        var api = System.getenv("NEXT_API");
        var grant = new TokenExchangeGrant(subject, TokenTypeURI.ACCESS_TOKEN, null, null, null, List.of(new Audience(api)));
        var response = token(grant);
        check(response.indicatesSuccess(), "the exchange is refused");
        var claims = SignedJWT.parse(response.toSuccessResponse().getTokens().getAccessToken().getValue()).getJWTClaimsSet();
        check(claims.getAudience().equals(List.of(api)), "for another API");
        check(claims.getSubject().equals(SignedJWT.parse(subject.getValue()).getJWTClaimsSet().getSubject()), "of another user");
        say("token exchange");
    }

    private void signOut(JWT idToken) throws Exception {
        var address = URI.create(System.getenv("LOGOUT_URI"));
        var posted = new LinkedBlockingQueue<String>();
        var server = HttpServer.create(new InetSocketAddress(address.getHost(), address.getPort()), 0);
        server.createContext(address.getPath(), exchange -> {
            posted.offer(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
            exchange.sendResponseHeaders(204, -1);
        });
        server.start();
        var goodbye = URI.create(System.getenv("GOODBYE_URI"));
        visit(new LogoutRequest(provider.getEndSessionEndpointURI(), idToken, goodbye, null).toURI());
        var received = posted.poll(20, TimeUnit.SECONDS);
        check(received != null, "no logout token came");
        var logout = BackChannelLogoutRequest.parse(URLUtils.parseParameters(received)).getLogoutToken();
        var verifier = new LogoutTokenValidator(
            provider.getIssuer(), id, JWSAlgorithm.parse(System.getenv("ID_ALG")), provider.getJWKSetURI().toURL());
        var sid = idToken.getJWTClaimsSet().getStringClaim("sid");
        check(verifier.validate(logout).getSessionID().getValue().equals(sid), "another session");
        try {
            verifier.validate(idToken);
            throw new IllegalStateException("an ID token is taken for a logout token");
        } catch (BadJOSEException expected) {
            say("logout token");
        }
    }

    private TokenResponse token(AuthorizationGrant grant) throws Exception {
        var endpoint = provider.getTokenEndpointURI();
        return OIDCTokenResponseParser.parse(
            send(() -> new TokenRequest.Builder(endpoint, auth(), grant).build().toHTTPRequest(), null));
    }

    private static OIDCTokens tokens(TokenResponse response) {
        if (response instanceof TokenErrorResponse refusal) {
            throw new IllegalStateException(refusal.getErrorObject().toJSONObject().toString());
        }
        return ((OIDCTokenResponse) response).getOIDCTokens();
    }

    /**
     * An assertion with the issuer as audience, new for each request. By default the library sets no `iat`, and the
     * service counts such an assertion as made five minutes before its `exp`.
     */
    private ClientAuthentication auth() throws Exception {
        var now = Instant.now();
        var audience = new Audience(provider.getIssuer()).toSingleAudienceList();
        var claims = new JWTAuthenticationClaimsSet(
            id, audience, Date.from(now.plusSeconds(60)), null, Date.from(now), new JWTID());
        return new PrivateKeyJWT(claims, JWSAlgorithm.ES256, key.toECPrivateKey(), key.getKeyID(), null);
    }

    private interface Request {
        HTTPRequest make() throws Exception;
    }

    /**
     * Sends a request with a proof of a clock that is two hours slow: once more with the nonce of the response, and
     * later while the service cannot know whether an assertion or a proof is new.
     */
    private HTTPResponse send(Request request, AccessToken token) throws Exception {
        for (;;) {
            var http = request.make();
            var slow = Date.from(Instant.now().minusSeconds(7200));
            http.setDPoP(proofs.createDPoPJWT(new JWTID(), http.getMethod().name(), http.getURI(), slow, token, nonce));
            var response = http.send();
            var isNew = response.getDPoPNonce() != null && !response.getDPoPNonce().equals(nonce);
            if (isNew) nonce = response.getDPoPNonce();
            if (response.getStatusCode() == 503) {
                Thread.sleep(1000 * Long.parseLong(response.getHeaderValue("Retry-After")));
            } else if (isNew && needsNonce(response)) {
                neededNonce = true;
            } else {
                return response;
            }
        }
    }

    private static boolean needsNonce(HTTPResponse response) {
        var code = OAuth2Error.USE_DPOP_NONCE.getCode();
        return String.valueOf(response.getBody()).contains(code)
            || String.valueOf(response.getHeaderValue("WWW-Authenticate")).contains(code);
    }

    private URI visit(URI address) throws Exception {
        System.out.println("visit " + address);
        return URI.create(person.readLine());
    }

    private static void say(String words) {
        System.out.println("did " + words);
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) throw new IllegalStateException(otherwise);
    }
}
