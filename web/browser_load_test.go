package web_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
)

// traffic is what a browser asks the network for. WebSockets are not counted.
type traffic struct {
	mu       sync.Mutex
	underWay map[network.RequestID]string // URLs
	requests int                          // that ended
	bytes    int                          // of their answers as they were on the wire, with their headers
}

// hear is told every event, and returns what failed with it. What the page itself cancelled, or left behind by going
// elsewhere, has not failed.
func (t *traffic) hear(event any) (failed string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if t.underWay == nil {
			t.underWay = map[network.RequestID]string{}
		}
		if !strings.HasPrefix(e.Request.URL, "data:") {
			t.underWay[e.RequestID] = e.Request.URL
		}
	case *network.EventLoadingFinished:
		if t.underWay[e.RequestID] != "" {
			t.requests, t.bytes = t.requests+1, t.bytes+int(e.EncodedDataLength)
		}
		delete(t.underWay, e.RequestID)
	case *network.EventLoadingFailed:
		if !e.Canceled {
			failed = fmt.Sprintf("%s: %s", e.ErrorText, t.underWay[e.RequestID])
		}
		delete(t.underWay, e.RequestID)
	}
	return failed
}

// reset begins to count anew.
func (t *traffic) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests, t.bytes = 0, 0
}

// quiet returns the counts, once nothing is under way.
func (t *traffic) quiet() (requests, bytes int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, url := range t.underWay {
		return 0, 0, fmt.Errorf("%s is under way", url)
	}
	return t.requests, t.bytes, nil
}

// firstLoad is what it took to make a page usable.
type firstLoad struct {
	usable   time.Duration // from the beginning of the navigation to the frame in which what was asked for is visible
	requests int
	bytes    int // of all answers as they were on the wire, with their headers
}

// load goes to a path as if for the first time, with nothing in the cache, and measures until the first element of a CSS
// selector is visible and no request is under way.
func (b *browser) load(path, selector string) (l firstLoad) {
	b.t.Helper()
	must(b, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	watch := must(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: fmt.Sprintf("person.watch(%q)", selector), WorldName: world,
	})
	must(b, page.Navigate, page.NavigateParams{URL: "about:blank"}) // from where only # differs, nothing would be loaded
	b.loaded("leave the page")
	b.traffic.reset()
	b.open(path)
	b.until("to see "+selector, func() error {
		var ms *float64
		err := b.ask(&ms, "shownAt")
		if err == nil && ms == nil {
			err = errors.New("there is none")
		}
		if err == nil {
			l.usable = time.Duration(*ms * float64(time.Millisecond))
		}
		return err
	})
	b.until("for requests to end", func() (err error) {
		l.requests, l.bytes, err = b.traffic.quiet()
		return err
	})
	must(b, page.RemoveScriptToEvaluateOnNewDocument, page.RemoveScriptToEvaluateOnNewDocumentParams(watch))
	must(b, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: false})
	return l
}
