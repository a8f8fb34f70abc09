package rpc

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
)

// maxQuestions is how many permissions one verification asks about.
const maxQuestions = 100

// Question is what is asked about a token: whether it is good, has permissions, and is good from an address.
type Question struct {
	Digest      models.Digest
	Permissions []string
	Address     *netip.Addr // nil where that is not asked; the zero address is one that is not known, and in no set
}

// Answer is what a verification comes to.
type Answer struct {
	Active         bool     // the token is good
	Allowed        bool     // and for all that was asked
	Missing        []string // the permissions that were asked about and are not given
	AddressRefused bool     // it is not good from the address
	RetryAfter     time.Duration
	Facts          *models.Facts // nil if it is not active
}

// Verify answers a question about a token and counts the use. An error means that the answer is not known.
func (s *Service) Verify(ctx context.Context, q Question) (Answer, error) {
	fact := s.hub.known(q.Digest)
	if fact == nil {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		var err error
		if fact, err = s.hub.ask(ctx, q.Digest); err != nil {
			return Answer{}, err
		}
	}
	a := s.judge(fact, q)
	s.count(fact, a.Allowed)
	return a, nil
}

// VerifyToken does the same for who has the token's text and puts no digest into the question.
func (s *Service) VerifyToken(ctx context.Context, token models.Secret, q Question) (Answer, error) {
	if !models.IsToken(token.Reveal()) {
		s.count(nil, false)
		return Answer{}, nil
	}
	q.Digest = models.DigestOf(token.Reveal())
	return s.Verify(ctx, q)
}

// judge puts a question to facts.
func (s *Service) judge(fact *fact, q Question) Answer {
	if fact == nil {
		return Answer{}
	}
	a := Answer{Active: true, Facts: fact.Facts, RetryAfter: s.rates.take(fact.Facts)}
	for _, id := range q.Permissions {
		if _, has := slices.BinarySearch(fact.Permissions, id); !has {
			a.Missing = append(a.Missing, id)
		}
	}
	a.AddressRefused = q.Address != nil && !fact.AllowedIPs.Contain(*q.Address)
	a.Allowed = a.RetryAfter == 0 && len(a.Missing) == 0 && !a.AddressRefused
	return a
}

// count notes a use of a token.
func (s *Service) count(fact *fact, allowed bool) {
	if fact == nil {
		s.metrics.inactive.Inc()
	} else {
		s.hub.used(fact, allowed)
	}
}

// Params and results of /v1/verifier/verify.
type (
	verifyOptions struct {
		Permissions []string `json:"permissions,omitzero" doc:"1 to 100 permissions: whether the token has them all"`
		IP          *string  `json:"ip,omitzero" doc:"an address: whether the token is good from there"`
		Hold        bool     `json:"hold,omitzero" doc:"the caller keeps the facts under its lease, and is told when they change"`
	}
	verifyParams struct {
		Token   *models.Secret `json:"token,omitzero" doc:"the token; or its digest"`
		Options verifyOptions  `json:"options,omitzero" doc:"what is asked beside whether it is good"`
		Digest  *models.Digest `json:"digest,omitzero" doc:"SHA-256 of the token, so that it need not be sent"`
	}
	// VerifyResult is the result of /v1/verifier/verify.
	VerifyResult struct {
		Active      bool                              `json:"active" doc:"whether the token is good; if not, there is nothing else"`
		TokenID     string                            `json:"tokenId,omitzero"`
		UserID      string                            `json:"userId,omitzero" doc:"the owner"`
		Username    string                            `json:"username,omitzero"`
		Permissions []string                          `json:"permissions,omitzero" doc:"effective ones, in order"`
		ExpiresAt   models.Optional[models.Time]      `json:"expiresAt,omitzero" doc:"when it stops being good"`
		Position    models.Position                   `json:"position,omitzero" doc:"of the owner's feed: the answer is at least as new"`
		Allowed     bool                              `json:"allowed,omitzero" doc:"only if more was asked: whether it is good for all of that"`
		Missing     []string                          `json:"missing,omitzero" doc:"the permissions that were asked about and are not given"`
		IP          bool                              `json:"ip,omitzero" doc:"false if the token is not good from the address"`
		AllowedIPs  models.Optional[models.Addresses] `json:"allowedIps,omitzero" doc:"where it is good from, if not from anywhere (null with hold)"`
		ExpiresInMs models.Optional[int64]            `json:"expiresInMs,omitzero" doc:"with hold: milliseconds to expiresAt, by the server's clock"`
		Held        bool                              `json:"held,omitzero" doc:"with hold: whether the caller may keep the facts"`
		Seq         int64                             `json:"seq,omitzero" doc:"with hold: of the last /v1/verifier/changed when the facts were so"`
	}
)

// inactive is the answer for every kind of bad token alike.
var inactive = []byte(`{"active":false}`)

// newFact makes of facts what is made of them once.
func newFact(facts *models.Facts, d models.Digest) *fact {
	answer, _ := json.Marshal(struct {
		Active      bool              `json:"active"`
		TokenID     string            `json:"tokenId"`
		UserID      string            `json:"userId"`
		Username    string            `json:"username"`
		Permissions []string          `json:"permissions"`
		ExpiresAt   *models.Time      `json:"expiresAt"`
		Position    models.Position   `json:"position"`
		AllowedIPs  *models.Addresses `json:"allowedIps,omitzero"` // whoever does not ask about an address sees that he has to
	}{true, facts.TokenID, facts.UserID, facts.Username, facts.Permissions, facts.ExpiresAt, facts.Position, facts.AllowedIPs})
	return &fact{Facts: facts, digest: d, answer: answer}
}

// more returns the answer to be gone on with.
func (f *fact) more() []byte { return slices.Clip(f.answer[:len(f.answer)-1]) }

// question checks params and returns what they ask, and whether it may be a token that they ask about.
func (p *verifyParams) question() (q Question, formed bool, err error) {
	o := p.Options
	switch {
	case (p.Token == nil) == (p.Digest == nil):
		return q, false, invalidParam("token", "either token or digest is given")
	case o.Hold && (o.Permissions != nil || o.IP != nil):
		return q, false, invalidParam("options.hold", "who holds the facts puts the questions to them: not with permissions or ip")
	case o.Permissions != nil && (len(o.Permissions) == 0 || len(o.Permissions) > maxQuestions):
		return q, false, invalidParam("options.permissions", fmt.Sprintf("1 to %d permissions", maxQuestions))
	}
	if o.IP != nil {
		address, err := netip.ParseAddr(*o.IP)
		if err != nil {
			return q, false, invalidParam("options.ip", "an IPv4 or IPv6 address, such as 192.0.2.7")
		}
		q.Address = &address
	}
	q.Permissions = o.Permissions
	if p.Digest != nil {
		q.Digest = *p.Digest
		return q, true, nil
	}
	q.Digest = models.DigestOf(p.Token.Reveal())
	return q, models.IsToken(p.Token.Reveal()), nil
}

// verify is /v1/verifier/verify. It writes the answer itself: most of it is there already.
func (s *Service) verify(ctx context.Context, c *Call, p *verifyParams) ([]byte, error) {
	q, formed, err := p.question()
	if err != nil {
		return nil, err
	}
	var found *fact
	if formed {
		if found, err = s.hub.ask(ctx, q.Digest); err != nil {
			return nil, err
		}
	}
	return s.answerFrom(c.door.lease(), found, q, p.Options)
}

// answerFrom answers a question from facts, nil for a bad token.
func (s *Service) answerFrom(l *lease, found *fact, q Question, o verifyOptions) ([]byte, error) {
	a := s.judge(found, q)
	if o.Hold && a.Active && a.RetryAfter == 0 {
		return s.lendAnswer(l, found), nil
	}
	s.count(found, a.Allowed)
	return answerOf(found, a, o)
}

// answerOf writes an answer that is not held.
func answerOf(fact *fact, a Answer, o verifyOptions) ([]byte, error) {
	asked := o.Permissions != nil || o.IP != nil
	switch {
	case !a.Active:
		return inactive, nil
	case a.RetryAfter > 0:
		return nil, tooMany("the token is over its rate limit", a.RetryAfter)
	case !asked:
		return fact.answer, nil
	case a.Allowed:
		return append(fact.more(), `,"allowed":true}`...), nil
	}
	missing, err := json.Marshal(append([]string{}, a.Missing...))
	b := append([]byte(`{"active":true,"allowed":false,"missing":`), missing...)
	if a.AddressRefused {
		b = append(b, `,"ip":false`...)
	}
	return append(b, '}'), err
}

// lendAnswer writes facts for a verifier that keeps them. It counts the uses itself and reports them.
func (s *Service) lendAnswer(l *lease, fact *fact) []byte {
	seq, held := s.hub.lend(l, fact)
	left := "null"
	if fact.ExpiresAt != nil {
		left = strconv.FormatInt(int64(max(*fact.ExpiresAt-s.store.Now(), 0)), 10)
	}
	b := fact.more()
	if fact.AllowedIPs == nil {
		b = append(b, `,"allowedIps":null`...)
	}
	b = append(b, `,"expiresInMs":`...)
	b = append(b, left...)
	b = append(b, `,"held":`...)
	b = strconv.AppendBool(b, held)
	b = append(b, `,"seq":`...)
	b = strconv.AppendInt(b, seq, 10)
	return append(b, '}')
}

// known returns facts from memory that a question may be put to there and then: a token with a rate limit is counted, and
// once is enough.
func (s *Service) known(d models.Digest) *fact {
	if fact := s.hub.known(d); fact != nil && fact.RateLimit == nil {
		return fact
	}
	return nil
}

// soleToken returns the only param of a call if it is a string as long as a token, the way that clients write it. It does not
// look into it: what is not a token is not known by its digest either.
func soleToken(params []byte) (text []byte, sole bool) {
	const open, end = `["`, `"]`
	if len(params) != models.TokenSize+len(open)+len(end) || string(params[:len(open)]) != open || string(params[len(params)-len(end):]) != end {
		return nil, false
	}
	return params[len(open) : len(params)-len(end)], true
}

// defineVerify makes the method that is asked most: it answers on the goroutine that reads the connection, where it can do
// that from memory.
func (s *Service) defineVerify(name, summary string) *method {
	m := define(name, verifier, summary, func(context.Context, *Call, verifyParams) (VerifyResult, error) { return VerifyResult{}, nil })
	m.call = func(ctx context.Context, c *Call, raw []byte) ([]byte, error) {
		var p verifyParams
		if err := decodeParams(raw, m.params, reflect.ValueOf(&p)); err != nil {
			return nil, err
		}
		return s.verify(ctx, c, &p)
	}
	m.quick = func(c *caller, door *Door, raw []byte) ([]byte, bool) {
		if text, sole := soleToken(raw); sole {
			fact := s.known(sha256.Sum256(text))
			if fact == nil {
				return nil, false
			}
			s.count(fact, true)
			return fact.answer, true
		}
		var p verifyParams
		if decodeParams(raw, m.params, reflect.ValueOf(&p)) != nil {
			return nil, false
		}
		q, formed, err := p.question()
		if err != nil || !formed {
			return nil, false
		}
		fact := s.known(q.Digest)
		if fact == nil {
			return nil, false
		}
		result, err := s.answerFrom(door.lease(), fact, q, p.Options)
		return result, err == nil
	}
	return m.or(CodeTooManyRequests, "the token is good, and over its rate limit; data.retryAfterMs says when it is not")
}
