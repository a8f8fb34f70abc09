package models

import (
	"context"
	"fmt"
	"strconv"

	"gorm.io/gorm"
)

// leasesName is the row of table meta that says until when verifiers may answer from what they hold: a process that takes the
// place of one that is gone knows nothing else of them.
const leasesName = "leases-until"

// leasesValue writes a time so that the later one is the greater text.
func leasesValue(t Time) string { return fmt.Sprintf("%019d", int64(t)) }

// LeasesUntil returns until when leases last at most that any process on this database has given.
func (s *Store) LeasesUntil(ctx context.Context) (Time, error) {
	var row meta
	if err := s.read.WithContext(ctx).Where("name = ?", leasesName).Take(&row).Error; err != nil {
		return 0, err
	}
	until, err := strconv.ParseInt(row.Value, 10, 64)
	return Time(until), err
}

// ExtendLeases notes that leases are about to be given that last until a time at most. It never goes back.
func (s *Store) ExtendLeases(ctx context.Context, until Time) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		return tx.Exec("UPDATE meta SET value = ? WHERE name = ? AND value < ?", leasesValue(until), leasesName, leasesValue(until)).Error
	})
}
