package models

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"gorm.io/gorm"
)

// Bucket is a limit on attempts that all nodes count together: each takes some time of it, which it gets back as time goes on.
type Bucket struct {
	Key  string        // whose it is; kept as a hash only
	Take time.Duration // by one attempt
	Most time.Duration // that can be taken: what is written beyond is the mistake of a clock
}

type attempt struct {
	ID     []byte `gorm:"primaryKey"`
	FullAt Time   // when all is there again
}

// attemptID hides names and addresses from who reads the database.
func (s *Store) attemptID(key string) []byte { return s.key.macDigest(sha256.Sum256([]byte(key))) }

// Taken returns how much is taken of each of some buckets, less the millisecond that times are rounded by: who comes again when he
// was told to must be let in.
func (s *Store) Taken(ctx context.Context, buckets []Bucket) ([]time.Duration, error) {
	ids := make([][]byte, len(buckets))
	for i, b := range buckets {
		ids[i] = s.attemptID(b.Key)
	}
	var rows []attempt
	if err := s.read.WithContext(ctx).Where("id IN ?", ids).Find(&rows).Error; err != nil {
		return nil, err
	}
	taken, now := make([]time.Duration, len(buckets)), s.now()
	for _, row := range rows {
		i := slices.IndexFunc(ids, func(id []byte) bool { return bytes.Equal(id, row.ID) })
		if left := time.Duration(row.FullAt-now-1) * time.Millisecond; left > 0 && left <= buckets[i].Most {
			taken[i] = left
		}
	}
	return taken, nil
}

// Take takes an attempt that began at a time of each of some buckets.
func (s *Store) Take(ctx context.Context, began Time, buckets []Bucket) error {
	return s.attend(ctx, func(db *gorm.DB) error {
		upsert := `INSERT INTO attempts (id, full_at) VALUES (?, ?)
			ON DUPLICATE KEY UPDATE full_at = LEAST(GREATEST(full_at, ?) + ?, ?)`
		if db.Name() == "sqlite" {
			upsert = `INSERT INTO attempts (id, full_at) VALUES (?, ?)
				ON CONFLICT (id) DO UPDATE SET full_at = MIN(MAX(full_at, ?) + ?, ?)`
		}
		for _, b := range buckets {
			take, most := Time(b.Take.Milliseconds()), Time(b.Most.Milliseconds())
			// Not GORM's Exec, which takes bytes in parentheses for a list.
			_, err := db.Statement.ConnPool.ExecContext(db.Statement.Context, upsert, s.attemptID(b.Key), began+take, began, take, began+most)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// pruneAttempts deletes a batch of buckets that are full again.
func (s *Store) pruneAttempts(ctx context.Context) (more bool, err error) {
	err = s.transact(ctx, func(tx *gorm.DB) error {
		var ids [][]byte
		if err := tx.Model(&attempt{}).Where("full_at < ?", s.now()).Limit(pruneBatch).Pluck("id", &ids).Error; err != nil || len(ids) == 0 {
			return err
		}
		more = len(ids) == pruneBatch
		return tx.Where("id IN ? AND full_at < ?", ids, s.now()).Delete(&attempt{}).Error
	})
	return more, err
}
