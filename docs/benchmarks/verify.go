package main

import "fmt"

// verify compares /v1/verifier/verify of one token, which the node knows from the first time on, with /v1/session/read.
func verify(o *options) error {
	t, err := startTokenwire(o, o.tree, "")
	if err != nil {
		return err
	}
	var token struct{ Token string }
	if err := t.call(t.session, "/v1/api-tokens/create", &token, "verified", map[string]any{"permissions": map[string]bool{"tokens:manage": true}}); err != nil {
		return err
	}
	ask := fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"/v1/verifier/verify","params":["%s"],"id":%d}`, token.Token, firstID)
	var sides [2][]*caller
	for i, request := range [][]byte{sessionRead(firstID), ask} {
		size, err := replySize(t, request)
		if err != nil {
			return err
		}
		fmt.Printf("requests of %d bytes, replies of %d\n", len(request), size)
		if sides[i], err = dialCallers(t.addr, "/api", t.session, request, size); err != nil {
			return err
		}
	}
	var figures []*figure
	for _, underWay := range []int{16, 1} {
		f := &figure{name: fmt.Sprintf("verifier/verify, %d x %d", callers, underWay), unit: "calls/s", goal: map[int]string{16: ">= 0.9"}[underWay]}
		figures = append(figures, f)
		err := inTurns(o.rounds, f,
			func() (float64, error) { return rate(sides[0], underWay, o.period) },
			func() (float64, error) { return rate(sides[1], underWay, o.period) })
		if err != nil {
			return err
		}
	}
	print(figures...)
	return nil
}
