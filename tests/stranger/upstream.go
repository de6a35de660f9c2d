package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Upstream is three providers on one port: good, slow (its token endpoint hangs), dead (all of it hangs).
type Upstream struct {
	port  int
	key   *rsa.PrivateKey
	jwks  string
	calls atomic.Int64
	slowJ atomic.Bool
}

func newUpstream() *Upstream {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	u := &Upstream{port: ln.Addr().(*net.TCPAddr).Port, key: k}
	go http.Serve(ln, u)
	return u
}

func stall(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(120 * time.Second):
	}
}

func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.calls.Add(1)
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/client-jwks" {
		if u.slowJ.Load() {
			stall(r)
		}
		w.Write([]byte(u.jwks))
		return
	}
	p := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 2)
	id := p[0]
	if id == "dead" {
		stall(r)
		return
	}
	iss := fmt.Sprintf("http://127.0.0.1:%d/%s", u.port, id)
	rest := ""
	if len(p) > 1 {
		rest = p[1]
	}
	switch rest {
	case ".well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]any{"issuer": iss, "authorization_endpoint": iss + "/authorize", "token_endpoint": iss + "/token", "jwks_uri": iss + "/jwks", "userinfo_endpoint": iss + "/userinfo",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"},
			"scopes_supported": []string{"openid", "profile", "email"}, "token_endpoint_auth_methods_supported": []string{"client_secret_basic"}, "grant_types_supported": []string{"authorization_code"}})
	case "jwks":
		e := big.NewInt(int64(u.key.E)).Bytes()
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "u1", "n": b64(u.key.N.Bytes()), "e": b64(e)}}})
	case "token":
		if id == "slow" {
			stall(r)
			return
		}
		r.ParseForm()
		b, err := base64.RawURLEncoding.DecodeString(r.Form.Get("code"))
		var c map[string]string
		if err != nil || json.Unmarshal(b, &c) != nil {
			w.WriteHeader(400)
			w.Write([]byte(`{"error":"invalid_grant"}`))
			return
		}
		now := time.Now().Unix()
		h := b64([]byte(`{"alg":"RS256","kid":"u1","typ":"JWT"}`))
		pl, _ := json.Marshal(map[string]any{"iss": iss, "sub": c["email"], "aud": "entree", "iat": now, "exp": now + 300, "nonce": c["nonce"], "email": c["email"], "email_verified": true, "name": "Person"})
		d := sha256.Sum256([]byte(h + "." + b64(pl)))
		sig, _ := rsa.SignPKCS1v15(nil, u.key, crypto.SHA256, d[:])
		json.NewEncoder(w).Encode(map[string]any{"access_token": token(20), "token_type": "Bearer", "expires_in": 300, "id_token": h + "." + b64(pl) + "." + b64(sig)})
	default:
		w.WriteHeader(404)
	}
}

// callback is where the provider sends the browser after its own sign-in.
func (u *Upstream) callback(auth *url.URL, email string) string {
	q := auth.Query()
	c, _ := json.Marshal(map[string]string{"email": email, "nonce": q.Get("nonce")})
	return q.Get("redirect_uri") + "?" + url.Values{"code": {b64(c)}, "state": {q.Get("state")}}.Encode()
}
