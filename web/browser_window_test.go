package web_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	permissions "github.com/chromedp/cdproto/browser"
)

// screenshots is the variable that names the folder for pictures of pages.
const screenshots = "TOKENWIRE_TEST_SCREENSHOTS"

// viewport gives the window a size in CSS pixels: 320×640, 390×844, 1280×800, 3840×2160. A narrow one is a phone's.
func (b *browser) viewport(width, height int) {
	b.t.Helper()
	must(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: int64(width), Height: int64(height), DeviceScaleFactor: 1, Mobile: width < 600,
	})
}

// likes is what a person has told his system about himself.
type likes struct{ dark, stillness bool }

// prefers tells pages what the person likes: prefers-color-scheme and prefers-reduced-motion.
func (b *browser) prefers(is likes) {
	b.t.Helper()
	scheme, motion := "light", "no-preference"
	if is.dark {
		scheme = "dark"
	}
	if is.stillness {
		motion = "reduce"
	}
	must(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
	}})
}

// offline takes the browser off the network, or back. Requests fail, and the page is told. A WebSocket that is open stays
// so and carries nothing, as if a cable had been pulled; what was sent meanwhile arrives when it is back. A connection that
// breaks is made by killing the server.
func (b *browser) offline(is bool) {
	b.t.Helper()
	var conditions []*network.Conditions
	if is {
		conditions = []*network.Conditions{{Offline: true, DownloadThroughput: -1, UploadThroughput: -1}}
	}
	must(b, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: conditions})
	must(b, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: is, DownloadThroughput: -1, UploadThroughput: -1})
}

// clipboard allows or denies pages to read and write it. All browsers of a test process have one together.
func (b *browser) clipboard(isAllowed bool) {
	b.t.Helper()
	setting := permissions.PermissionSettingDenied
	if isAllowed {
		setting = permissions.PermissionSettingGranted
	}
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(b.ctx, permissions.SetPermission, permissions.SetPermissionParams{
			Permission: &permissions.PermissionDescriptor{Name: name}, Setting: setting, Origin: b.origin,
			BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
		})
		if err != nil {
			b.t.Fatalf("%s: %v", name, err)
		}
	}
}

// shot writes a picture of what the window shows, if TOKENWIRE_TEST_SCREENSHOTS names a folder for it.
func (b *browser) shot(name string) {
	b.t.Helper()
	folder := os.Getenv(screenshots)
	if folder == "" {
		return
	}
	if err := b.write(filepath.Join(folder, name+".png")); err != nil {
		b.t.Errorf("picture %s: %v", name, err)
	}
}

func (b *browser) write(file string) error {
	picture, err := command(b, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, picture.Data, 0o644)
}

var notInNames = regexp.MustCompile(`[^\w-]+`)

// pictures numbers those of failures: one test may have several browsers.
var pictures atomic.Int64

// picture takes a picture for a failure, and says where it is.
func (b *browser) picture() string {
	folder := os.Getenv(screenshots)
	if folder == "" {
		return "no picture was taken, since " + screenshots + " names no folder"
	}
	file := filepath.Join(folder, fmt.Sprintf("failed-%s-%d.png", notInNames.ReplaceAllString(b.t.Name(), "-"), pictures.Add(1)))
	if err := b.write(file); err != nil {
		return fmt.Sprintf("no picture was taken: %v", err)
	}
	return "picture: " + file
}
