// A real server of MongoDB's wire protocol for the tests: FerretDB over SQLite files.
//
// Usage: mongo_server 127.0.0.1:PORT DATA_DIRECTORY
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/FerretDB/FerretDB/ferretdb"
	"github.com/FerretDB/wire"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: mongo_server 127.0.0.1:PORT DATA_DIRECTORY")
	}
	directory, err := filepath.Abs(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: os.Args[1]},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Handler:   "sqlite",
		SQLiteURL: "file:" + directory + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	// MongoDB takes NaN.
	wire.CheckNaNs = false
	// New has opened the socket already: who reads this line can connect.
	fmt.Println("ready", os.Args[1])
	if err := server.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
