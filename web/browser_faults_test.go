package web_test

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// fault is something that went wrong in a page, where no person would see it.
type fault struct {
	exception int64 // its number, where it is one
	text      string
}

// faults are what went wrong in a browser so far.
type faults struct {
	mu      sync.Mutex
	all     []fault
	allowed []string
}

// allow lets errors pass whose text has one of these parts, such as "ERR_CONNECTION_REFUSED" while the server is down.
// They may have come before, or come later.
func (b *browser) allow(parts ...string) {
	b.faults.mu.Lock()
	defer b.faults.mu.Unlock()
	b.faults.allowed = append(b.faults.allowed, parts...)
}

// unexpected returns the faults that were not allowed.
func (f *faults) unexpected() (texts []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
next:
	for _, fault := range f.all {
		for _, part := range f.allowed {
			if strings.Contains(fault.text, part) {
				continue next
			}
		}
		texts = append(texts, fault.text)
	}
	return texts
}

// hear is told every event of the browser's window, in their order. It must not wait for anything.
func (b *browser) hear(event any) {
	if failed := b.traffic.hear(event); failed != "" {
		b.faults.add("a request failed: %s", failed)
	}
	b.faults.hear(event)
	if _, ok := event.(*page.EventJavascriptDialogOpening); ok {
		go dismiss(b.ctx)
	}
}

func (f *faults) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, fault{text: fmt.Sprintf(format, args...)})
}

func (f *faults) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			f.add("console.%s: %s", e.Type, textsOf(e.Args))
		}
	case *runtime.EventExceptionThrown: // a rejection that nobody handles, too
		f.mu.Lock()
		defer f.mu.Unlock()
		f.all = append(f.all, fault{e.ExceptionDetails.ExceptionID, textOf(e.ExceptionDetails)})
	case *runtime.EventExceptionRevoked:
		f.revoke(e.ExceptionID)
	case *runtime.EventBindingCalled:
		if e.Name == "policyViolated" {
			f.add("the policy was violated: %s", e.Payload)
		}
	case *log.EventEntryAdded: // refused connections, statuses from 400, violated policies, deprecations and more
		if e.Entry.Level == log.EntryLevelError {
			f.add("log: %s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *inspector.EventTargetCrashed:
		f.add("the page has crashed")
	case *page.EventJavascriptDialogOpening:
		f.add("%s(%q), which stops all else", e.Type, e.Message)
	}
}

// revoke forgets a rejection that was handled later.
func (f *faults) revoke(exception int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.all {
		if fault.exception == exception {
			f.all = append(f.all[:i], f.all[i+1:]...)
			return
		}
	}
}

// dismiss closes a dialog that would otherwise stop the test.
func dismiss(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: false})
}

// textOf is what the console would show of an exception.
func textOf(e *runtime.ExceptionDetails) string {
	if e.Exception != nil && e.Exception.Description != "" {
		return fmt.Sprintf("%s: %s", e.Text, e.Exception.Description)
	}
	if e.Exception != nil {
		return fmt.Sprintf("%s: %s (%s:%d)", e.Text, e.Exception.Value, e.URL, e.LineNumber+1)
	}
	return fmt.Sprintf("%s (%s:%d)", e.Text, e.URL, e.LineNumber+1)
}

// textsOf is what the console would show of its arguments.
func textsOf(args []*runtime.RemoteObject) string {
	var texts []string
	for _, arg := range args {
		switch {
		case arg.Description != "":
			texts = append(texts, arg.Description)
		default:
			texts = append(texts, strings.Trim(string(arg.Value), `"`))
		}
	}
	return strings.Join(texts, " ")
}
