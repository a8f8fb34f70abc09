package models

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A credential in the URL of a leak is not kept, however it is percent-encoded; and a URL without one stays as it is.
func TestLeakURLHasNoCredential(t *testing.T) {
	secret := mintCredential(prefixToken, newID(time.Now())).Reveal()
	public := secret[:strings.LastIndex(secret[:len(secret)-checksumDigits-1], "_")]
	encode := func(percent string, from, to int) string {
		var b strings.Builder
		b.WriteString(secret[:from])
		for _, c := range []byte(secret[from:to]) {
			fmt.Fprintf(&b, "%s%02x", percent, c)
		}
		return b.String() + secret[to:]
	}
	for _, text := range []string{
		secret, encode("%", 0, 1), encode("%", 3, 4), encode("%", 30, 31), encode("%", 0, len(secret)), encode("%25", 5, 40), encode("%2525", 70, len(secret)),
	} {
		got, err := leakURL("https://git.example/" + text + "/x?q=" + text + "#" + text)
		if want := "https://git.example/" + public + "/x?q=" + public + "#" + public; err != nil || got != want {
			t.Errorf("of %s is kept %s, %v", text, got, err)
		}
	}
	const plain = "https://git.example/a%41/b%2541?c=%2F%20%5f#d%7E"
	if got, err := leakURL(plain); err != nil || got != plain {
		t.Errorf("of %s is kept %s, %v", plain, got, err)
	}
}
