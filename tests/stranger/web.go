package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Net is where a caller comes from: a source address of their own, or one named by the trusted proxy.
type Net struct {
	IP     string
	Direct bool
}

func attackerNet(i int) Net {
	j := i / 2
	if i%2 == 0 {
		return Net{IP: fmt.Sprintf("%d.%d.17.9", 20+(j>>8)%60, j&255)}
	}
	return Net{IP: fmt.Sprintf("2a0b:%x:1::9", 1+j)}
}

func peopleNet(k int) Net {
	if k%2 == 0 {
		return Net{IP: fmt.Sprintf("90.%d.%d.20", (k>>8)&255, k&255)}
	}
	return Net{IP: fmt.Sprintf("2a02:%x:1::20", 0x100+k)}
}

func directAttacker(i int) Net {
	return Net{IP: fmt.Sprintf("127.%d.%d.5", 1+(i>>8), i&255), Direct: true}
}
func directPerson(k int) Net {
	return Net{IP: fmt.Sprintf("127.%d.%d.20", 150+((k>>8)&15), k&255), Direct: true}
}

type countConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c countConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

func dialer(src string) *net.Dialer {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: -1}
	if src != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(src)}
	}
	return d
}

// transport of one party. sent counts the bytes, if given.
func (w *World) transport(n Net, sent *atomic.Int64, idle int, h2 bool) *http.Transport {
	src := "127.0.0.1"
	if n.Direct {
		src = n.IP
	}
	d := dialer(src)
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := d.DialContext(ctx, "tcp", w.addr)
			if err != nil || sent == nil {
				return c, err
			}
			return countConn{c, sent}, nil
		},
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true, ServerName: "127.0.0.1"},
		ForceAttemptHTTP2:   h2 && w.tls,
		MaxIdleConnsPerHost: idle, MaxIdleConns: 0, DisableCompression: true,
		IdleConnTimeout: 60 * time.Second, TLSHandshakeTimeout: 12 * time.Second,
	}
}

type Resp struct {
	Status int
	H      http.Header
	Body   string
	Loc    *url.URL
	URL    *url.URL
	Req    string
}

type Browser struct {
	w       *World
	net     Net
	hc      *http.Client
	jar     *cookiejar.Jar
	lang    string
	patient bool // presses again at 503 and broken connections, as a person or a browser does
	ctx     context.Context
	trace   []string
	extra   map[string]string
	retries int
}

func (w *World) person(ctx context.Context, n Net) *Browser {
	jar, _ := cookiejar.New(nil)
	b := &Browser{w: w, net: n, jar: jar, lang: "en", patient: true, ctx: ctx}
	b.hc = &http.Client{Transport: w.transport(n, nil, 6, true), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 20 * time.Second}
	return b
}

// fresh takes the cookies of b into a new connection and a new trace.
func (b *Browser) fresh(ctx context.Context) *Browser {
	nb := b.w.person(ctx, b.net)
	nb.jar = b.jar
	return nb
}

func (w *World) attacker(ctx context.Context, n Net) *Browser {
	jar, _ := cookiejar.New(nil)
	lang := "fr"
	if w.mimic {
		lang = "en"
	}
	return &Browser{w: w, net: n, jar: jar, lang: lang, ctx: ctx, hc: w.atkClient(n)}
}

func (w *World) atkClient(n Net) *http.Client {
	key := ""
	if n.Direct {
		key = n.IP
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.atkHC[key]; ok {
		return c
	}
	c := &http.Client{Transport: w.transport(n, &w.sent, 4096, false), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 60 * time.Second}
	w.atkHC[key] = c
	return c
}

func (b *Browser) note(f string, a ...any) {
	if len(b.trace) < 60 {
		b.trace = append(b.trace, fmt.Sprintf(f, a...))
	}
}

func (b *Browser) once(method string, u *url.URL, body, ctype string, hdr map[string]string) (*Resp, error) {
	var rd io.Reader
	if body != "" || method == "POST" {
		rd = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(b.ctx, method, u.String(), rd)
	if err != nil {
		return nil, err
	}
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	req.Header.Set("Accept-Language", b.lang)
	if b.jar != nil {
		for _, c := range b.jar.Cookies(u) {
			req.AddCookie(c)
		}
	}
	if !b.net.Direct {
		req.Header.Set("X-Forwarded-For", b.net.IP)
	}
	for k, v := range hdr {
		req.Header.Set(k, v)
	}
	for k, v := range b.extra {
		if k == "Cookie" && req.Header.Get("Cookie") != "" {
			v = req.Header.Get("Cookie") + "; " + v
		}
		req.Header.Set(k, v)
	}
	t0 := time.Now()
	res, err := b.hc.Do(req)
	if err != nil {
		b.note("%s %s -> %v after %dms", method, cut(u.Path, 60), cutErr(err), time.Since(t0).Milliseconds())
		return nil, err
	}
	defer res.Body.Close()
	buf, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		b.note("%s %s -> %d, body: %v", method, cut(u.Path, 60), res.StatusCode, cutErr(err))
		return nil, err
	}
	if b.jar != nil {
		b.jar.SetCookies(u, res.Cookies())
	}
	r := &Resp{Status: res.StatusCode, H: res.Header, Body: string(buf), URL: u, Req: method + " " + u.RequestURI()}
	if l := res.Header.Get("Location"); l != "" {
		if lu, err := url.Parse(l); err == nil {
			r.Loc = u.ResolveReference(lu)
		}
	}
	b.note("%s %s -> %d in %dms", method, cut(u.Path, 60), r.Status, time.Since(t0).Milliseconds())
	return r, nil
}

func (b *Browser) do(method string, u *url.URL, body, ctype string, hdr map[string]string) (*Resp, error) {
	r, err := b.once(method, u, body, ctype, hdr)
	if !b.patient {
		return r, err
	}
	for try := 0; try < 4 && b.ctx.Err() == nil && (err != nil || r.Status == 503); try++ {
		wait := 300 * time.Millisecond
		if r != nil {
			wait = time.Second
			if s, e := strconv.Atoi(r.H.Get("Retry-After")); e == nil && s >= 1 && s <= 5 {
				wait = time.Duration(s) * time.Second
			}
		}
		b.retries++
		select {
		case <-b.ctx.Done():
		case <-time.After(wait):
		}
		r, err = b.once(method, u, body, ctype, hdr)
	}
	return r, err
}

var navigate = map[string]string{"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Upgrade-Insecure-Requests": "1"}

func (b *Browser) formHdr(from *url.URL) map[string]string {
	return map[string]string{"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1", "Origin": b.w.base, "Referer": from.String()}
}

func (b *Browser) get(u string) (*Resp, error) {
	uu, err := url.Parse(u)
	if err != nil {
		return nil, err
	}
	if !uu.IsAbs() {
		uu = b.w.baseURL.ResolveReference(uu)
	}
	return b.follow(b.do("GET", uu, "", "", navigate))
}

// follow goes along redirects within the service; one that leads out is returned as it is.
func (b *Browser) follow(r *Resp, err error) (*Resp, error) {
	for i := 0; i < 10; i++ {
		if err == nil && r.Status == 200 && r.Loc == nil { // a page that leads on at once
			if m := reRefresh.FindStringSubmatch(r.Body); m != nil {
				if u, e := url.Parse(html.UnescapeString(m[1])); e == nil {
					r.Status, r.Loc = 303, r.URL.ResolveReference(u)
				}
			}
		}
		if err != nil || r.Loc == nil || r.Status < 300 || r.Status > 399 || r.Loc.Host != b.w.baseURL.Host {
			return r, err
		}
		r, err = b.do("GET", r.Loc, "", "", navigate)
	}
	return r, errors.New("redirects without end")
}

func (b *Browser) submit(page *Resp, f Form, set map[string]string) (*Resp, error) {
	v := url.Values{}
	for _, in := range f.Inputs {
		if in.Name != "" {
			if in.Type == "checkbox" && !in.Checked {
				continue
			}
			v.Add(in.Name, in.Value)
		}
	}
	if len(f.Buttons) > 0 && f.Buttons[0].Name != "" {
		v.Set(f.Buttons[0].Name, f.Buttons[0].Value)
	}
	for k, x := range set {
		v.Set(k, x)
	}
	act, err := url.Parse(f.Action)
	if err != nil {
		return nil, err
	}
	u := page.URL.ResolveReference(act)
	if strings.EqualFold(f.Method, "get") {
		u.RawQuery = v.Encode()
		return b.follow(b.do("GET", u, "", "", b.formHdr(page.URL)))
	}
	return b.follow(b.do("POST", u, v.Encode(), "application/x-www-form-urlencoded", b.formHdr(page.URL)))
}

type Input struct {
	Name, Type, Value, Auto string
	Checked                 bool
}
type Form struct {
	Action, Method string
	Inputs         []Input
	Buttons        []Input
	Text           string
}

var (
	reForm    = regexp.MustCompile(`(?is)<form\b([^>]*)>(.*?)</form>`)
	reInput   = regexp.MustCompile(`(?is)<(input|textarea|select)\b([^>]*)>`)
	reBtn     = regexp.MustCompile(`(?is)<button\b([^>]*)>`)
	reAttr    = regexp.MustCompile(`(?s)([a-zA-Z-]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]+))?`)
	reTag     = regexp.MustCompile(`(?s)<(script|style)\b.*?</(script|style)>|<[^>]*>`)
	reRefresh = regexp.MustCompile(`(?i)<meta http-equiv="refresh" content="0; ?url=([^"]*)"`)
	reWS      = regexp.MustCompile(`\s+`)
)

func attrs(s string) map[string]string {
	m := map[string]string{}
	for _, a := range reAttr.FindAllStringSubmatch(s, -1) {
		v := strings.Trim(a[2], `"'`)
		m[strings.ToLower(a[1])] = html.UnescapeString(v)
	}
	return m
}

func forms(page string) []Form {
	var out []Form
	for _, m := range reForm.FindAllStringSubmatch(page, -1) {
		a := attrs(m[1])
		f := Form{Action: a["action"], Method: a["method"], Text: text(m[2])}
		for _, i := range reInput.FindAllStringSubmatch(m[2], -1) {
			x := attrs(i[2])
			_, ch := x["checked"]
			f.Inputs = append(f.Inputs, Input{x["name"], strings.ToLower(x["type"]), x["value"], x["autocomplete"], ch})
		}
		for _, i := range reBtn.FindAllStringSubmatch(m[2], -1) {
			x := attrs(i[1])
			f.Buttons = append(f.Buttons, Input{Name: x["name"], Value: x["value"]})
		}
		out = append(out, f)
	}
	return out
}

func (f Form) has(pred func(Input) bool) (string, bool) {
	for _, i := range f.Inputs {
		if pred(i) {
			return i.Name, true
		}
	}
	return "", false
}

func emailForm(page string) (Form, string, bool) {
	for _, f := range forms(page) {
		if n, ok := f.has(func(i Input) bool { return i.Type != "hidden" && (i.Type == "email" || i.Name == "email") }); ok {
			return f, n, true
		}
	}
	return Form{}, "", false
}
func codeForm(page string) (Form, string, bool) {
	for _, f := range forms(page) {
		if n, ok := f.has(func(i Input) bool { return i.Type != "hidden" && (i.Auto == "one-time-code" || i.Name == "code") }); ok {
			return f, n, true
		}
	}
	return Form{}, "", false
}

func text(page string) string {
	return strings.TrimSpace(reWS.ReplaceAllString(html.UnescapeString(reTag.ReplaceAllString(page, " ")), " "))
}

// main part of a page in words, for the report.
func says(r *Resp) string {
	if r == nil {
		return "nothing"
	}
	s := r.Body
	if i := strings.Index(s, "<main"); i >= 0 {
		s = s[i:]
	} else if i := strings.Index(s, "<body"); i >= 0 {
		s = s[i:]
	}
	ra := ""
	if x := r.H.Get("Retry-After"); x != "" {
		ra = " retry-after=" + x
	}
	return fmt.Sprintf("%d%s %q", r.Status, ra, cut(text(s), 420))
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
func cutErr(err error) string {
	s := err.Error()
	if i := strings.LastIndex(s, `": `); i >= 0 {
		s = s[i+3:]
	}
	s = reAddr.ReplaceAllString(s, "…")
	return cut(s, 120)
}

var reAddr = regexp.MustCompile(`(127|::1)[0-9a-f.:\[\]]+(->[0-9.:\[\]]+)?`)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
func token(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return b64(b)
}
func challenge(v string) string {
	h := sha256.Sum256([]byte(v))
	return b64(h[:])
}
