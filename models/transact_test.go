package models

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"gorm.io/gorm"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// What the drivers say when a call is cancelled depends on the moment, and some of it looks like the database's fault. The
// caller is told that it was cancelled, unless the transaction had come to an end of its own.
func TestTransactOfACallerWhoHasGone(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, err := Open(t.Context(), url, Options{Key: KeySource{File: t.TempDir() + "/key"}})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		refused := notFound("token")
		for _, c := range []struct{ from, want error }{
			{nil, context.Canceled}, {driver.ErrBadConn, context.Canceled}, {sql.ErrTxDone, context.Canceled}, {refused, refused},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			err := store.transact(ctx, func(tx *gorm.DB) error {
				if err := tx.Exec("UPDATE meta SET value = 'written' WHERE name = ?", pingName).Error; err != nil {
					return err
				}
				cancel()
				return c.from
			})
			if err != c.want {
				t.Errorf("from %v came %v, want %v", c.from, err, c.want)
			}
			var row meta
			if err := store.write.Where("name = ?", pingName).Take(&row).Error; err != nil || row.Value != "" {
				t.Errorf("after %v there is %q, %v", c.from, row.Value, err)
			}
		}
	})
}

// A transaction that database/sql has rolled back, as it does when a call is cancelled, is known not to be committed.
func TestRolledBackIsNotInDoubt(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, err := Open(t.Context(), url, Options{Key: KeySource{File: t.TempDir() + "/key"}})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		err = once(t.Context(), store.write, func(tx *gorm.DB) error { return tx.Session(&gorm.Session{}).Rollback().Error })
		var doubt inDoubt
		if !errors.Is(err, sql.ErrTxDone) || errors.As(err, &doubt) {
			t.Errorf("got %T: %v", err, err)
		}
	})
}
