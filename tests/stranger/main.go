// A hostile stranger, and the judge of innocents.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"
)

func main() {
	bin := flag.String("bin", "", "the service")
	backend := flag.String("backend", "sqlite", "sqlite or pg")
	which := flag.String("attack", ".", "which attacks, by expression")
	scale := flag.Float64("scale", 1, "of counts")
	secs := flag.Float64("secs", 40, "of an attack")
	eachN := flag.Int("each", 6, "innocents of a kind")
	outDir := flag.String("out", "/tmp/stranger", "results")
	list := flag.Bool("list", false, "name the attacks")
	one := flag.Bool("setup", false, "only set up, print the pages and end")
	flag.IntVar(&small, "small", 0, "most steps of a swarm")
	flag.Parse()
	re := regexp.MustCompile(*which)
	if *list {
		for _, a := range attacks() {
			fmt.Println(a.Name, a.Rule)
		}
		return
	}
	must(os.MkdirAll(*outDir, 0o755))
	sink := newSink()
	up := newUpstream()
	var pg *Pg
	if *backend == "pg" {
		pg = startPg()
		defer pg.stop()
	}
	for _, a := range attacks() {
		if !re.MatchString(a.Name) {
			continue
		}
		if a.Secs == 0 {
			a.Secs = *secs
		} else if *secs < 40 {
			a.Secs = *secs
		}
		if a.Each == 0 {
			a.Each = *eachN
		}
		if *eachN < 6 {
			a.Each = min(a.Each, *eachN)
		}
		if a.Users == 0 {
			a.Users = max(a.Each, len(strings.Fields(a.Plan)))
		}
		sink.reset()
		run(a, *bin, *backend, *scale, *outDir, sink, up, pg, *one)
	}
}

type Row struct {
	Attack, Rule, Backend    string
	Networks                 int
	Requests                 int64
	Sent                     int64
	Stats                    map[string]int
	Promised, PromisedOK     int
	Kinds                    map[string]string
	P50, P95, Max            float64
	P95OK                    float64
	RSS0, RSSMax, RSS1       int64
	Rows                     int
	RowsBy                   string
	Redis0, Redis1, RedisMax int64
	LogBytes                 int64
	LogRatio                 float64
	CPU                      float64
	Wall                     float64
	Sink                     string
	Ready                    string
	Died                     bool
	Notes                    []string
	Failures                 []string
	Log                      string
	Metrics                  string
	Retries                  int
}

func run(a Attack, bin, backend string, scale float64, outDir string, sink *Sink, up *Upstream, pg *Pg, one bool) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	dir, err := os.MkdirTemp("", "stranger-"+a.Name+"-")
	must(err)
	defer os.RemoveAll(dir)
	w := &World{tls: a.TLS, direct: a.Direct, backend: backend, dir: dir, sink: sink, up: up, scale: scale, stats: map[string]int{}, atkHC: map[string]*http.Client{}, jwtKey: key, pg: pg, N: 1}
	fmt.Printf("== %s (%s) %s\n", a.Name, a.Rule, backend)
	if err := w.start(bin, a.Conf); err != nil {
		fmt.Println("   not run:", err)
		return
	}
	defer w.stop()
	if err := w.setup(a.Users); err != nil {
		fmt.Println("   set-up fails:", cut(err.Error(), 3000))
		return
	}
	time.Sleep(500 * time.Millisecond)
	if strings.HasPrefix(a.Name, "assertions") && small == 0 {
		time.Sleep(time.Until(w.started.Add(62 * time.Second)))
	}
	row := Row{Attack: a.Name, Rule: a.Rule, Backend: backend}
	rows0 := w.rows()
	row.RSS0, _ = w.rss()
	if pg != nil {
		row.Redis0 = pg.redisMem()
	}
	log0, cpu0 := w.logSize(), w.cpu()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(a.Secs*float64(time.Second)))
	var wg sync.WaitGroup
	wg.Add(2)
	go func() { // watch the memory
		defer wg.Done()
		for k := 0; ctx.Err() == nil; k++ {
			if r, _ := w.rss(); r > row.RSSMax {
				row.RSSMax = r
			}
			if pg != nil && k%5 == 0 {
				if m := pg.redisMem(); m > row.RedisMax {
					row.RedisMax = m
				}
			}
			sleep(ctx, 200*time.Millisecond)
		}
	}()
	go func() { defer wg.Done(); a.Run(ctx, w) }()
	results := w.people(a, began)
	<-ctx.Done()
	cancel()
	done := make(chan bool)
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		w.notef("the attack does not end")
	}
	row.Wall = time.Since(began).Seconds()
	row.CPU = w.cpu() - cpu0
	row.LogBytes = w.logSize() - log0
	row.Requests, row.Sent = w.reqs.Load(), w.sent.Load()
	if row.Sent > 0 {
		row.LogRatio = float64(row.LogBytes) / float64(row.Sent)
	}
	row.Ready = w.readyz()
	row.Metrics = w.metrics()
	row.RSS1, _ = w.rss()
	if pg != nil {
		row.Redis1 = pg.redisMem()
	}
	row.Rows, row.RowsBy = diffRows(rows0, w.rows())
	row.Networks = w.N
	row.Log = w.logSummary(log0)
	row.Sink = sink.String()
	row.Died = w.exited.Load()
	if a.After != nil {
		a.After(w)
	}
	row.Stats = w.stats
	judge(a, &row, results)
	row.Notes = w.notes
	b, _ := json.MarshalIndent(row, "", " ")
	must(os.WriteFile(filepath.Join(outDir, a.Name+"-"+backend+".json"), b, 0o644))
	line := table(row)
	fmt.Println("  ", line)
	for _, n := range row.Notes {
		fmt.Println("   note:", cut(n, 300))
	}
	for i, f := range row.Failures {
		if i < 3 && (!one || strings.HasPrefix(f, "FAILED")) {
			fmt.Println("   FAIL:", cut(f, 900))
		}
	}
	f, _ := os.OpenFile(filepath.Join(outDir, "table-"+backend+".md"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	fmt.Fprintln(f, line)
	f.Close()
	if one {
		fmt.Println("   log:", cut(row.Log, 500))
		fmt.Println("   stats:", row.Stats)
		fmt.Println("   sink:", row.Sink)
	}
}

// people sends the innocents, spread over the attack.
func (w *World) people(a Attack, began time.Time) []Result {
	plan := strings.Fields(strings.ReplaceAll(a.Plan, "|", " "))
	n := len(plan) * a.Each
	warm := min(4.0, a.Secs/5)
	window := max(1, a.Secs-warm-10)
	var mu sync.Mutex
	var res []Result
	var wg sync.WaitGroup
	for k := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			at := time.Duration((warm + window*float64(k)/float64(n)) * float64(time.Second))
			time.Sleep(time.Until(began.Add(at)))
			r := w.innocent(context.Background(), plan[k%len(plan)], k/len(plan)+k%len(plan), began)
			mu.Lock()
			res = append(res, r)
			mu.Unlock()
		}()
	}
	wg.Wait()
	return res
}

func judge(a Attack, row *Row, results []Result) {
	promised := map[string]bool{}
	left, _, _ := strings.Cut(a.Plan, "|")
	for _, k := range strings.Fields(left) {
		promised[k] = true
	}
	sort.Slice(results, func(i, j int) bool { return results[i].At < results[j].At })
	row.Kinds = map[string]string{}
	okBy, allBy := map[string]int{}, map[string]int{}
	var durs []float64
	for _, r := range results {
		allBy[r.Kind]++
		if r.OK {
			okBy[r.Kind]++
		}
		if promised[r.Kind] {
			row.Promised++
			if r.OK {
				row.PromisedOK++
			}
			durs = append(durs, r.Dur.Seconds())
		}
		for _, t := range r.Trace {
			if strings.Contains(t, "-> 503") || strings.Contains(t, "after") && strings.Contains(t, "-> ") && !strings.Contains(t, " in ") {
				row.Retries++
			}
		}
		if !r.OK || r.Tries > 1 {
			word := "FAILED"
			if !promised[r.Kind] {
				word = "not promised, failed"
			}
			if r.OK {
				word = fmt.Sprintf("needed %d emails", r.Tries)
			}
			row.Failures = append(row.Failures, fmt.Sprintf("%s %s at %.0fs after %.1fs %s: %s | %s", word, r.Kind, r.At, r.Dur.Seconds(), r.Who, r.Err, strings.Join(r.Trace, "; ")))
		}
	}
	sort.Slice(row.Failures, func(i, j int) bool {
		return strings.HasPrefix(row.Failures[i], "FAILED") && !strings.HasPrefix(row.Failures[j], "FAILED")
	})
	for k, n := range allBy {
		row.Kinds[k] = fmt.Sprintf("%d/%d", okBy[k], n)
	}
	sort.Float64s(durs)
	if len(durs) > 0 {
		row.P50 = durs[len(durs)/2]
		row.P95 = durs[min(len(durs)-1, len(durs)*95/100)]
		row.Max = durs[len(durs)-1]
	}
}

func table(r Row) string {
	var ks []string
	for k := range r.Kinds {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	var kk []string
	for _, k := range ks {
		kk = append(kk, k+" "+r.Kinds[k])
	}
	redis := "-"
	if r.Redis0 > 0 {
		redis = fmt.Sprintf("%.1f→%.1f (max %.1f)", mb(r.Redis0), mb(r.Redis1), mb(r.RedisMax))
	}
	died := ""
	if r.Died {
		died = " DIED"
	}
	return fmt.Sprintf("| %s | %s | %d | %d | **%d/%d**%s (%s) | %.1f | %.1f | %.1f | %.0f→%.0f max %.0f | %s | %+d (%s) | %.1f× | cpu %.0f%% |", r.Attack, r.Backend, r.Networks, r.Requests, r.PromisedOK, r.Promised, died, strings.Join(kk, ", "), r.P50, r.P95, r.Max,
		mb(r.RSS0), mb(r.RSS1), mb(r.RSSMax), redis, r.Rows, r.RowsBy, r.LogRatio, 100*r.CPU/r.Wall)
}

func mb(n int64) float64 { return float64(n) / 1048576 }

var small int // most steps of a swarm, to try the program itself

var dump = os.Getenv("DUMP") != ""
