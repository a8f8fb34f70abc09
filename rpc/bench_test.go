package rpc

import (
	"io"
	"testing"

	"github.com/tokenwire/tokenwire/models"
)

// repeated is a client that sends the same message so many times, and does not look at the answers.
type repeated struct {
	message []byte
	left    int
	batch   int
}

func (r *repeated) Read(idle func()) ([]byte, error) {
	if r.left--; r.left < 0 {
		return nil, io.EOF
	}
	if r.left%r.batch == 0 {
		idle()
	}
	return r.message, nil
}
func (r *repeated) Write([]byte) error { return nil }
func (r *repeated) Flush() error       { return nil }
func (r *repeated) Close(int, string)  {}
func (r *repeated) Abort()             {}

func benchmarkCall(b *testing.B, message func(token models.Secret) string) {
	s, _ := newTestService(b, io.Discard)
	_, _, session, err := signInAdmin(s.store)
	if err != nil {
		b.Fatal(err)
	}
	id, err := s.store.Authenticate(b.Context(), session, "")
	if err != nil {
		b.Fatal(err)
	}
	_, secret, err := s.store.CreateToken(b.Context(), models.Actor{Identity: id, ChangeID: models.NewChangeID()}, "x", models.CreateTokenOptions{Permissions: models.Grants{"tokens:manage": true}})
	if err != nil {
		b.Fatal(err)
	}
	text := []byte(message(secret))
	s.Serve(&repeated{message: text, left: 10, batch: 1}, id, Door{}, Start{Position: id.Position})
	b.ReportAllocs()
	b.ResetTimer()
	s.Serve(&repeated{message: text, left: b.N, batch: 16}, id, Door{}, Start{Position: id.Position})
}

func BenchmarkSessionRead(b *testing.B) {
	benchmarkCall(b, func(models.Secret) string { return `{"jsonrpc":"2.0","method":"/v1/session/read","id":100000000}` })
}

func BenchmarkVerify(b *testing.B) {
	benchmarkCall(b, func(token models.Secret) string {
		return `{"jsonrpc":"2.0","method":"/v1/verifier/verify","params":["` + token.Reveal() + `"],"id":100000000}`
	})
}
