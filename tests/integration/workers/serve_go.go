// HTTP by net/http on the sockets that it was given (LISTEN_FDS). SIGINT and SIGTERM end it once
// the requests under way are answered; with -naive it does not think of signals at all.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func say(w http.ResponseWriter, value map[string]interface{}) {
	value["pid"] = os.Getpid()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}

func passed() []net.Listener {
	count, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || count < 1 {
		log.Fatal("no socket was passed to me")
	}
	listeners := []net.Listener{}
	for fd := 3; fd < 3+count; fd++ {
		file := os.NewFile(uintptr(fd), fmt.Sprintf("passed-%d", fd))
		listener, err := net.FileListener(file)
		if err != nil {
			log.Fatal(err)
		}
		file.Close() // FileListener has made a copy
		listeners = append(listeners, listener)
	}
	return listeners
}

func main() {
	naive := flag.Bool("naive", false, "no signal handling")
	flag.Parse()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		say(w, map[string]interface{}{"id": r.URL.Query().Get("id")})
	})
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		say(w, map[string]interface{}{"id": r.URL.Query().Get("id")})
	})
	http.HandleFunc("/version", func(w http.ResponseWriter, r *http.Request) {
		say(w, map[string]interface{}{"version": os.Getenv("VERSION")})
	})

	server := &http.Server{}
	stopped := make(chan struct{})
	if !*naive {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
		go func() {
			<-signals
			server.Shutdown(context.Background())
			close(stopped)
		}()
	}
	for _, listener := range passed() {
		go func(listener net.Listener) {
			if err := server.Serve(listener); err != http.ErrServerClosed {
				log.Fatal(err)
			}
		}(listener)
	}
	<-stopped
}
