package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type Mail struct {
	To   string
	At   time.Time
	Code string
	Link string
	Text string
	Subj string
}

// Sink takes every email. Rule says how it behaves for a recipient.
type Sink struct {
	ln    net.Listener
	port  int
	mu    sync.Mutex
	box   map[string][]Mail
	total int
	rule  atomic.Value // func(rcpt string) string
	hung  atomic.Int64
	seen  sync.Map
}

func newSink() *Sink {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := &Sink{ln: ln, port: ln.Addr().(*net.TCPAddr).Port, box: map[string][]Mail{}}
	s.rule.Store(func(string) string { return "" })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

func (s *Sink) setRule(f func(string) string) { s.rule.Store(f) }

func hang(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(120 * time.Second))
	b := make([]byte, 512)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

func (s *Sink) serve(c net.Conn) {
	defer c.Close()
	rd := bufio.NewReader(c)
	say := func(l string) bool {
		_, err := io.WriteString(c, l+"\r\n")
		return err == nil
	}
	if !say("220 sink.example ESMTP") {
		return
	}
	var rcpts []string
	for {
		c.SetReadDeadline(time.Now().Add(300 * time.Second))
		line, err := rd.ReadString('\n')
		if err != nil {
			return
		}
		up := strings.ToUpper(strings.TrimSpace(line))
		switch {
		case strings.HasPrefix(up, "EHLO"):
			say("250-sink.example\r\n250-8BITMIME\r\n250 SIZE 10000000")
		case strings.HasPrefix(up, "HELO"):
			say("250 sink.example")
		case strings.HasPrefix(up, "MAIL"):
			rcpts = nil
			say("250 ok")
		case strings.HasPrefix(up, "RCPT"):
			a := line[strings.Index(line, "<")+1:]
			if i := strings.Index(a, ">"); i >= 0 {
				a = a[:i]
			}
			a = strings.ToLower(a)
			switch s.rule.Load().(func(string) string)(a) {
			case "hangrcpt":
				s.hung.Add(1)
				hang(c)
				return
			case "temp":
				say("451 try later")
				continue
			case "slowtemp":
				time.Sleep(4 * time.Second)
				say("451 try later")
				continue
			case "drip":
				s.hung.Add(1)
				for i := 0; i < 120; i++ {
					if !say("250-wait") {
						return
					}
					time.Sleep(time.Second)
				}
				return
			case "dripbyte":
				s.hung.Add(1)
				for i := 0; i < 240; i++ {
					if _, err := io.WriteString(c, "2"); err != nil {
						return
					}
					time.Sleep(500 * time.Millisecond)
				}
				return
			case "drop":
				return
			case "slow3":
				time.Sleep(3 * time.Second)
			}
			rcpts = append(rcpts, a)
			say("250 ok")
		case strings.HasPrefix(up, "DATA"):
			if len(rcpts) == 0 {
				say("503 no recipient")
				continue
			}
			say("354 go on")
			var buf bytes.Buffer
			for {
				l, err := rd.ReadString('\n')
				if err != nil {
					return
				}
				if strings.TrimRight(l, "\r\n") == "." {
					break
				}
				buf.WriteString(strings.TrimPrefix(l, "."))
			}
			switch s.rule.Load().(func(string) string)(rcpts[0]) {
			case "hangdata":
				s.hung.Add(1)
				hang(c)
				return
			case "slowdata":
				time.Sleep(9 * time.Second)
			}
			for _, r := range rcpts {
				s.store(r, buf.Bytes())
			}
			say("250 taken")
		case strings.HasPrefix(up, "RSET"), strings.HasPrefix(up, "NOOP"):
			rcpts = nil
			say("250 ok")
		case strings.HasPrefix(up, "QUIT"):
			say("221 bye")
			return
		default:
			say("500 what?")
		}
	}
}

var reCode = regexp.MustCompile(`(?m)(?:^|[^0-9A-Za-z_/-])([0-9]{4}[ \x{00a0}-]?[0-9]{4})(?:[^0-9A-Za-z_/-]|$)`)
var reLink = regexp.MustCompile(`https?://[^\s"<>]*/login/link/[A-Za-z0-9_-]+`)

func plain(h mail.Header, body io.Reader) string {
	get := func(k string) string { return h.Get(k) }
	return part(get("Content-Type"), get("Content-Transfer-Encoding"), body)
}

func part(ct, cte string, body io.Reader) string {
	switch strings.ToLower(cte) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	mt, p, err := mime.ParseMediaType(ct)
	if err == nil && strings.HasPrefix(mt, "multipart/") {
		mr := multipart.NewReader(body, p["boundary"])
		best := ""
		for {
			pt, err := mr.NextRawPart()
			if err != nil {
				return best
			}
			t := part(pt.Header.Get("Content-Type"), pt.Header.Get("Content-Transfer-Encoding"), pt)
			if best == "" || strings.HasPrefix(pt.Header.Get("Content-Type"), "text/plain") {
				best = t
			}
		}
	}
	b, _ := io.ReadAll(body)
	return string(b)
}

func (s *Sink) store(to string, raw []byte) {
	m := Mail{To: to, At: time.Now()}
	if msg, err := mail.ReadMessage(bytes.NewReader(raw)); err == nil {
		m.Text = plain(msg.Header, msg.Body)
		m.Subj, _ = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
	} else {
		m.Text = string(raw)
	}
	if c := reCode.FindStringSubmatch(m.Text); c != nil {
		m.Code = strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, c[1])
	}
	m.Link = reLink.FindString(m.Text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if dump && s.total < 6 {
		println(m.Subj, "\n", m.Text, "\n---")
	}
	s.box[to] = append(s.box[to], m)
}

func (s *Sink) since(to string, t time.Time) []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Mail
	for _, m := range s.box[to] {
		if m.At.After(t) {
			out = append(out, m)
		}
	}
	return out
}

func (s *Sink) count(pred func(string) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for k, v := range s.box {
		if pred(k) {
			n += len(v)
		}
	}
	return n
}

func (s *Sink) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.box = map[string][]Mail{}
	s.total = 0
	s.hung.Store(0)
	s.setRule(func(string) string { return "" })
}

func (s *Sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d emails taken, %d hung", s.total, s.hung.Load())
}
