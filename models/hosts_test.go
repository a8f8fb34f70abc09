package models

import (
	"slices"
	"testing"
)

func TestHostsOfAURL(t *testing.T) {
	for url, want := range map[string][]string{
		"mysql://u@a/n":                       {"a:3306"},
		"mysql://u:p%40x@a:1/n?tls=true":      {"a:1"},
		"mysql://u@a:1,b:2,c:3/n":             {"a:1", "b:2", "c:3"},
		"mysql://u@a,b/n":                     {"a:3306", "b:3306"},
		"mysql://u@[::1]:1/n":                 {"[::1]:1"},
		"mysql://u@a:1,,b:2/n":                nil,
		"mysql://u@,/n":                       nil,
		"mysql://u@a:1,b:2/":                  nil,
		"mysql://u:secret@a:1,b:2/n?x=secret": nil,
	} {
		config, got, err := mysqlConfig(url)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) || err == nil && config.DBName != "n" {
			t.Errorf("%s: %q, %v", url, got, err)
		}
	}
}
