// The driver go-sql-driver/mysql against a running server: it prepares every statement that has arguments.
//
//	go run . HOST PORT USER PASSWORD
//
// It works in a database of its own, client_check_go, which it creates and drops. The exit status is 0 if every step passed.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
)

const database = "client_check_go"

var failures = 0

func step(name string, run func() error) {
	if err := run(); err != nil {
		fmt.Printf("FAILED go: %s: %v\n", name, err)
		failures++
		return
	}
	fmt.Printf("ok     go: %s\n", name)
}

func expect[T comparable](found, wanted T) error {
	if found != wanted {
		return fmt.Errorf("expected %v, found %v", wanted, found)
	}
	return nil
}

func expectError(err error, number uint16) error {
	var answer *mysql.MySQLError
	if !errors.As(err, &answer) {
		return fmt.Errorf("expected error %d, found %v", number, err)
	}
	return expect(answer.Number, number)
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "go run . HOST PORT USER PASSWORD")
		os.Exit(2)
	}
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", os.Args[1]+":"+os.Args[2]
	config.User, config.Passwd, config.ParseTime = os.Args[3], os.Args[4], true
	wrong := *config
	wrong.Passwd += "wrong"
	open := func(config *mysql.Config) *sql.DB {
		connector, err := mysql.NewConnector(config)
		if err != nil {
			panic(err)
		}
		return sql.OpenDB(connector)
	}
	db := open(config)
	defer db.Close()
	step("a wrong password", func() error { return expectError(open(&wrong).Ping(), 1045) })
	step("ping", db.Ping)
	step("make a table", func() error {
		for _, statement := range []string{
			"DROP TABLE IF EXISTS " + database + ".t", "DROP DATABASE IF EXISTS " + database, "CREATE DATABASE " + database,
			"CREATE TABLE " + database + ".t (a BIGINT, b VARCHAR(20))",
		} {
			if _, err := db.Exec(statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
	at := time.Date(2024, 2, 29, 1, 2, 3, 4000, time.UTC)
	step("a value of each type, prepared", func() error {
		var (
			i    int64
			u    uint64
			f    float64
			s    string
			when time.Time
			null sql.NullString
		)
		row := db.QueryRow("SELECT ?, ?, ?, ?, CAST(? AS DATETIME(6)), ?", int64(math.MinInt64), uint64(math.MaxUint64), -0.5, "it's; -- \\", at, nil)
		if err := row.Scan(&i, &u, &f, &s, &when, &null); err != nil {
			return err
		}
		return errors.Join(expect(i, math.MinInt64), expect(u, math.MaxUint64), expect(f, -0.5), expect(s, "it's; -- \\"),
			expect(when, at), expect(null.Valid, false))
	})
	step("a statement that is executed often", func() error {
		statement, err := db.Prepare("SELECT value * ? FROM generate_series(1, 1000) LIMIT ?")
		if err != nil {
			return err
		}
		defer statement.Close()
		for count := 1; count <= 50; count++ {
			rows, err := statement.Query(2, count)
			if err != nil {
				return err
			}
			found := 0
			for rows.Next() {
				found++
			}
			if err := errors.Join(rows.Err(), rows.Close(), expect(found, count)); err != nil {
				return err
			}
		}
		return nil
	})
	step("names and types of columns", func() error {
		rows, err := db.Query("SELECT a, b FROM "+database+".t WHERE a = ?", 1)
		if err != nil {
			return err
		}
		defer rows.Close()
		types, err := rows.ColumnTypes()
		if err != nil {
			return err
		}
		return errors.Join(expect(len(types), 2), expect(types[0].DatabaseTypeName(), "BIGINT"), expect(types[1].Name(), "b"))
	})
	step("an error on preparing", func() error {
		_, err := db.Query("SELECT * FROM "+database+".nothing WHERE a = ?", 1)
		return expectError(err, 1146)
	})
	step("a context that is cancelled ends the statement and not the pool", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_, err := db.ExecContext(ctx, "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WHERE a.value * b.value % 7 = 8")
		if err == nil {
			return errors.New("it came to its end")
		}
		var one int
		return errors.Join(db.QueryRow("SELECT ?", 1).Scan(&one), expect(one, 1))
	})
	several := *config
	several.MultiStatements = true
	step("several statements in one text", func() error {
		db := open(&several)
		defer db.Close()
		rows, err := db.Query("SELECT 1; SELECT 2, 'a;b'; SELECT 3")
		if err != nil {
			return err
		}
		defer rows.Close()
		answers := 1
		for rows.Next() || rows.NextResultSet() {
			if columns, err := rows.Columns(); err == nil && len(columns) == 2 {
				answers = 2
			}
		}
		return errors.Join(rows.Err(), expect(answers, 2))
	})
	step("drop it", func() error {
		_, first := db.Exec("DROP TABLE " + database + ".t")
		_, second := db.Exec("DROP DATABASE " + database)
		return errors.Join(first, second)
	})
	if failures > 0 {
		os.Exit(1)
	}
}
