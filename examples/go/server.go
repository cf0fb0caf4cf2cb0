// net/http on every socket that clusterctl hands over. No signal handler.
// Build it with: go build server.go
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
)

const firstPassedFD = 3 // see sd_listen_fds(3)

func main() {
	count, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil {
		log.Fatal("start me with clusterctl, which hands me my sockets")
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "{\"path\":%q,\"pid\":%d}\n", r.URL.Path, os.Getpid())
	})
	failed := make(chan error)
	for i := 0; i < count; i++ {
		file := os.NewFile(uintptr(firstPassedFD+i), "listener")
		listener, err := net.FileListener(file)
		if err != nil {
			log.Fatal(err)
		}
		file.Close() // the listener has a duplicate of its own
		go func() { failed <- http.Serve(listener, nil) }()
	}
	log.Fatal(<-failed)
}
