package rpc

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// BenchmarkSweep is what a sweep over idle users costs this process, and how much of a core that is at sweepEvery.
func BenchmarkSweep(b *testing.B) {
	const users = 10_000
	for name, url := range map[string]func(testing.TB) string{"sqlite": modelstest.SQLite, "mariadb": modelstest.MariaDB} {
		b.Run(name, func(b *testing.B) {
			l := newLab(b, url(b), DefaultFacts)
			h := l.s.hub
			h.stop() // the sweeps here are those that are measured
			h.background.Wait()
			for first := 0; first < users; first += 500 {
				rows := make([]string, 500)
				for i := range rows {
					id := fmt.Sprintf("0Vbq%016d", first+i)
					rows[i] = fmt.Sprintf("('%s',%d,'aaaaaaaaaaaa')", id, 7)
					h.retain(id, models.Position{Number: 7, ChangeID: "aaaaaaaaaaaa"})
				}
				l.exec("INSERT INTO feeds (user_id, position, change_id) VALUES " + strings.Join(rows, ","))
			}
			h.sweep(b.Context())
			var before, after syscall.Rusage
			syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			for b.Loop() {
				h.sweep(b.Context())
			}
			syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			if !h.current() {
				b.Fatal("the sweeps saw nothing")
			}
			cpu := spent(&after) - spent(&before)
			b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(100*float64(cpu)/float64(b.N)/float64(sweepEvery), "%core")
		})
	}
}

// spent is the CPU time of a process.
func spent(u *syscall.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
