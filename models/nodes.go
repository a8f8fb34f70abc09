package models

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Node is a process that serves the database, as the others know it.
type Node struct {
	ID       string `gorm:"primaryKey"`
	Wanted   int64  // counts who wanted to know that it has read what they committed
	Answered int64  // it has read all that was committed when Wanted was so high
	Lease    int64  // milliseconds that a verifier may answer from what it was given, at most
}

// Acknowledgement says how far a node has seen to it that nobody acts any more on what a user's events changed.
type Acknowledgement struct {
	UserID   string `gorm:"primaryKey"`
	NodeID   string `gorm:"primaryKey"`
	Seq      int64  // of those of this node: a later one is not undone by an earlier one that was held up
	Position int64  // up to here it has acted on the user's events
	Settled  bool   // and nobody is waited for any more
	Counts   []byte // JSON: how many verifiers that took, by position, of the last few
	Time     Time
}

// acknowledgementsKept is how long settled acknowledgements are kept, in milliseconds: longer than anybody waits for them.
const acknowledgementsKept = 10 * Time(time.Minute/time.Millisecond)

// EnterNode adds a node, and returns the id that it has from now on.
func (s *Store) EnterNode(ctx context.Context, lease time.Duration) (id string, err error) {
	id = newID(s.options.Now())
	err = s.attend(ctx, func(db *gorm.DB) error { return db.Create(&Node{ID: id, Lease: lease.Milliseconds()}).Error })
	if errors.Is(err, gorm.ErrDuplicatedKey) { // it was made, and the answer was lost
		err = nil
	}
	return id, err
}

// RemoveNode removes a node that is no more, as it was when that was found out, and what it said.
func (s *Store) RemoveNode(ctx context.Context, n Node) error {
	return s.attend(ctx, func(db *gorm.DB) error {
		result := db.Where("id = ? AND answered = ?", n.ID, n.Answered).Delete(&Node{})
		if result.Error != nil || result.RowsAffected == 0 {
			return result.Error
		}
		return db.Where("node_id = ?", n.ID).Delete(&Acknowledgement{}).Error
	})
}

// Nodes returns all nodes. It waits for no reads but those of what is new.
func (s *Store) Nodes(ctx context.Context) (nodes []Node, err error) {
	err = again(ctx, func() error {
		nodes = nil
		return s.follow.WithContext(ctx).Order("id").Find(&nodes).Error
	})
	return nodes, err
}

// WantNodes asks all nodes but one to say when they have read what is committed by now.
func (s *Store) WantNodes(ctx context.Context, but string) error {
	return s.attend(ctx, func(db *gorm.DB) error {
		return db.Exec("UPDATE nodes SET wanted = wanted + 1 WHERE id <> ?", but).Error
	})
}

// AnswerNodes says that a node has read all that was committed when it was wanted so often, and before that what it
// acknowledges. It reports false for a node that is not there any more.
func (s *Store) AnswerNodes(ctx context.Context, id string, wanted int64, all []Acknowledgement) (there bool, err error) {
	err = s.attend(ctx, func(db *gorm.DB) error {
		if err := s.acknowledge(db, all); err != nil {
			return err
		}
		result := db.Exec("UPDATE nodes SET answered = ? WHERE id = ? AND answered <= ?", wanted, id, wanted)
		there = result.RowsAffected > 0
		return result.Error
	})
	return there, err
}

// ExtendNodeLease notes that leases are about to be given of up to a length. It reports false for a node that is not there any
// more. It never goes back: what was held up on its way must not undo what came after it.
func (s *Store) ExtendNodeLease(ctx context.Context, id string, lease time.Duration) (there bool, err error) {
	err = s.attend(ctx, func(db *gorm.DB) error {
		ms := lease.Milliseconds()
		if err := db.Exec("UPDATE nodes SET lease = ? WHERE id = ? AND lease < ?", ms, id, ms).Error; err != nil {
			return err
		}
		var n int64
		err := db.Model(&Node{}).Where("id = ? AND lease >= ?", id, ms).Count(&n).Error
		there = n == 1
		return err
	})
	return there, err
}

// Unsaid returns, of what a node would acknowledge, what the database does not say already, or not for long any more.
func (s *Store) Unsaid(ctx context.Context, nodeID string, all []Acknowledgement) ([]Acknowledgement, error) {
	if len(all) == 0 {
		return nil, nil
	}
	userIDs := make([]string, len(all))
	for i, a := range all {
		userIDs[i] = a.UserID
	}
	var rows []Acknowledgement
	err := s.follow.WithContext(ctx).Where("node_id = ? AND user_id IN ? AND time > ?", nodeID, userIDs, s.now()-acknowledgementsKept/2).Find(&rows).Error
	said := make(map[string]Acknowledgement, len(rows))
	for _, a := range rows {
		said[a.UserID] = a
	}
	return slices.DeleteFunc(all, func(a Acknowledgement) bool {
		is, found := said[a.UserID]
		return found && is.Position == a.Position && is.Settled == a.Settled && bytes.Equal(is.Counts, a.Counts)
	}), err
}

// Acknowledge writes what a node acknowledges.
func (s *Store) Acknowledge(ctx context.Context, all []Acknowledgement) error {
	return s.attend(ctx, func(db *gorm.DB) error { return s.acknowledge(db, all) })
}

func (s *Store) acknowledge(db *gorm.DB, all []Acknowledgement) error {
	if len(all) == 0 {
		return nil
	}
	for i := range all {
		all[i].Time = s.now()
		if all[i].Counts == nil {
			all[i].Counts = []byte{} // and not NULL
		}
	}
	return db.Clauses(laterAcknowledgement(db)).CreateInBatches(&all, rowsPerInsert).Error
}

// attend runs statements about nodes, each by itself: every node waits for these rows, and one that is stopped in the middle of
// a transaction would hold them. What lost to others is repeated.
func (s *Store) attend(ctx context.Context, f func(db *gorm.DB) error) error {
	return again(ctx, func() error {
		return onConn(ctx, s.nodes, f)
	})
}

// laterAcknowledgement has an INSERT replace the row that is there, if that is an earlier one. MySQL does one assignment after
// the other, so that the one it compares comes last.
func laterAcknowledgement(tx *gorm.DB) clause.OnConflict {
	key := []clause.Column{{Name: "user_id"}, {Name: "node_id"}}
	columns := []string{"position", "settled", "counts", "time", "seq"}
	if tx.Name() == "sqlite" {
		return clause.OnConflict{Columns: key, DoUpdates: clause.AssignmentColumns(columns),
			Where: clause.Where{Exprs: []clause.Expression{gorm.Expr("excluded.seq > acknowledgements.seq")}}}
	}
	var set clause.Set
	for _, name := range columns {
		set = append(set, clause.Assignment{Column: clause.Column{Name: name}, Value: gorm.Expr("IF(VALUES(seq) > seq, VALUES(" + name + "), " + name + ")")})
	}
	return clause.OnConflict{Columns: key, DoUpdates: set}
}

// Settlement returns all nodes, and what they acknowledge of a user's events, or with "" all that is not settled.
func (s *Store) Settlement(ctx context.Context, userID string) (nodes []Node, all []Acknowledgement, err error) {
	db := s.read.WithContext(ctx)
	err = again(ctx, func() error {
		nodes, all = nil, nil
		if err := db.Order("id").Find(&nodes).Error; err != nil { // first: what a node answers it has acknowledged before
			return err
		}
		q := db.Where("settled = ?", false)
		if userID != "" {
			q = db.Where("user_id = ?", userID)
		}
		return q.Find(&all).Error
	})
	return nodes, all, err
}

// pruneAcknowledgements deletes a batch of those that nobody waits for any more, and of those that a node wrote after it had been
// removed.
func (s *Store) pruneAcknowledgements(ctx context.Context) (more bool, err error) {
	err = s.transact(ctx, func(tx *gorm.DB) error {
		var old []Acknowledgement
		const over = "time < ? AND (settled = ? OR node_id NOT IN (SELECT id FROM nodes))"
		if err := tx.Select("user_id", "node_id", "seq").Where(over, s.now()-acknowledgementsKept, true).Limit(pruneBatch).Find(&old).Error; err != nil {
			return err
		}
		more = len(old) == pruneBatch
		for _, a := range old {
			if err := tx.Where("user_id = ? AND node_id = ? AND seq = ?", a.UserID, a.NodeID, a.Seq).Delete(&Acknowledgement{}).Error; err != nil {
				return err
			}
		}
		return nil
	})
	return more, err
}
