package models

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"gorm.io/gorm"
)

// One folder per dialect, one file per version, named <version>_<what>.sql. A file that has been released never changes;
// its statements are idempotent, since MySQL commits each one by itself and a start can be cut short between two. So is
// ALTER TABLE … ADD COLUMN, which neither database can say IF NOT EXISTS of: what it says of a column that is there is
// let pass. One such statement is done as a whole or not at all. So two nodes may even be at it together, as they are on two
// hosts of a cluster, where no lock keeps them apart.
//
//go:embed migrations
var migrations embed.FS

// migrationWait is how long a node waits for another one that is migrating: longer than any migration should take.
const migrationWait = 5 * time.Minute

// newestTolerated is how many versions ahead of this program a database may be. A node of the version before must go on
// working beside the one that migrated, while nodes are replaced one by one.
const newestTolerated = 1

type schemaMigration struct {
	Version   int `gorm:"primaryKey;autoIncrement:false"`
	AppliedAt Time
}

// migrate brings the database to the newest version, once, however many nodes start together.
func migrate(ctx context.Context, db *gorm.DB) error {
	dialect := db.Dialector.Name()
	files, err := fs.Glob(migrations, "migrations/"+dialect+"/*.sql")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, migrationWait)
	defer cancel()
	return db.WithContext(ctx).Connection(func(conn *gorm.DB) (err error) {
		conn = conn.Session(&gorm.Session{}) // so that one statement's conditions do not stick to the next
		unlock, err := lockMigrations(ctx, conn)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unlock(err)) }()
		const table = "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)"
		if err := migrateBy(conn, table); err != nil {
			return err
		}
		return applyMigrations(conn, files)
	})
}

func applyMigrations(conn *gorm.DB, files []string) error {
	current, err := currentVersion(conn)
	if err != nil {
		return err
	}
	if current > len(files)+newestTolerated {
		return fmt.Errorf("the database is at version %d and this program knows %d: start a newer Tokenwire", current, len(files))
	}
	for i, file := range files {
		if version := i + 1; version > current {
			if err := applyMigration(conn, version, file); err != nil {
				return fmt.Errorf("migration %s: %w", file, err)
			}
			if current, err = currentVersion(conn); err != nil { // another node may be further
				return err
			}
		}
	}
	return nil
}

func currentVersion(conn *gorm.DB) (version int, err error) {
	err = conn.Model(&schemaMigration{}).Select("COALESCE(MAX(version), 0)").Scan(&version).Error
	return version, err
}

func applyMigration(conn *gorm.DB, version int, file string) error {
	text, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	for statement := range strings.SplitSeq(string(text), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if err := migrateBy(conn, statement); err != nil && !hasColumn(err) {
			return err
		}
	}
	err = migrateBy(conn, "INSERT INTO schema_migrations (version, applied_at) VALUES (?, ?)", version, TimeOf(time.Now()))
	if errors.Is(err, gorm.ErrDuplicatedKey) { // another node was faster
		return nil
	}
	return err
}

// migrateBy executes a statement, and does so again when another node's came between: then rows of it are there.
func migrateBy(conn *gorm.DB, statement string, args ...any) error {
	for attempt := 1; ; attempt++ {
		err := conn.Exec(statement, args...).Error
		if !transient(err) || attempt == maxAttempts {
			return err
		}
		time.Sleep(rand.N(min(firstBackoff<<attempt, longestBackoff)))
	}
}

// hasColumn reports whether a column was not added because it is there. SQLite has no number for that.
func hasColumn(err error) bool {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return my.Number == 1060 // ER_DUP_FIELDNAME
	}
	return strings.Contains(err.Error(), "duplicate column name")
}

// lockMigrations lets one node migrate at a time. SQLite: a write transaction, which also makes the whole migration one
// step. MySQL: a named lock of this connection, which ends with it. It is known to one host only.
func lockMigrations(ctx context.Context, conn *gorm.DB) (unlock func(error) error, err error) {
	if conn.Dialector.Name() == "sqlite" {
		if err := conn.Exec("BEGIN IMMEDIATE").Error; err != nil {
			return nil, err
		}
		return func(failed error) error {
			if failed != nil {
				return conn.WithContext(context.WithoutCancel(ctx)).Exec("ROLLBACK").Error
			}
			return conn.Exec("COMMIT").Error
		}, nil
	}
	const name = "CONCAT('tokenwire migrations ', SHA1(DATABASE()))"
	var got *int64
	err = conn.Raw("SELECT GET_LOCK("+name+", ?)", int(migrationWait.Seconds())).Scan(&got).Error
	if err == nil && (got == nil || *got != 1) {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return nil, fmt.Errorf("waiting for another node's migration: %w", err)
	}
	return func(error) error {
		return conn.WithContext(context.WithoutCancel(ctx)).Exec("DO RELEASE_LOCK(" + name + ")").Error
	}, nil
}
