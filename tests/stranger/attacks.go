package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Attack is one row of the report.
type Attack struct {
	Name, Rule string
	TLS        bool
	Direct     bool
	Conf       Conf
	Plan       string // kinds of innocents; those after a | are reported, and not promised
	Each       int    // of each kind
	Secs       float64
	Users      int
	Run        func(ctx context.Context, w *World)
	After      func(w *World) // what else is to be counted
}

// swarm runs fn by conc workers until the time is over, or limit is reached.
func (w *World) swarm(ctx context.Context, conc, limit int, fn func(i int)) {
	var n atomic.Int64
	var wg sync.WaitGroup
	if small > 0 && (limit == 0 || limit > small) {
		limit = small
	}
	for range conc {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for ctx.Err() == nil {
				i := int(n.Add(1)) - 1
				if limit > 0 && i >= limit {
					return
				}
				fn(i)
			}
		}()
	}
	wg.Wait()
}

func (w *World) net(i int) Net { return attackerNet(i % w.N) }

func (w *World) count(r *Resp, err error) *Resp {
	if err != nil {
		w.stat("error: " + cutErr(err))
		return nil
	}
	w.stat(fmt.Sprint(r.Status))
	return r
}

// begin requests an email as a stranger's browser does; the waiting page comes back.
func (w *World) begin(ctx context.Context, n Net, email string, extra map[string]string) (*Browser, *Resp) {
	b := w.attacker(ctx, n)
	b.extra = extra
	start := w.base + "/login"
	if w.mimic {
		start = w.base + w.fatURL(100, "")
	}
	page := w.count(b.get(start))
	if page == nil {
		return b, nil
	}
	f, name, ok := emailForm(page.Body)
	if !ok {
		w.stat("no form")
		return b, nil
	}
	r := w.count(b.submit(page, f, map[string]string{name: email}))
	if r != nil {
		if _, _, ok := codeForm(r.Body); ok {
			w.stat("begun")
		}
	}
	return b, r
}

func (w *World) appBegin(ctx context.Context, n Net, email, secret string) (string, string) {
	b := w.attacker(ctx, n)
	b.jar = nil
	ver := token(33)
	m := map[string]any{"client_id": "app", "email": email, "code_challenge": challenge(ver), "code_challenge_method": "S256"}
	if secret != "" {
		m["device_secret"] = secret
	}
	r := w.count(w.apiPost(b, "/api/v1/auth/magic-link/request", m))
	if r == nil {
		return "", ""
	}
	var st struct {
		Flow string `json:"flow_id"`
	}
	json.Unmarshal([]byte(r.Body), &st)
	return st.Flow, ver
}

func (w *World) victim(i int) *User { return w.users[i%len(w.users)] }

func wrongCode() string { return fmt.Sprintf("%08d", rand.IntN(100000000)) }

func (w *World) atkForm(ctx context.Context, n Net, path string, v url.Values, hdr map[string]string) *Resp {
	b := w.attacker(ctx, n)
	b.jar = nil
	u := w.baseURL.ResolveReference(&url.URL{Path: path})
	return w.count(b.once("POST", u, v.Encode(), "application/x-www-form-urlencoded", hdr))
}

func (w *World) atkGet(ctx context.Context, n Net, path string, hdr map[string]string) *Resp {
	b := w.attacker(ctx, n)
	b.jar = nil
	uu, err := url.Parse(w.base + path)
	if err != nil {
		w.stat("bad url")
		return nil
	}
	return w.count(b.once("GET", uu, "", "", hdr))
}

func mails(n int, app bool) func(context.Context, *World) {
	return func(ctx context.Context, w *World) {
		w.N = n
		w.swarm(ctx, 64, 0, func(i int) {
			v := w.victim(i / n).Email
			if app {
				w.appBegin(ctx, w.net(i), v, "")
			} else {
				w.begin(ctx, w.net(i), v, nil)
			}
		})
	}
}

// mimic asks for emails that look just like the victim's own.
func mimic(n int) func(context.Context, *World) {
	return func(ctx context.Context, w *World) {
		w.N, w.mimic = n, true
		w.swarm(ctx, 64, 0, func(i int) {
			if v := w.victim(i / n).Email; i%2 == 0 {
				w.begin(ctx, w.net(i), v, nil)
			} else {
				w.appBegin(ctx, w.net(i), v, "")
			}
		})
	}
}

func codes(n int) func(context.Context, *World) {
	return func(ctx context.Context, w *World) {
		w.N = n
		w.swarm(ctx, 64, 0, func(i int) {
			v := w.victim(i / n).Email
			if i%2 == 0 {
				b, r := w.begin(ctx, w.net(i), v, nil)
				for k := 0; r != nil && k < 6; k++ {
					f, name, ok := codeForm(r.Body)
					if !ok {
						return
					}
					r = w.count(b.submit(r, f, map[string]string{name: wrongCode()}))
				}
				return
			}
			flow, ver := w.appBegin(ctx, w.net(i), v, "")
			b := w.attacker(ctx, w.net(i))
			for k := 0; flow != "" && k < 6; k++ {
				w.count(w.apiPost(b, "/api/v1/auth/magic-link/consume", map[string]any{"flow_id": flow, "code_verifier": ver, "code": wrongCode()}))
			}
		})
	}
}

// fatURL is an authorization request as large as may be.
func (w *World) fatURL(bytes int, extra string) string {
	n := bytes / 2
	v := url.Values{"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {webRedir}, "scope": {"openid profile email"},
		"state": {token(6) + strings.Repeat("s", max(0, n-8))}, "nonce": {token(6) + strings.Repeat("n", max(0, n-8))}, "code_challenge": {challenge(token(33))}, "code_challenge_method": {"S256"}}
	return "/oauth2/authorize?" + v.Encode() + extra
}

// hold keeps per connections of every network open, and tends to each of them every second.
func (w *World) hold(ctx context.Context, nets, per int, withTLS bool, first string, each string) {
	var wg sync.WaitGroup
	gate := make(chan bool, 64)
	for i := range nets * per {
		wg.Add(1)
		go func() {
			defer wg.Done()
			src := directAttacker(i % nets).IP
			for ctx.Err() == nil {
				gate <- true
				c, err := w.rawDial(ctx, src, withTLS)
				<-gate
				if err != nil {
					w.stat("no connection: " + cutErr(err))
					sleep(ctx, 500*time.Millisecond)
					continue
				}
				w.stat("opened")
				stop := context.AfterFunc(ctx, func() { c.Close() })
				io.WriteString(c, first)
				closed := make(chan bool)
				if each != "unread" {
					go func() { io.Copy(io.Discard, c); close(closed) }()
				}
				for k := 0; ; k++ {
					sleep(ctx, time.Second)
					if each != "" && each != "unread" {
						if _, err := io.WriteString(c, each[k%len(each):k%len(each)+1]); err != nil {
							break
						}
					}
					if ctx.Err() != nil {
						break
					}
					gone := false
					if each == "unread" {
						_, err := io.WriteString(c, first)
						gone = err != nil
					} else {
						select {
						case <-closed:
							gone = true
						default:
						}
					}
					if gone {
						break
					}
				}
				w.stat("ended")
				stop()
				c.Close()
				sleep(ctx, 100*time.Millisecond)
			}
		}()
	}
	wg.Wait()
}

func (w *World) hostLine() string { return "Host: " + w.addr + "\r\n" }

const uaHdr = "User-Agent: x\r\n"

func formHF(w *World) []hf {
	return []hf{{Name: "content-type", Value: "application/x-www-form-urlencoded"}, {Name: "origin", Value: w.base}, {Name: "sec-fetch-site", Value: "same-origin"}}
}

// formShape takes the hidden fields of the sign-in page and a cookie of its own, for requests that are as right as can
// be.
func (w *World) formShape(n Net) (cookie string, v url.Values, action, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	b := w.person(ctx, n)
	defer b.close()
	page, err := b.get(w.base + "/login")
	if err != nil {
		return
	}
	f, name, ok := emailForm(page.Body)
	if !ok {
		return
	}
	v = url.Values{}
	for _, in := range f.Inputs {
		v.Set(in.Name, in.Value)
	}
	var cs []string
	for _, c := range b.jar.Cookies(w.baseURL.ResolveReference(&url.URL{Path: "/login/email"})) {
		cs = append(cs, c.Name+"="+c.Value)
	}
	return strings.Join(cs, "; "), v, "/login/email", name
}

func (w *World) h2four(which string) func(i int) ([]hf, []byte) {
	src := directAttacker(0)
	cookie, v, action, name := w.formShape(src)
	withCookie := append(formHF(w), hf{Name: "cookie", Value: cookie})
	// a flow of the attacker's own, for the endpoint that takes codes
	var codeCookie, codeBody string
	if which == "code" {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		b := w.person(ctx, src)
		defer b.close()
		if page, err := b.get(w.base + "/login"); err == nil {
			if f, n, ok := emailForm(page.Body); ok {
				if r, err := b.submit(page, f, map[string]string{n: "me@attacker.example"}); err == nil {
					if cf, cn, ok := codeForm(r.Body); ok {
						cv := url.Values{}
						for _, in := range cf.Inputs {
							cv.Set(in.Name, in.Value)
						}
						cv.Set(cn, "00000000")
						codeBody = cv.Encode()
						var cs []string
						for _, c := range b.jar.Cookies(w.baseURL.ResolveReference(&url.URL{Path: "/login/code"})) {
							cs = append(cs, c.Name+"="+c.Value)
						}
						codeCookie = strings.Join(cs, "; ")
					}
				}
			}
		}
	}
	return func(i int) ([]hf, []byte) {
		switch which {
		case "email":
			x := url.Values{}
			for k, y := range v {
				x[k] = y
			}
			x.Set(name, fmt.Sprintf("h%d@attacker.example", i))
			return w.h2fields("POST", action, withCookie...), []byte(x.Encode())
		case "authorize":
			return w.h2fields("GET", w.fatURL(200, "")), nil
		case "token":
			return w.h2fields("POST", "/oauth2/token", hf{Name: "content-type", Value: "application/x-www-form-urlencoded"}),
				[]byte("grant_type=authorization_code&client_id=web&code=" + token(32) + "&redirect_uri=" + url.QueryEscape(webRedir) + "&code_verifier=" + token(33))
		case "code":
			return w.h2fields("POST", "/login/code", append(formHF(w), hf{Name: "cookie", Value: codeCookie})...), []byte(codeBody)
		case "apicode":
			return w.h2fields("POST", "/api/v1/auth/magic-link/consume", hf{Name: "content-type", Value: "application/json"}),
				[]byte(`{"flow_id":"9736b860-f8a9-4cf8-981f-e304f0617e96","code_verifier":"` + token(33) + `","code":"12345678"}`)
		case "apirequest":
			return w.h2fields("POST", "/api/v1/auth/magic-link/request", hf{Name: "content-type", Value: "application/json"}),
				[]byte(fmt.Sprintf(`{"client_id":"app","email":"q%d@attacker.example","code_challenge":"%s","code_challenge_method":"S256"}`, i, challenge(token(33))))
		case "secret":
			return w.h2fields("POST", "/oauth2/token", hf{Name: "content-type", Value: "application/x-www-form-urlencoded"}, hf{Name: "authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte("conf:"+token(20)))}),
				[]byte("grant_type=refresh_token&refresh_token=" + token(32))
		case "bearer":
			return w.h2fields("GET", "/oauth2/userinfo", hf{Name: "authorization", Value: "Bearer " + token(300)}), nil
		case "link":
			return w.h2fields("GET", "/login/link/"+token(32)), nil
		default: // all of them
			return nil, nil
		}
	}
}

func h2one(which string) func(context.Context, *World) {
	return func(ctx context.Context, w *World) {
		w.N = 1
		w.h2load(ctx, directAttacker(0).IP, 64, 32, w.h2four(which))
	}
}

func h2all() func(context.Context, *World) {
	return func(ctx context.Context, w *World) {
		w.N = 1
		var rs []func(int) ([]hf, []byte)
		for _, k := range []string{"email", "authorize", "token", "code", "apirequest", "bearer"} {
			rs = append(rs, w.h2four(k))
		}
		w.h2load(ctx, directAttacker(0).IP, 64, 32, func(i int) ([]hf, []byte) { return rs[i%len(rs)](i) })
	}
}

// signUpAttackers makes attackers with an account of their own: a browser, and an app's device secret.
func (w *World) signUpAttackers(ctx context.Context, n int) (bs []*Browser, secrets []string) {
	for i := range n {
		t := 0
		b := w.person(ctx, attackerNet(5000+2*i))
		email := fmt.Sprintf("own%d@attacker.example", i)
		if _, err := w.signIn(ctx, b, "web", email, false, &t); err != nil {
			w.notef("an attacker's own account: %v", err)
			continue
		}
		bs = append(bs, b)
		ab := w.person(ctx, attackerNet(5001+2*i))
		if tk, err := w.appSignIn(ab, email, "", false, &t); err == nil {
			secrets = append(secrets, tk.Device)
		} else {
			w.notef("an attacker's own app: %v", err)
		}
		ab.close()
	}
	return
}

// cookiesOf writes the cookies of a browser as they would be sent.
func (w *World) cookiesOf(b *Browser) map[string]string {
	m := map[string]string{}
	for _, p := range []string{"/", "/login", "/login/email", "/oauth2/authorize", "/account"} {
		for _, c := range b.jar.Cookies(w.baseURL.ResolveReference(&url.URL{Path: p})) {
			m[c.Name] = c.Value
		}
	}
	return m
}

func suffix(d string, mode string) func(string) string {
	return func(a string) string {
		if strings.HasSuffix(a, d) {
			return mode
		}
		return ""
	}
}

func hangs(mode string, wild bool) func(context.Context, *World) {
	return func(ctx context.Context, w *World) {
		w.N = int(100 * w.scale)
		if w.N < 8 {
			w.N = 8
		}
		w.sink.setRule(suffix("slow.example", mode))
		w.swarm(ctx, 32, w.N*20, func(i int) {
			d := "slow.example"
			if wild {
				d = fmt.Sprintf("d%d.slow.example", i)
			}
			w.begin(ctx, w.net(i), fmt.Sprintf("a%d@%s", i, d), nil)
			if i > 400 {
				sleep(ctx, 100*time.Millisecond)
			}
		})
		<-ctx.Done()
	}
}
