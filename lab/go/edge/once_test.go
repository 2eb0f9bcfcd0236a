package edge

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fickle answers the first request of every connection and hangs up on the second, unanswered.
type fickle struct {
	socket      net.Listener
	requests    atomic.Int32
	connections atomic.Int32
}

func newFickle(t *testing.T) *fickle {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fickle{socket: socket}
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			f.connections.Add(1)
			go f.serve(conn)
		}
	}()
	t.Cleanup(func() { socket.Close() })
	return f
}

func (f *fickle) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for range 2 {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, request.Body)
		if f.requests.Add(1) == 2 {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

func TestNothingIsSentTwice(t *testing.T) {
	for _, each := range []struct{ name, method, key, body string }{
		{"a query", http.MethodGet, "", ""},
		{"a query with a key", http.MethodGet, "k-1", ""},
		{"a transfer with a key", http.MethodPost, "k-2", `{"amount_cents": 1}`},
		{"a transfer with a key and no body", http.MethodPost, "k-3", ""},
		{"a deletion with a key", http.MethodDelete, "k-4", ""},
	} {
		t.Run(each.name, func(t *testing.T) {
			s, upstream := newStand(t, time.Second), newFickle(t)
			s.toward(upstream.socket.Addr().String())
			if code, text := s.send(each.method, "/x", each.key, strings.NewReader(each.body)); code != 200 {
				t.Fatal(code, text)
			}
			code, _ := s.send(each.method, "/x", each.key, strings.NewReader(each.body))
			if code != 502 || upstream.requests.Load() != 2 || upstream.connections.Load() != 1 {
				t.Fatalf("code %d, %d requests on %d connections; want 502, 2 on 1",
					code, upstream.requests.Load(), upstream.connections.Load())
			}
		})
	}
}

// The upstream of the test above provokes the repetition that `once` rules out.
func TestGoRepeatsWhenItIsNotHindered(t *testing.T) {
	upstream := newFickle(t)
	transport := newTransport(time.Second)
	for range 2 {
		request, _ := http.NewRequest(http.MethodPost, "http://"+upstream.socket.Addr().String(), nil)
		request.Header.Set("Idempotency-Key", "k-1")
		answer, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	if got := upstream.requests.Load(); got != 3 {
		t.Fatalf("%d requests for 2 calls; want 3", got)
	}
}
