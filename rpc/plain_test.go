package rpc

import "testing"

// TestPlain sees to it that what clients send is read the quick way, and what is not plain is left to the parser.
func TestPlain(t *testing.T) {
	for message, want := range map[string]bool{
		`{"jsonrpc":"2.0","method":"/v1/session/read","id":1}`:                                                       true,
		`{"jsonrpc":"2.0","id":1,"method":"/v1/verifier/verify","params":["tw_x"]}`:                                  true,
		`{"jsonrpc":"2.0","id":"1","method":"/v1/verifier/verify","params":{"digest":"00","options":{"hold":true}}}`: true,
		`{"jsonrpc":"2.0","method":"/v1/verifier/confirm","params":[12]}`:                                            true,
		`{"jsonrpc":"2.0","method":"a","params":["ü"],"id":1}`:                                                       true,
		`{"jsonrpc":"2.0", "method":"a"}`:                                                                            false,
		`{"jsonrpc":"2.0","method":"\u0061"}`:                                                                        false,
		`{"jsonrpc":"2.0","method":"a","method":"b"}`:                                                                false,
		`{"jsonrpc":"2.0","method":"a","id":01}`:                                                                     false,
		`{"jsonrpc":"2.0","method":"a","id":1.5}`:                                                                    false,
		`{"jsonrpc":"2.0","method":"a","id":-1}`:                                                                     false,
		`{"jsonrpc":"2.0","method":"a","params":[[[[[[]]]]]]}`:                                                       false,
		`{"jsonrpc":"2.0","method":"a","params":[1,]}`:                                                               false,
		`{"jsonrpc":"2.0","method":"a","params":{"a":1,}}`:                                                           false,
		`{"jsonrpc":"2.0","method":"a",}`:                                                                            false,
		`{"jsonrpc":"2.0","method":"a"}x`:                                                                            false,
		`{"jsonrpc":"2.0","method":"a"`:                                                                              false,
		`{"jsonrpc":"2.0","method":"a","params":["\n"]}`:                                                             false,
		"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":[\"\n\"]}":                                                 false,
		`[{"jsonrpc":"2.0","method":"a"}]`:                                                                           false,
		`{}`:                                                                                                         false,
		``:                                                                                                           false,
	} {
		if _, is := parsePlain([]byte(message)); is != want {
			t.Errorf("%s: plain: %v", message, is)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	message := []byte(`{"jsonrpc":"2.0","method":"/v1/verifier/verify","params":["tw_0123456789012345678901234567890123456789012345"],"id":1000000}`)
	for name, parse := range map[string]func([]byte) (request, bool){"plain": parsePlain, "object": parseObject} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := parse(message); !ok {
					b.Fatal("not read")
				}
			}
		})
	}
}
