package models

import (
	"database/sql"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// sqliteDialector is GORM's view of SQLite, as far as the store needs it. GORM's own links the C driver, which would cost
// every build a C compiler and half a minute; the one made for the pure Go driver is no longer kept.
type sqliteDialector struct{ pool *sql.DB }

// Name is the dialect's name.
func (sqliteDialector) Name() string { return "sqlite" }

// Initialize sets up a gorm.DB.
func (d sqliteDialector) Initialize(db *gorm.DB) error {
	callbacks.RegisterDefaultCallbacks(db, &callbacks.Config{LastInsertIDReversed: true})
	db.ConnPool = d.pool
	// One connection writes, so that there is nothing to lock and no syntax for it.
	db.ClauseBuilders["FOR"] = func(clause.Clause, clause.Builder) {}
	return nil
}

// Translate gives the errors of constraints the names that they have for every database.
func (sqliteDialector) Translate(err error) error {
	switch sqliteCode(err) {
	case sqliteUnique, sqlitePrimaryKey:
		return fmt.Errorf("%w: %w", gorm.ErrDuplicatedKey, err)
	case sqliteForeignKey, sqliteTrigger:
		return fmt.Errorf("%w: %w", gorm.ErrForeignKeyViolated, err)
	}
	return err
}

// Migrator returns nil: the store has versioned migrations.
func (sqliteDialector) Migrator(*gorm.DB) gorm.Migrator { return nil }

// DataTypeOf is for migrators only.
func (sqliteDialector) DataTypeOf(*schema.Field) string { return "" }

// DefaultValueOf is what an INSERT of several rows says where one has no value.
func (sqliteDialector) DefaultValueOf(*schema.Field) clause.Expression {
	return clause.Expr{SQL: "NULL"}
}

// BindVarTo writes the placeholder of a value.
func (sqliteDialector) BindVarTo(w clause.Writer, _ *gorm.Statement, _ any) { w.WriteByte('?') }

// QuoteTo writes a name of a table or column, which may be qualified.
func (sqliteDialector) QuoteTo(w clause.Writer, name string) {
	w.WriteByte('"')
	for i := range len(name) {
		switch name[i] {
		case '.':
			w.WriteString(`"."`)
		case '"':
			w.WriteString(`""`)
		default:
			w.WriteByte(name[i])
		}
	}
	w.WriteByte('"')
}

// Explain is for logs, of which the store has none.
func (sqliteDialector) Explain(query string, vars ...any) string {
	return logger.ExplainSQL(query, nil, `'`, vars...)
}
