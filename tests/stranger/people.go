package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// User is an innocent with what they have from before.
type User struct {
	Email     string
	S         *Browser // signed in
	D         *Browser // signed in once, signed out: a known device
	onKnown   sync.Mutex
	AppNet    Net
	AppSecret string
	Refresh   string // of client web
	Access    string
}

type Result struct {
	Kind  string
	Who   string
	At    float64
	Dur   time.Duration
	OK    bool
	Err   string
	Trace []string
	Tries int
}

// client is the server of an application, on a network of its own.
func (w *World) clientServer(ctx context.Context) *Browser {
	n := Net{IP: "80.1.2.3"}
	if w.direct {
		n = Net{IP: "127.199.1.1", Direct: true}
	}
	b := w.person(ctx, n)
	b.jar = nil
	return b
}

func (b *Browser) close() { b.hc.CloseIdleConnections() }

func (w *World) assertion(kid string, good bool) string {
	h := b64([]byte(`{"alg":"ES256","typ":"JWT","kid":"` + kid + `"}`))
	now := time.Now().Unix()
	p := b64([]byte(fmt.Sprintf(`{"iss":"jwt","sub":"jwt","aud":%q,"jti":%q,"iat":%d,"exp":%d}`, w.base, token(16), now, now+60)))
	d := sha256.Sum256([]byte(h + "." + p))
	sig := make([]byte, 64)
	if good {
		r, s, _ := ecdsa.Sign(rand.Reader, w.jwtKey, d[:])
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
	} else {
		rand.Read(sig)
		sig[0], sig[32] = 0, 0
	}
	return h + "." + p + "." + b64(sig)
}

type Tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
	Device  string `json:"device_secret"`
	Error   string `json:"error"`
}

// token asks the token endpoint as the client authenticates itself.
func (w *World) tokenReq(b *Browser, client string, v url.Values) (*Tokens, error) {
	u := w.baseURL.ResolveReference(&url.URL{Path: "/oauth2/token"})
	h := map[string]string{"Accept": "application/json"}
	switch client {
	case "conf":
		h["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte("conf:"+confSecret))
	case "jwt":
		v.Set("client_id", "jwt")
		v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		v.Set("client_assertion", w.assertion("k1", true))
	default:
		v.Set("client_id", client)
	}
	send := b.do
	if client == "jwt" {
		send = b.once // a second try needs an assertion of its own
	}
	r, err := send("POST", u, v.Encode(), "application/x-www-form-urlencoded", h)
	for k := 0; client == "jwt" && k < 3 && (err != nil || r.Status == 503) && b.ctx.Err() == nil; k++ {
		time.Sleep(time.Second)
		v.Set("client_assertion", w.assertion("k1", true))
		r, err = b.once("POST", u, v.Encode(), "application/x-www-form-urlencoded", h)
	}
	if err != nil {
		return nil, err
	}
	var t Tokens
	json.Unmarshal([]byte(r.Body), &t)
	if r.Status != 200 || t.Access == "" {
		return nil, fmt.Errorf("token endpoint for client %s: %d %s", client, r.Status, cut(r.Body, 200))
	}
	return &t, nil
}

func claims(jwt string) map[string]any {
	m := map[string]any{}
	if p := strings.Split(jwt, "."); len(p) == 3 {
		b, _ := base64.RawURLEncoding.DecodeString(p[1])
		json.Unmarshal(b, &m)
	}
	return m
}

func (w *World) userinfo(b *Browser, access, email string) error {
	u := w.baseURL.ResolveReference(&url.URL{Path: "/oauth2/userinfo"})
	r, err := b.do("GET", u, "", "", map[string]string{"Authorization": "Bearer " + access})
	if err != nil {
		return err
	}
	if r.Status != 200 || !strings.Contains(strings.ToLower(r.Body), email) {
		return fmt.Errorf("userinfo: %d %s", r.Status, cut(r.Body, 200))
	}
	return nil
}

type request struct{ verifier, state, nonce, url string }

func (w *World) authRequest(client string) request {
	r := request{token(33), token(12), token(12), ""}
	v := url.Values{"response_type": {"code"}, "client_id": {client}, "redirect_uri": {webRedir}, "scope": {"openid profile email offline_access"},
		"state": {r.state}, "nonce": {r.nonce}, "code_challenge": {challenge(r.verifier)}, "code_challenge_method": {"S256"}}
	r.url = w.base + "/oauth2/authorize?" + v.Encode()
	return r
}

// finish exchanges the code that a browser brings back, and asks who it is.
func (w *World) finish(ctx context.Context, b *Browser, q request, client, email string, back *url.URL) (*Tokens, error) {
	v := back.Query()
	if v.Get("state") != q.state || v.Get("code") == "" {
		return nil, fmt.Errorf("the client gets %s", cut(back.RawQuery, 200))
	}
	cs := w.clientServer(ctx)
	defer cs.close()
	defer func() { b.trace = append(b.trace, cs.trace...) }()
	t, err := w.tokenReq(cs, client, url.Values{"grant_type": {"authorization_code"}, "code": {v.Get("code")}, "redirect_uri": {webRedir}, "code_verifier": {q.verifier}})
	if err != nil {
		return nil, err
	}
	if claims(t.ID)["nonce"] != q.nonce {
		return nil, errors.New("another nonce in the ID token")
	}
	return t, w.userinfo(cs, t.Access, email)
}

func out(w *World, r *Resp) bool {
	return r != nil && r.Loc != nil && r.Status >= 300 && r.Status < 400 && r.Loc.Host != w.baseURL.Host
}

// onward presses what a page offers until the browser leaves for the client.
func (w *World) onward(b *Browser, r *Resp, err error) (*Resp, error) {
	for i := 0; i < 3 && err == nil && !out(w, r) && r.Status == 200; i++ {
		var f Form
		found := false
		for _, x := range forms(r.Body) {
			l := strings.ToLower(x.Action + " " + x.Text)
			_, hasEmail := x.has(func(i Input) bool { return i.Type == "email" || i.Auto == "one-time-code" || i.Name == "code" })
			if !hasEmail && (strings.Contains(l, "continue") || strings.Contains(l, "allow") || strings.Contains(l, "consent")) {
				f, found = x, true
				break
			}
		}
		if !found {
			return r, nil
		}
		r, err = b.submit(r, f, nil)
	}
	return r, err
}

// mine are the emails that a person takes for theirs, by the name of the application and the language.
func mine(ms []Mail, client string) []Mail {
	var o []Mail
	for _, m := range ms {
		if strings.HasPrefix(strings.ToLower(m.Subj), "sign in to "+client+" ") {
			o = append(o, m)
		}
	}
	return o
}

// byEmail goes from the sign-in page to the client, by the code or by the link.
func (w *World) byEmail(b *Browser, page *Resp, client, email string, link bool, tries *int) (*Resp, error) {
	f, name, ok := emailForm(page.Body)
	if !ok {
		return nil, fmt.Errorf("no sign-in form: %s", says(page))
	}
	t0 := time.Now()
	r, err := b.submit(page, f, map[string]string{name: email})
	if err != nil {
		return nil, err
	}
	cf, cname, ok := codeForm(r.Body)
	if !ok {
		return nil, fmt.Errorf("no place for a code: %s", says(r))
	}
	tried := map[string]bool{}
	for {
		ms := mine(w.sink.since(email, t0), client)
		for i := len(ms) - 1; i >= 0; i-- {
			m := ms[i]
			if tried[m.Link] {
				continue
			}
			tried[m.Link] = true
			*tries++
			var x *Resp
			if link || *tries > 3 {
				x, err = b.get(m.Link)
				if err == nil && x.Status == 200 {
					for _, lf := range forms(x.Body) {
						if strings.Contains(lf.Action, "link") || lf.Action == "" {
							x, err = b.submit(x, lf, nil)
							break
						}
					}
				}
			} else {
				x, err = b.submit(r, cf, map[string]string{cname: m.Code})
			}
			x, err = w.onward(b, x, err)
			if err != nil {
				return nil, err
			}
			if out(w, x) {
				return x, nil
			}
			if nf, nn, ok := codeForm(x.Body); ok && !link {
				r, cf, cname = x, nf, nn
			}
			b.note("after the email: %s", cut(says(x), 120+300*(2-min(2, *tries))))
			if dump {
				println(x.H.Get("Refresh"), x.Body)
			}
		}
		select {
		case <-b.ctx.Done():
			return nil, fmt.Errorf("%d emails came, none signed in; the page: %s", len(ms), says(r))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// signIn is the whole way: client, service, mailbox, service, client.
func (w *World) signIn(ctx context.Context, b *Browser, client, email string, link bool, tries *int) (*Tokens, error) {
	q := w.authRequest(client)
	page, err := b.get(q.url)
	if err != nil {
		return nil, err
	}
	if !out(w, page) {
		if page, err = w.byEmail(b, page, client, email, link, tries); err != nil {
			return nil, err
		}
	}
	return w.finish(ctx, b, q, client, email, page.Loc)
}

func (w *World) apiPost(b *Browser, path string, v any) (*Resp, error) {
	j, _ := json.Marshal(v)
	return b.do("POST", w.baseURL.ResolveReference(&url.URL{Path: path}), string(j), "application/json", map[string]string{"Accept": "application/json"})
}

func (w *World) appSignIn(b *Browser, email, secret string, v2 bool, tries *int) (*Tokens, error) {
	ver := token(33)
	m := map[string]any{"client_id": "app", "email": email, "code_challenge": challenge(ver), "code_challenge_method": "S256"}
	if secret != "" {
		m["device_secret"] = secret
	}
	t0 := time.Now()
	path := "/api/v1/auth/magic-link/request"
	if v2 {
		path = "/api/v2/logins"
	}
	r, err := w.apiPost(b, path, m)
	if err != nil {
		return nil, err
	}
	var st struct {
		Flow string `json:"flow_id"`
		With int    `json:"withheld_for"`
	}
	json.Unmarshal([]byte(r.Body), &st)
	if st.Flow == "" {
		return nil, fmt.Errorf("the app gets %d %s", r.Status, cut(r.Body, 300))
	}
	if st.With > 0 {
		return nil, fmt.Errorf("the app gets withheld_for=%d", st.With)
	}
	if v2 { // what such an app does: follow the login
		sctx, cancel := context.WithCancel(b.ctx)
		defer cancel()
		go func() {
			req, _ := http.NewRequestWithContext(sctx, "GET", w.base+"/api/v2/logins/"+st.Flow+"/events", nil)
			req.Header.Set("Code-Verifier", ver)
			if !b.net.Direct {
				req.Header.Set("X-Forwarded-For", b.net.IP)
			}
			if res, err := b.hc.Do(req); err == nil {
				buf := make([]byte, 4096)
				n, _ := res.Body.Read(buf)
				if res.StatusCode != 200 || n == 0 {
					w.notef("innocent's event stream: %d %s", res.StatusCode, cut(string(buf[:n]), 100))
				}
				<-sctx.Done()
				res.Body.Close()
			} else if sctx.Err() == nil {
				w.notef("innocent's event stream: %v", cutErr(err))
			}
		}()
	}
	tried := map[string]bool{}
	for {
		ms := mine(w.sink.since(email, t0), "app")
		for i := len(ms) - 1; i >= 0; i-- {
			if tried[ms[i].Code] {
				continue
			}
			tried[ms[i].Code] = true
			*tries++
			c := map[string]any{"flow_id": st.Flow, "code_verifier": ver, "code": ms[i].Code, "scope": "openid email offline_access"}
			if secret != "" {
				c["device_secret"] = secret
			}
			cp := "/api/v1/auth/magic-link/consume"
			if v2 {
				cp = "/api/v2/logins/" + st.Flow + "/code"
				delete(c, "flow_id")
			}
			r, err := w.apiPost(b, cp, c)
			if err != nil {
				return nil, err
			}
			var t Tokens
			json.Unmarshal([]byte(r.Body), &t)
			if r.Status == 200 && t.Access != "" {
				return &t, w.userinfo(b, t.Access, email)
			}
			b.note("the app's code: %d %s", r.Status, cut(r.Body, 60))
			if *tries == 4 { // a person asks for another email
				time.Sleep(500 * time.Millisecond)
				return w.appSignIn(b, email, secret, v2, tries)
			}
		}
		select {
		case <-b.ctx.Done():
			return nil, fmt.Errorf("%d emails came, none signed in", len(ms))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (w *World) signOut(b *Browser) error {
	r, err := b.get(w.base + "/oauth2/logout?client_id=web")
	if err != nil {
		return err
	}
	for _, f := range forms(r.Body) {
		if strings.EqualFold(f.Method, "post") {
			_, err = b.submit(r, f, nil)
			return err
		}
	}
	return nil
}

func (w *World) setup(n int) error {
	w.users = make([]*User, n)
	errs := make([]error, n)
	sem := make(chan bool, 4)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		sem <- true
		go func() {
			defer wg.Done()
			defer func() { <-sem }()
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			defer cancel()
			u := &User{Email: fmt.Sprintf("person%d@people.example", i)}
			w.users[i] = u
			tries := 0
			u.S = w.person(ctx, w.nextNet())
			t, err := w.signIn(ctx, u.S, "web", u.Email, false, &tries)
			if err != nil {
				errs[i] = fmt.Errorf("S: %w %v", err, u.S.trace)
				return
			}
			u.Refresh, u.Access = t.Refresh, t.Access
			u.D = w.person(ctx, w.nextNet())
			if _, err = w.signIn(ctx, u.D, "conf", u.Email, true, &tries); err != nil {
				errs[i] = fmt.Errorf("D: %w %v", err, u.D.trace)
				return
			}
			if err = w.signOut(u.D); err != nil {
				errs[i] = fmt.Errorf("sign-out: %w %v", err, u.D.trace)
				return
			}
			u.AppNet = w.nextNet()
			b := w.person(ctx, u.AppNet)
			defer b.close()
			if t, err = w.appSignIn(b, u.Email, "", false, &tries); err != nil {
				errs[i] = fmt.Errorf("app: %w %v", err, b.trace)
				return
			}
			u.AppSecret = t.Device
			u.S.close()
			u.D.close()
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// run one innocent of a kind; slow is how long they look for the email in the real world.
func (w *World) innocent(parent context.Context, kind string, i int, began time.Time) Result {
	ctx, cancel := context.WithTimeout(parent, 30*time.Second)
	defer cancel()
	u := w.users[i%len(w.users)]
	res := Result{Kind: kind, Who: u.Email, At: time.Since(began).Seconds()}
	t0 := time.Now()
	var err error
	var b *Browser
	link := i%2 == 1
	client := []string{"web", "conf", "jwt"}[i%3]
	if client == "jwt" && time.Since(w.started) < 62*time.Second {
		client = "web" // a new ticket store makes such clients wait for a minute, as the documentation says
	}
	switch kind {
	case "known":
		// One browser, in which a person signs in and out once at a time.
		u.onKnown.Lock()
		defer u.onKnown.Unlock()
		t0 = time.Now()
		b = u.D.fresh(ctx)
		_, err = w.signIn(ctx, b, client, u.Email, link, &res.Tries)
		res.Dur = time.Since(t0)
		if err == nil {
			b.ctx = context.Background()
			w.signOut(b)
		}
	case "new":
		b = w.person(ctx, w.nextNet())
		_, err = w.signIn(ctx, b, client, u.Email, link, &res.Tries)
	case "newcomer":
		res.Who = fmt.Sprintf("new%d-%s@people.example", i, strings.ToLower(token(3)))
		res.Who = strings.ReplaceAll(res.Who, "_", "x")
		b = w.person(ctx, w.nextNet())
		_, err = w.signIn(ctx, b, client, res.Who, link, &res.Tries)
	case "neighbour": // a new device on the attackers' network
		b = w.person(ctx, w.users[0].D.net)
		_, err = w.signIn(ctx, b, client, u.Email, link, &res.Tries)
	case "app":
		b = w.person(ctx, u.AppNet)
		_, err = w.appSignIn(b, u.Email, u.AppSecret, false, &res.Tries)
	case "appv2":
		b = w.person(ctx, u.AppNet)
		_, err = w.appSignIn(b, u.Email, u.AppSecret, true, &res.Tries)
	case "appnew":
		b = w.person(ctx, w.nextNet())
		_, err = w.appSignIn(b, u.Email, "", false, &res.Tries)
	case "session":
		b = u.S.fresh(ctx)
		err = w.session(ctx, b, u, client)
	case "provider":
		b = w.person(ctx, w.nextNet())
		err = w.provider(ctx, b, client)
	case "slowperson": // looks for the email for some seconds before the code
		b = w.person(ctx, w.nextNet())
		var d time.Duration
		d, err = w.slowly(ctx, b, u.Email, &res.Tries)
		t0 = t0.Add(d)
	}
	if res.Dur == 0 {
		res.Dur = time.Since(t0)
	}
	res.OK = err == nil && res.Dur <= 15*time.Second
	if err != nil {
		res.Err = err.Error()
	}
	res.Trace = b.trace
	b.close()
	return res
}

func (w *World) session(ctx context.Context, b *Browser, u *User, client string) error {
	tries := 0
	t, err := w.signIn(ctx, b, client, u.Email, false, &tries)
	if err != nil {
		return err
	}
	if tries > 0 {
		return errors.New("the session is gone: an email was needed")
	}
	cs := w.clientServer(ctx)
	defer cs.close()
	defer func() { b.trace = append(b.trace, cs.trace...) }()
	n, err := w.tokenReq(cs, client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}})
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if err := w.userinfo(cs, n.Access, u.Email); err != nil {
		return err
	}
	r, err := cs.do("POST", w.baseURL.ResolveReference(&url.URL{Path: "/oauth2/introspect"}), url.Values{"token": {n.Access}}.Encode(), "application/x-www-form-urlencoded",
		map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("rs:"+rsSecret))})
	if err != nil {
		return err
	}
	if r.Status != 200 || !strings.Contains(r.Body, `"active":true`) {
		return fmt.Errorf("introspection: %d %s", r.Status, cut(r.Body, 200))
	}
	return nil
}

func (w *World) slowly(ctx context.Context, b *Browser, email string, tries *int) (time.Duration, error) {
	q := w.authRequest("web")
	page, err := b.get(q.url)
	if err != nil {
		return 0, err
	}
	time.Sleep(6 * time.Second)
	f, name, ok := emailForm(page.Body)
	if !ok {
		return 6 * time.Second, fmt.Errorf("no form: %s", says(page))
	}
	t0 := time.Now()
	r, err := b.submit(page, f, map[string]string{name: email})
	if err != nil {
		return 6 * time.Second, err
	}
	cf, cname, ok := codeForm(r.Body)
	if !ok {
		return 6 * time.Second, fmt.Errorf("no place for a code: %s", says(r))
	}
	time.Sleep(6 * time.Second)
	for ctx.Err() == nil {
		if ms := mine(w.sink.since(email, t0), "web"); len(ms) > 0 {
			*tries++
			x, err := b.submit(r, cf, map[string]string{cname: ms[len(ms)-1].Code})
			x, err = w.onward(b, x, err)
			if err != nil {
				return 12 * time.Second, err
			}
			if !out(w, x) {
				return 12 * time.Second, fmt.Errorf("after the code: %s", says(x))
			}
			_, err = w.finish(ctx, b, q, "web", email, x.Loc)
			return 12 * time.Second, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 12 * time.Second, errors.New("no email")
}

// provider signs a newcomer in with the provider that works.
func (w *World) provider(ctx context.Context, b *Browser, client string) error {
	q := w.authRequest(client)
	page, err := b.get(q.url)
	if err != nil {
		return err
	}
	r, err := w.press(b, page, "good")
	if err != nil {
		return err
	}
	email := "p" + strings.ToLower(strings.Map(func(r rune) rune {
		if r == '-' || r == '_' {
			return 'x'
		}
		return r
	}, token(6))) + "@people.example"
	r, err = b.get(w.up.callback(r.Loc, email))
	r, err = w.onward(b, r, err)
	if err != nil {
		return err
	}
	if !out(w, r) {
		return fmt.Errorf("after the provider: %s", says(r))
	}
	_, err = w.finish(ctx, b, q, client, email, r.Loc)
	return err
}

// press presses the button of a provider on a sign-in page.
func (w *World) press(b *Browser, page *Resp, id string) (*Resp, error) {
	for _, f := range forms(page.Body) {
		if strings.Contains(f.Action, "/login/upstream/"+id) {
			r, err := b.submit(page, f, nil)
			if err != nil {
				return nil, err
			}
			if !out(w, r) {
				return r, fmt.Errorf("the button of %s leads to: %s", id, says(r))
			}
			return r, nil
		}
	}
	return nil, fmt.Errorf("no button of %s: %s", id, says(page))
}
