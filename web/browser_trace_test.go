package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
)

// A trace is a list of events that Chromium notes of itself. Of them these matter:
//
//   - RunTask, a piece of work that a thread did without a break. On the thread CrRendererMain of the page's process it is what
//     keeps the page from answering: scripts, styles, layout and painting. It has a duration and the processor's time in it.
//   - AnimationFrame, from the moment a frame of the page is due until it is drawn up, with the tasks that held it up.
//   - TracingStartedInBrowser and FrameCommittedInBrowser tell which process is the page's, and thread_name which thread.
var traceCategories = []string{"devtools.timeline", "disabled-by-default-devtools.timeline"}

// traceEvent is one of them. Times are in microseconds.
type traceEvent struct {
	Name, Ph, Cat string
	Pid, Tid      int
	Ts, Dur, Tdur int64
	ID2           struct{ Local string }
	Args          struct {
		Name string // of a thread
		Data traceData
	}
}

type traceData struct {
	Frame        string
	ProcessID    int
	FunctionName string
	URL          string
	LineNumber   int
	Frames       []traceData
}

// pace is how smooth a page was.
type pace struct {
	task  time.Duration // the longest task of the main thread, by the clock
	cpu   time.Duration // the longest by the processor's time, which other programs do not prolong
	frame time.Duration // the longest frame, by the clock
	in    string        // what most of the longest task by the processor's time was
}

// String is for messages.
func (p pace) String() string {
	return fmt.Sprintf("longest task %v, %v of a processor's time (%s); longest frame %v", p.task, p.cpu, p.in, p.frame)
}

// tracingTurn is taken in turns: there is one trace at a time for all of Chromium.
var tracingTurn sync.Mutex

// hitch is how long a page may be at work without answering: from there on people notice.
const hitch = 50 * time.Millisecond

// smooth fails the test if the page works for a hitch or more at one go while f runs, which is bound as in measure. What
// counts is the processor's time: on a machine that others use, too, the clock says nothing of the page.
func (b *browser) smooth(f func()) {
	b.t.Helper()
	p := b.measure(f)
	b.t.Log(p)
	if p.cpu >= hitch {
		b.t.Error("the page is not smooth")
	}
}

// measure records a trace while f runs. In f, nothing may look for things on the page, since that would be measured, too:
// clickAt, press, typeText, js and untilJS are for it.
func (b *browser) measure(f func()) pace {
	b.t.Helper()
	tracingTurn.Lock()
	defer tracingTurn.Unlock()
	// What is worked out for screen readers is not everybody's, and here it is for looking only.
	must(b, accessibility.Disable, cdp.Empty{})
	b.isMeasured = true
	events := b.trace(f)
	b.isMeasured = false
	must(b, accessibility.Enable, cdp.Empty{})
	p, err := paceOf(events, string(chromedp.FromContext(b.ctx).Target.TargetID))
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// trace returns what Chromium notes while f runs.
func (b *browser) trace(f func()) (events []json.RawMessage) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	complete := make(chan struct{})
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *tracing.EventDataCollected:
			for _, one := range e.Value {
				events = append(events, json.RawMessage(one))
			}
		case *tracing.EventTracingComplete:
			close(complete)
		}
	}); err != nil {
		b.t.Fatal(err)
	}
	must(b, tracing.Start, tracing.StartParams{
		TransferMode: tracing.StartTransferModeReportEvents, TraceConfig: &tracing.TraceConfig{IncludedCategories: traceCategories},
	})
	defer func() { // also where f ends the test: another one may want to trace
		_, err := command(b, tracing.End, cdp.Empty{})
		select {
		case <-complete:
		case <-time.After(commandLimit):
			b.t.Errorf("the trace does not end: %v", err)
		}
	}()
	f()
	return events
}

// paceOf reads the trace of a page.
func paceOf(raw []json.RawMessage, page string) (p pace, err error) {
	var events []traceEvent
	for _, one := range raw {
		var e traceEvent
		if json.Unmarshal(one, &e) == nil { // what has another form is of no interest
			events = append(events, e)
		}
	}
	threads := mainThreads(events, page)
	if len(threads) == 0 {
		return p, errors.New("the trace does not tell the page's main thread")
	}
	begun := map[string]int64{}
	for _, e := range events {
		switch {
		case !threads[[2]int{e.Pid, e.Tid}] && e.Name != "AnimationFrame":
		case e.Name == "RunTask" && e.Ph == "X":
			p.task = max(p.task, micro(e.Dur))
			if micro(e.Tdur) > p.cpu {
				p.cpu, p.in = micro(e.Tdur), inside(events, e)
			}
		case e.Name == "AnimationFrame" && e.Ph == "b":
			begun[fmt.Sprint(e.Pid, e.ID2.Local)] = e.Ts
		case e.Name == "AnimationFrame" && e.Ph == "e":
			if ts, ok := begun[fmt.Sprint(e.Pid, e.ID2.Local)]; ok && threads[[2]int{e.Pid, e.Tid}] {
				p.frame = max(p.frame, micro(e.Ts-ts))
			}
		}
	}
	return p, nil
}

func micro(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// mainThreads are those of the processes that a page was in, as process and thread.
func mainThreads(events []traceEvent, page string) map[[2]int]bool {
	processes := map[int]bool{}
	for _, e := range events {
		switch e.Name {
		case "TracingStartedInBrowser":
			for _, frame := range e.Args.Data.Frames {
				processes[frame.ProcessID] = processes[frame.ProcessID] || frame.Frame == page
			}
		case "FrameCommittedInBrowser":
			processes[e.Args.Data.ProcessID] = processes[e.Args.Data.ProcessID] || e.Args.Data.Frame == page
		}
	}
	threads := map[[2]int]bool{}
	for _, e := range events {
		if e.Name == "thread_name" && e.Args.Name == "CrRendererMain" && processes[e.Pid] {
			threads[[2]int{e.Pid, e.Tid}] = true
		}
	}
	return threads
}

// inside names the longest things that were done in a task.
func inside(events []traceEvent, task traceEvent) string {
	var parts []traceEvent
	for _, e := range events {
		if e.Ph == "X" && e.Pid == task.Pid && e.Tid == task.Tid && e.Ts >= task.Ts && e.Ts+e.Dur <= task.Ts+task.Dur && e.Name != "RunTask" {
			parts = append(parts, e)
		}
	}
	slices.SortStableFunc(parts, func(a, b traceEvent) int { return int(b.Dur - a.Dur) })
	var names []string
	for _, e := range parts[:min(4, len(parts))] {
		name := fmt.Sprintf("%s %v", e.Name, micro(e.Dur))
		if data := e.Args.Data; data.URL != "" {
			name += fmt.Sprintf(" %s at %s:%d", data.FunctionName, data.URL, data.LineNumber)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
