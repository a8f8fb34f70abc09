package models

import "time"

// Time is a moment in milliseconds since 1970-01-01 UTC. In JSON it is RFC 3339 in UTC with milliseconds.
type Time int64

// timeFormat is RFC 3339 with exactly three digits of the second's fraction.
const timeFormat = "2006-01-02T15:04:05.000Z"

// maxTime is the last moment that RFC 3339 can write, the end of the year 9999.
var maxTime = TimeOf(time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC))

// TimeOf returns t, cut to the millisecond.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// Std returns t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMilli(int64(t)).UTC() }

// String returns t as it stands in JSON.
func (t Time) String() string { return t.Std().Format(timeFormat) }

// MarshalText writes RFC 3339 in UTC with milliseconds.
func (t Time) MarshalText() ([]byte, error) { return t.Std().AppendFormat(nil, timeFormat), nil }

// UnmarshalText reads RFC 3339 with any offset; what is finer than a millisecond is cut off.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return FormatError("not an RFC 3339 time such as 2027-01-31T12:00:00Z")
	}
	if *t = TimeOf(parsed); *t < 0 || *t > maxTime {
		return FormatError("the year must be from 1970 to 9999")
	}
	return nil
}

// Schema is the JSON Schema of Time.
func (Time) Schema() string {
	return `{"type":"string","format":"date-time","description":"RFC 3339, in answers in UTC with milliseconds"}`
}
