package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	confSecret = "664f0157dd5d057bbd7ccef68fe082648284267f01efc7c6ab7fb646274e7919"
	rsSecret   = "d4a778cde283c3cb14028dbd00dfb2babf10e033b06fd2dc730d22671e08a4c4"
	audience   = "https://api.people.example"
	webRedir   = "https://web.people.example/callback"
)

// World is one run of the service with everything around it.
type World struct {
	mu      sync.Mutex
	base    string
	baseURL *url.URL
	addr    string
	mgmt    string
	tls     bool
	mimic   bool // attackers' emails look like those of the innocents
	started time.Time
	direct  bool // innocents come from addresses of their own and not through the proxy
	backend string
	dir     string
	cmd     *exec.Cmd
	logPath string
	atkHC   map[string]*http.Client
	sent    atomic.Int64
	reqs    atomic.Int64
	statMu  sync.Mutex
	stats   map[string]int
	sink    *Sink
	users   []*User
	netSeq  atomic.Int64
	scale   float64
	seconds float64
	N       int
	jwtKey  *ecdsa.PrivateKey
	up      *Upstream
	notes   []string
	exited  atomic.Bool
	pg      *Pg
}

func (w *World) notef(f string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.notes) < 30 {
		w.notes = append(w.notes, fmt.Sprintf(f, a...))
	}
}

func (w *World) stat(k string) {
	w.reqs.Add(1)
	w.statMu.Lock()
	w.stats[k]++
	w.statMu.Unlock()
}

func (w *World) nextNet() Net {
	k := int(w.netSeq.Add(1))
	if w.direct {
		return directPerson(k)
	}
	return peopleNet(k)
}

func freePort() int {
	for p := 30100 + int(time.Now().UnixNano()/1000)%2000; ; p++ {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p)); err == nil {
			l.Close()
			return p
		}
	}
}

func selfSigned(dir string) (string, string) {
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}, DNSNames: []string{"localhost"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &k.PublicKey, k)
	if err != nil {
		panic(err)
	}
	kb, _ := x509.MarshalPKCS8PrivateKey(k)
	cf, kf := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	os.WriteFile(cf, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(kf, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb}), 0o600)
	return cf, kf
}

// Conf is what an attack may change of the configuration.
type Conf struct {
	WithSecondAPI bool
	Providers     bool
	JwksURI       bool
	Extra         string
}

func (w *World) config(c Conf, port, mport int, dbURL, ticketURL string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "[server]\nlisten = \"127.0.0.1:%d\"\npublic_url = %q\ndata_dir = %q\ntrusted_proxies = [\"127.0.0.1/32\"]\n", port, w.base, filepath.Join(w.dir, "data"))
	if w.tls {
		cf, kf := selfSigned(w.dir)
		fmt.Fprintf(&s, "tls = { cert_file = %q, key_file = %q }\n", cf, kf)
	}
	fmt.Fprintf(&s, "[database]\nurl = %q\n[tickets]\nurl = %q\n", dbURL, ticketURL)
	fmt.Fprintf(&s, "[mail]\ntransport = \"smtp\"\nhost = \"127.0.0.1\"\nport = %d\ntls = \"none\"\nfrom = \"Entree <login@people.example>\"\n", w.sink.port)
	fmt.Fprintf(&s, "[api]\nv2_enabled = %v\n[management]\nlisten = \"127.0.0.1:%d\"\n", c.WithSecondAPI, mport)
	s.WriteString(c.Extra)
	pub := w.jwtKey.PublicKey
	x, y := make([]byte, 32), make([]byte, 32)
	pub.X.FillBytes(x)
	pub.Y.FillBytes(y)
	jwks := fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","x":"%s","y":"%s","kid":"k1"}]}`, b64(x), b64(y))
	if w.up != nil {
		w.up.jwks = jwks
	}
	keys := "jwks = '" + jwks + "'"
	if c.JwksURI {
		keys = fmt.Sprintf("jwks_uri = \"http://127.0.0.1:%d/client-jwks\"", w.up.port)
	}
	fmt.Fprintf(&s, `
[[clients]]
client_id = "web"
name = "Web"
audience = %[1]q
redirect_uris = [%[2]q]
first_party = true
scopes = ["openid","profile","email","offline_access"]

[[clients]]
client_id = "conf"
name = "Conf"
audience = %[1]q
redirect_uris = [%[2]q]
first_party = true
token_endpoint_auth_method = "client_secret_basic"
client_secret = %[3]q
scopes = ["openid","profile","email","offline_access"]

[[clients]]
client_id = "jwt"
name = "Jwt"
audience = %[1]q
redirect_uris = [%[2]q]
first_party = true
token_endpoint_auth_method = "private_key_jwt"
%[5]s
scopes = ["openid","profile","email","offline_access"]

[[clients]]
client_id = "app"
name = "App"
audience = %[1]q
first_party = true
app_sign_in = true
redirect_uris = ["https://app.people.example/callback"]
scopes = ["openid","profile","email","offline_access"]

[[clients]]
client_id = "rs"
name = "Resource server"
audience = "https://rs.people.example"
redirect_uris = []
grant_types = []
token_endpoint_auth_method = "client_secret_basic"
client_secret = %[4]q
introspects = [%[1]q]

[[clients]]
client_id = "third"
name = "Third"
audience = "https://third.example"
redirect_uris = ["https://third.example/callback"]
`, audience, webRedir, confSecret, rsSecret, keys)
	if c.Providers {
		for _, p := range []string{"good", "slow", "dead"} {
			fmt.Fprintf(&s, "\n[[providers]]\nid = %q\nissuer = \"http://127.0.0.1:%d/%s\"\nclient_id = \"entree\"\nclient_secret = \"only-on-my-machine-0123456789\"\nloopback_http = true\n", p, w.up.port, p)
			if p == "good" {
				s.WriteString("trust = \"authoritative\"\nmail_domains = [\"people.example\"]\n")
			}
		}
	}
	return s.String()
}

type Pg struct {
	dir       string
	port      int
	redisPort int
	cmds      []*exec.Cmd
	bin       string
	n         int
}

func startPg() *Pg {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	p := &Pg{dir: "/tmp/stranger-pg", bin: bins[len(bins)-1]}
	os.RemoveAll(p.dir)
	must(os.MkdirAll(p.dir, 0o777))
	out, err := exec.Command("sh", "-c", "id -u postgres && chown postgres "+p.dir).CombinedOutput()
	if err != nil {
		panic(string(out))
	}
	uid, _ := strconv.Atoi(strings.TrimSpace(string(out)))
	as := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(name, args...)
		c.Dir = p.dir
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}, Pdeathsig: syscall.SIGTERM}
		c.Env = append(os.Environ(), "HOME="+p.dir, "LC_ALL=C")
		return c
	}
	if out, err := as(p.bin+"/initdb", "-D", p.dir+"/d", "-A", "trust", "-U", "entree").CombinedOutput(); err != nil {
		panic(string(out))
	}
	p.port = freePort()
	c := as(p.bin+"/postgres", "-D", p.dir+"/d", "-p", strconv.Itoa(p.port), "-k", p.dir, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60")
	lf, _ := os.Create("/tmp/stranger-pg.log")
	c.Stdout, c.Stderr = lf, lf
	must(c.Start())
	syscall.Setpriority(syscall.PRIO_PROCESS, c.Process.Pid, -5)
	p.cmds = append(p.cmds, c)
	p.redisPort = freePort()
	r := exec.Command("redis-server", "--port", strconv.Itoa(p.redisPort), "--bind", "127.0.0.1", "--maxmemory", "128mb", "--maxmemory-policy", "noeviction", "--save", "", "--appendonly", "no", "--dir", "/tmp")
	r.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	must(r.Start())
	syscall.Setpriority(syscall.PRIO_PROCESS, r.Process.Pid, -5)
	p.cmds = append(p.cmds, r)
	for i := 0; i < 100; i++ {
		time.Sleep(100 * time.Millisecond)
		if _, err := p.psql("postgres", "select 1"); err == nil {
			if _, err := p.redis("PING"); err == nil {
				return p
			}
		}
	}
	panic("no database")
}

func (p *Pg) stop() {
	for i := len(p.cmds) - 1; i >= 0; i-- {
		sig := os.Signal(syscall.SIGTERM)
		if i == 0 {
			sig = os.Interrupt
		}
		p.cmds[i].Process.Signal(sig)
		p.cmds[i].Wait()
	}
}

func (p *Pg) psql(db, q string) (string, error) {
	out, err := exec.Command(p.bin+"/psql", "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "entree", "-At", "-d", db, "-c", q).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (p *Pg) redis(args ...string) (string, error) {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", p.redisPort), 2*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(c, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c, "$%d\r\n%s\r\n", len(a), a)
	}
	rd := bufio.NewReader(c)
	l, err := rd.ReadString('\n')
	if err != nil {
		return "", err
	}
	l = strings.TrimSpace(l)
	if strings.HasPrefix(l, "$") {
		n, _ := strconv.Atoi(l[1:])
		b := make([]byte, n)
		_, err = io.ReadFull(rd, b)
		return string(b), err
	}
	return l, nil
}

func (p *Pg) redisMem() int64 {
	s, err := p.redis("INFO", "memory")
	if err != nil {
		return -1
	}
	for _, l := range strings.Split(s, "\r\n") {
		if v, ok := strings.CutPrefix(l, "used_memory:"); ok {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return -1
}

func (w *World) start(bin string, c Conf) error {
	port, mport := freePort(), 0
	for mport = freePort(); mport == port; mport++ {
	}
	w.addr = fmt.Sprintf("127.0.0.1:%d", port)
	w.mgmt = fmt.Sprintf("http://127.0.0.1:%d", mport)
	w.base = "http://" + w.addr
	if w.tls {
		w.base = "https://" + w.addr
	}
	w.baseURL, _ = url.Parse(w.base)
	dbURL, ticketURL := "", "memory:"
	if w.backend == "pg" {
		w.pg.n++
		db := fmt.Sprintf("e%d_%d", os.Getpid(), w.pg.n)
		if out, err := w.pg.psql("postgres", "create database "+db); err != nil {
			return fmt.Errorf("%s", out)
		}
		w.pg.redis("FLUSHALL")
		dbURL = fmt.Sprintf("postgres://entree:entree@127.0.0.1:%d/%s", w.pg.port, db)
		ticketURL = fmt.Sprintf("redis://127.0.0.1:%d", w.pg.redisPort)
	}
	must(os.MkdirAll(filepath.Join(w.dir, "data"), 0o700))
	cf := filepath.Join(w.dir, "entree.toml")
	must(os.WriteFile(cf, []byte(w.config(c, port, mport, dbURL, ticketURL)), 0o600))
	w.logPath = filepath.Join(w.dir, "log")
	lf, err := os.Create(w.logPath)
	if err != nil {
		return err
	}
	w.cmd = exec.Command("nice", "-n", "-5", bin, "serve", "--config", cf) // attackers are elsewhere in truth: their work is not to slow the service
	w.cmd.Dir = w.dir
	w.cmd.Stdout, w.cmd.Stderr = lf, lf
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.cmd.Start(); err != nil {
		return err
	}
	w.started = time.Now()
	go func() { w.cmd.Wait(); w.exited.Store(true); lf.Close() }()
	for i := 0; i < 300; i++ {
		time.Sleep(100 * time.Millisecond)
		if r, err := http.Get(w.mgmt + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == 200 {
				return nil
			}
		}
		if w.exited.Load() {
			break
		}
	}
	b, _ := os.ReadFile(w.logPath)
	return fmt.Errorf("the service does not start: %s", cut(string(b), 3000))
}

func (w *World) stop() {
	if w.cmd == nil || w.cmd.Process == nil {
		return
	}
	w.cmd.Process.Signal(syscall.SIGTERM)
	for i := 0; i < 40 && !w.exited.Load(); i++ {
		time.Sleep(100 * time.Millisecond)
	}
	if !w.exited.Load() {
		w.cmd.Process.Kill()
	}
	if w.backend == "pg" {
		w.pg.psql("postgres", fmt.Sprintf("drop database if exists e%d_%d with (force)", os.Getpid(), w.pg.n))
	}
}

func (w *World) rss() (int64, int64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	var rss, hwm int64
	for _, l := range strings.Split(string(b), "\n") {
		fmt.Sscanf(l, "VmRSS: %d kB", &rss)
		fmt.Sscanf(l, "VmHWM: %d kB", &hwm)
	}
	return rss * 1024, hwm * 1024
}

func (w *World) cpu() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndex(string(b), ")")+1:]))
	u, _ := strconv.ParseFloat(f[11], 64)
	s, _ := strconv.ParseFloat(f[12], 64)
	return (u + s) / 100
}

func (w *World) logSize() int64 {
	st, err := os.Stat(w.logPath)
	if err != nil {
		return 0
	}
	return st.Size()
}

func (w *World) rows() map[string]int {
	out := map[string]int{}
	if w.backend == "pg" {
		db := fmt.Sprintf("e%d_%d", os.Getpid(), w.pg.n)
		ts, err := w.pg.psql(db, "select tablename from pg_tables where schemaname='public'")
		if err != nil {
			return out
		}
		var q []string
		for _, t := range strings.Fields(ts) {
			q = append(q, fmt.Sprintf("select '%s', count(*) from \"%s\"", t, t))
		}
		r, _ := w.pg.psql(db, strings.Join(q, " union all "))
		for _, l := range strings.Fields(r) {
			if i := strings.Index(l, "|"); i > 0 {
				n, _ := strconv.Atoi(l[i+1:])
				out[l[:i]] = n
			}
		}
		return out
	}
	py := `import sqlite3,json,sys,glob
f=glob.glob(sys.argv[1]+'/*.db')[0]
c=sqlite3.connect('file:'+f+'?mode=ro',uri=True,timeout=20)
print(json.dumps({t:c.execute('select count(*) from "%s"'%t).fetchone()[0] for (t,) in c.execute("select name from sqlite_master where type='table'").fetchall() if not t.startswith('sqlite_')}))`
	b, err := exec.Command("python3", "-c", py, filepath.Join(w.dir, "data")).CombinedOutput()
	if err != nil {
		w.notef("rows: %s", cut(string(b), 200))
	}
	json.Unmarshal(b, &out)
	return out
}

func diffRows(a, b map[string]int) (int, string) {
	type kv struct {
		k string
		n int
	}
	var d []kv
	sum := 0
	for k, n := range b {
		if x := n - a[k]; x != 0 {
			d = append(d, kv{k, x})
			sum += x
		}
	}
	sort.Slice(d, func(i, j int) bool { return d[i].n > d[j].n })
	var s []string
	for i, x := range d {
		if i < 6 {
			s = append(s, fmt.Sprintf("%s %+d", x.k, x.n))
		}
	}
	return sum, strings.Join(s, ", ")
}

// logSummary counts the reasons and levels in the log behind an offset.
func (w *World) logSummary(from int64) string {
	f, err := os.Open(w.logPath)
	if err != nil {
		return ""
	}
	defer f.Close()
	f.Seek(from, 0)
	m := map[string]int{}
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, 1<<20), 1<<22)
	for sc.Scan() {
		var o map[string]any
		if json.Unmarshal(sc.Bytes(), &o) != nil {
			m["not json"]++
			continue
		}
		lv := fmt.Sprint(o["level"])
		fl, _ := o["fields"].(map[string]any)
		pick := func(k string) string {
			if v, ok := o[k]; ok {
				return fmt.Sprint(v)
			}
			if v, ok := fl[k]; ok {
				return fmt.Sprint(v)
			}
			return ""
		}
		key := lv + " " + cut(pick("message"), 60)
		if r := pick("reason"); r != "" {
			key += " reason=" + r
		}
		if r := pick("status"); r != "" {
			key += " " + r
		}
		m[key]++
	}
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	sort.Slice(ks, func(i, j int) bool { return m[ks[i]] > m[ks[j]] })
	var s []string
	for i, k := range ks {
		if i < 14 {
			s = append(s, fmt.Sprintf("%s ×%d", k, m[k]))
		}
	}
	return strings.Join(s, "; ")
}

func (w *World) metrics() string {
	r, err := http.Get(w.mgmt + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	var out []string
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "#") || strings.Contains(l, "_bucket") || strings.Contains(l, "duration_seconds") {
			continue
		}
		for _, k := range []string{"ticket_bytes", "limit_refusals", "mail_", "outbox", "sign_in_refused", "database_connections", "upstream_calls"} {
			if strings.Contains(l, k) {
				out = append(out, l)
				break
			}
		}
	}
	return strings.Join(out, "; ")
}

func (w *World) readyz() string {
	r, err := http.Get(w.mgmt + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return fmt.Sprintf("%d %s", r.StatusCode, cut(string(b), 300))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
