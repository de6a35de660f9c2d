package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func (w *World) rawDial(ctx context.Context, src string, withTLS bool, alpn ...string) (net.Conn, error) {
	c, err := dialer(src).DialContext(ctx, "tcp", w.addr)
	if err != nil {
		return nil, err
	}
	cc := countConn{c, &w.sent}
	if !withTLS {
		return cc, nil
	}
	t := tls.Client(cc, &tls.Config{InsecureSkipVerify: true, NextProtos: alpn, ServerName: "127.0.0.1", ClientSessionCache: nil})
	hctx, cancel := context.WithTimeout(ctx, 12*time.Second)
	defer cancel()
	if err := t.HandshakeContext(hctx); err != nil {
		c.Close()
		return nil, err
	}
	return t, nil
}

// H2 is one HTTP/2 connection of an attacker, frame by frame.
type H2 struct {
	c   net.Conn
	fr  *http2.Framer
	mu  sync.Mutex
	buf bytes.Buffer
	enc *hpack.Encoder
	id  uint32
}

func (w *World) h2(ctx context.Context, src string, window uint32) (*H2, error) {
	c, err := w.rawDial(ctx, src, w.tls, "h2")
	if err != nil {
		return nil, err
	}
	h := &H2{c: c, id: 1}
	h.enc = hpack.NewEncoder(&h.buf)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		c.Close()
		return nil, err
	}
	h.fr = http2.NewFramer(c, c)
	h.fr.SetMaxReadFrameSize(1 << 20)
	if err := h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}); err != nil {
		c.Close()
		return nil, err
	}
	if window > 65535 {
		h.fr.WriteWindowUpdate(0, 1<<28)
	}
	return h, nil
}

type hf = hpack.HeaderField

func (w *World) h2fields(method, path string, extra ...hf) []hf {
	sch := "http"
	if w.tls {
		sch = "https"
	}
	return append([]hf{{Name: ":method", Value: method}, {Name: ":scheme", Value: sch}, {Name: ":path", Value: path}, {Name: ":authority", Value: w.addr}}, extra...)
}

// open writes the header of a request, and its body if there is one.
func (h *H2) open(fields []hf, body []byte, end bool) (uint32, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
	for _, f := range fields {
		h.enc.WriteField(f)
	}
	id := h.id
	h.id += 2
	err := h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.buf.Bytes(), EndStream: end && body == nil, EndHeaders: true})
	if err == nil && body != nil {
		err = h.fr.WriteData(id, end, body)
	}
	return id, err
}

// read handles frames until the connection ends; done is called for every stream that ends.
func (h *H2) read(done func(id uint32, status string)) error {
	status := map[uint32]string{}
	dec := hpack.NewDecoder(4096, nil)
	var unacked uint32
	for {
		f, err := h.fr.ReadFrame()
		if err != nil {
			return err
		}
		end := false
		switch x := f.(type) {
		case *http2.SettingsFrame:
			if !x.IsAck() {
				h.mu.Lock()
				h.fr.WriteSettingsAck()
				h.mu.Unlock()
			}
		case *http2.PingFrame:
			if !x.IsAck() {
				h.mu.Lock()
				h.fr.WritePing(true, x.Data)
				h.mu.Unlock()
			}
		case *http2.HeadersFrame:
			fs, err := dec.DecodeFull(x.HeaderBlockFragment())
			if err != nil {
				return err
			}
			for _, y := range fs {
				if y.Name == ":status" {
					status[x.StreamID] = y.Value
				}
			}
			end = x.StreamEnded()
		case *http2.DataFrame:
			unacked += uint32(len(x.Data()))
			if unacked > 1<<16 {
				h.mu.Lock()
				h.fr.WriteWindowUpdate(0, unacked)
				h.mu.Unlock()
				unacked = 0
			}
			end = x.StreamEnded()
		case *http2.RSTStreamFrame:
			done(x.StreamID, "rst:"+strconv.Itoa(int(x.ErrCode)))
			delete(status, x.StreamID)
			continue
		case *http2.GoAwayFrame:
			return fmt.Errorf("goaway %v", x.ErrCode)
		}
		if end {
			id := f.Header().StreamID
			done(id, status[id])
			delete(status, id)
		}
	}
}

// h2load keeps streams open requests on every one of conns connections of one address.
func (w *World) h2load(ctx context.Context, src string, conns, streams int, req func(i int) ([]hf, []byte)) {
	var wg sync.WaitGroup
	for k := range conns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			n := k * 1000000
			for ctx.Err() == nil {
				h, err := w.h2(ctx, src, 1<<20)
				if err != nil {
					w.stat("no connection: " + cutErr(err))
					sleep(ctx, 200*time.Millisecond)
					continue
				}
				stop := context.AfterFunc(ctx, func() { h.c.Close() })
				slots := make(chan bool, streams)
				dead := make(chan bool)
				go func() {
					err := h.read(func(_ uint32, st string) {
						w.stat(st)
						select {
						case <-slots:
						default:
						}
					})
					if ctx.Err() == nil {
						w.stat("connection ends: " + cutErr(err))
					}
					close(dead)
				}()
			loop:
				for {
					select {
					case slots <- true:
						f, b := req(n)
						n++
						if _, err := h.open(f, b, true); err != nil {
							break loop
						}
					case <-dead:
						break loop
					case <-ctx.Done():
						break loop
					}
				}
				h.c.Close()
				<-dead
				stop()
				sleep(ctx, 20*time.Millisecond)
			}
		}()
	}
	wg.Wait()
}

// h2stall opens streams whose bodies never end, or whose responses are never taken.
func (w *World) h2stall(ctx context.Context, src string, conns, streams int, window uint32, end bool, req func(i int) ([]hf, []byte)) {
	var wg sync.WaitGroup
	for range conns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := 0; ctx.Err() == nil; {
				h, err := w.h2(ctx, src, window)
				if err != nil {
					w.stat("no connection: " + cutErr(err))
					sleep(ctx, 300*time.Millisecond)
					continue
				}
				stop := context.AfterFunc(ctx, func() { h.c.Close() })
				gone := make(chan bool)
				again := make(chan bool, 100000)
				go func() {
					err := h.read(func(_ uint32, st string) {
						w.stat("ended: " + st)
						select {
						case again <- true:
						default:
						}
					})
					if ctx.Err() == nil {
						w.stat("connection ends: " + cutErr(err))
					}
					close(gone)
				}()
				for range streams {
					f, b := req(n)
					n++
					if _, err := h.open(f, b, end); err != nil {
						break
					}
				}
			wait:
				for {
					select {
					case <-again:
						f, b := req(n)
						n++
						if _, err := h.open(f, b, end); err != nil {
							break wait
						}
						sleep(ctx, 20*time.Millisecond)
					case <-gone:
						break wait
					}
				}
				h.c.Close()
				<-gone
				stop()
				sleep(ctx, 100*time.Millisecond)
			}
		}()
	}
	wg.Wait()
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
