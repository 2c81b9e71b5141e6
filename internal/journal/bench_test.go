package journal

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// benchmarkOptions are those of a proxy.
func benchmarkOptions(b *testing.B) Options {
	return Options{Directory: b.TempDir(), BootID: testBoot}
}

// samples keeps the latest durations of one goroutine.
type samples struct {
	kept  [1 << 14]time.Duration
	count int
}

func (s *samples) add(took time.Duration) {
	s.kept[s.count%len(s.kept)] = took
	s.count++
}

func report(b *testing.B, all ...*samples) {
	var merged []time.Duration
	for _, one := range all {
		merged = append(merged, one.kept[:min(one.count, len(one.kept))]...)
	}
	slices.Sort(merged)
	b.ReportMetric(float64(merged[len(merged)/2]), "p50-ns")
	b.ReportMetric(float64(merged[len(merged)*99/100]), "p99-ns")
}

func BenchmarkAppend(b *testing.B) {
	j, _ := mustOpen(b, benchmarkOptions(b))
	payload := make([]byte, 200)
	var taken samples
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if _, err := j.Append(Entry{Kind: 1, Numbered: true, Payload: payload}); err != nil {
			b.Fatal(err)
		}
		taken.add(time.Since(start))
	}
	report(b, &taken)
}

func BenchmarkAppendParallel(b *testing.B) {
	for _, workers := range []int{8, 64} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			j, _ := mustOpen(b, benchmarkOptions(b))
			payload := make([]byte, 200)
			var mu sync.Mutex
			var all []*samples
			b.SetParallelism(workers / runtime.GOMAXPROCS(0))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				taken := &samples{}
				for pb.Next() {
					start := time.Now()
					if _, err := j.Append(Entry{Kind: 1, Numbered: true, Payload: payload}); err != nil {
						b.Error(err)
					}
					taken.add(time.Since(start))
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, taken)
			})
			b.StopTimer()
			report(b, all...)
		})
	}
}

// BenchmarkReadFrom reads the last hundred of 100,000 records, as after a batch was sent.
func BenchmarkReadFrom(b *testing.B) {
	j, _ := mustOpen(b, benchmarkOptions(b))
	const records = 100_000
	payload := make([]byte, 100)
	for range records {
		mustAppend(b, j, Entry{Kind: 1, Numbered: true, Payload: payload})
	}
	b.ReportAllocs()
	for b.Loop() {
		count := 0
		for _, err := range j.ReadFrom(records - 99) {
			if err != nil {
				b.Fatal(err)
			}
			count++
		}
		if count != 100 {
			b.Fatalf("%d records", count)
		}
	}
}
