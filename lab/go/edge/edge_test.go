package edge

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stand is an edge in front of the upstreams that a test names, with its metrics as text.
type stand struct {
	t         *testing.T
	upstreams *upstreams
	entrance  *httptest.Server
	admin     *httptest.Server
}

func newStand(t *testing.T, answer time.Duration) *stand {
	t.Helper()
	registry := prometheus.NewRegistry()
	metrics := newMetrics(registry)
	ups := newUpstreams(500*time.Millisecond, metrics)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := &stand{
		t: t, upstreams: ups,
		entrance: httptest.NewServer(newProxy(ups, metrics, answer, log)),
		admin:    httptest.NewServer(newAdmin(registry, func() bool { return true })),
	}
	t.Cleanup(s.entrance.Close)
	t.Cleanup(s.admin.Close)
	return s
}

// toward makes one upstream of each address, named a, b, c, …
func (s *stand) toward(addresses ...string) {
	var all []upstream
	for i, address := range addresses {
		name := string(rune('a' + i))
		all = append(all, upstream{
			uid: "uid-" + name, pod: "pod-" + name, zone: "sa-east-1" + name, address: address,
		})
	}
	s.upstreams.set(all)
}

func (s *stand) get(path string) (int, string) {
	s.t.Helper()
	return s.send(http.MethodGet, path, "", nil)
}

func (s *stand) send(method, path, key string, body io.Reader) (int, string) {
	s.t.Helper()
	request, err := http.NewRequest(method, s.entrance.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	// A connection of its own: this client must not repeat anything either.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return answer.StatusCode, err.Error()
	}
	return answer.StatusCode, string(text)
}

// series is the value of one line of /metrics; "" when there is none.
func (s *stand) series(name string) string {
	s.t.Helper()
	answer, err := http.Get(s.admin.URL + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// counted waits until the series has the value: the edge counts after the customer has the answer.
func (s *stand) counted(labels, want string) {
	s.t.Helper()
	name := "edge_request_duration_seconds_count{" + labels + "}"
	await(s.t, name+" = "+want, func() bool { return s.series(name) == want })
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 5 s: %s", what)
		}
	}
}

func addressOf(server *httptest.Server) string { return server.Listener.Addr().String() }

func answering(t *testing.T, text string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return addressOf(server)
}

// deadAddress is one where nothing listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	return socket.Addr().String()
}

func TestTurnsAreTakenPerRoute(t *testing.T) {
	s := newStand(t, time.Second)
	s.toward(answering(t, "a"), answering(t, "b"), answering(t, "c"))
	var balances, transfers string
	for range 2 * 3 {
		_, text := s.get("/accounts/acc-0001/balance")
		balances += text
		_, text = s.send(http.MethodPost, "/transfers/pix", "", strings.NewReader("{}"))
		transfers += text
	}
	if balances != "abcabc" || transfers != "abcabc" {
		t.Fatal(balances, transfers)
	}
}

func TestWithoutAnUpstreamTheAnswerIs502(t *testing.T) {
	s := newStand(t, time.Second)
	if code, _ := s.get("/accounts/acc-0001/balance"); code != 502 {
		t.Fatal(code)
	}
	s.counted(`code="502",pod="",route="GET /accounts/:id/balance",upstream="",zone=""`, "1")
}

func TestADeadUpstreamIs502AndNoOtherIsAsked(t *testing.T) {
	s := newStand(t, time.Second)
	s.toward(deadAddress(t), answering(t, "b"))
	if code, _ := s.get("/x"); code != 502 {
		t.Fatal(code)
	}
	if code, text := s.get("/x"); code != 200 || text != "b" {
		t.Fatal(code, text)
	}
	s.counted(`code="502",pod="pod-a",route="GET /x",upstream="uid-a",zone="sa-east-1a"`, "1")
}

func TestAnAnswerThatTakesTooLongIs502(t *testing.T) {
	s := newStand(t, 50*time.Millisecond)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	s.toward(addressOf(server))
	if code, _ := s.get("/slow"); code != 502 {
		t.Fatal(code)
	}
	s.counted(`code="502",pod="pod-a",route="GET /slow",upstream="uid-a",zone="sa-east-1a"`, "1")
}

func TestAnAnswerThatBreaksOffIsCutAndCountedAs502(t *testing.T) {
	s := newStand(t, time.Second)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "half")
	}))
	t.Cleanup(server.Close)
	s.toward(addressOf(server))
	if _, text := s.get("/torn"); !strings.Contains(text, "EOF") {
		t.Fatal("the customer took half an answer for a whole one: ", text)
	}
	s.counted(`code="502",pod="pod-a",route="GET /torn",upstream="uid-a",zone="sa-east-1a"`, "1")
}

func TestACustomerThatWentAwayIs499(t *testing.T) {
	s := newStand(t, 5*time.Second)
	arrived := make(chan bool)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	s.toward(addressOf(server))
	ctx, leave := context.WithCancel(context.Background())
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.entrance.URL+"/left", nil)
	go func() {
		<-arrived
		leave()
	}()
	if answer, err := http.DefaultClient.Do(request); err == nil {
		answer.Body.Close()
		t.Fatal("an answer to a customer who had left")
	}
	s.counted(`code="499",pod="pod-a",route="GET /left",upstream="uid-a",zone="sa-east-1a"`, "1")
}

func TestSeriesStayWhenUpstreamsAreGone(t *testing.T) {
	s := newStand(t, time.Second)
	s.toward(answering(t, "a"))
	s.get("/x")
	labels := `code="200",pod="pod-a",route="GET /x",upstream="uid-a",zone="sa-east-1a"`
	s.counted(labels, "1")
	if got := s.series(`edge_upstreams{zone="sa-east-1a"}`); got != "1" {
		t.Fatal(got)
	}
	s.toward()
	s.counted(labels, "1")
	if got := s.series(`edge_upstreams{zone="sa-east-1a"}`); got != "0" {
		t.Fatal(got)
	}
}

func TestConnectionsEndWhenTheirUpstreamLeaves(t *testing.T) {
	s := newStand(t, time.Second)
	ended := make(chan bool, 1)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended <- true
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	s.toward(addressOf(server))
	s.get("/x")
	s.toward()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the connection to an upstream that left is still open")
	}
}

func TestHealth(t *testing.T) {
	for _, synced := range []bool{false, true} {
		answer := httptest.NewRecorder()
		admin := newAdmin(prometheus.NewRegistry(), func() bool { return synced })
		admin.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		if want := map[bool]int{false: 503, true: 200}[synced]; answer.Code != want {
			t.Fatal(synced, answer.Code)
		}
	}
}

func TestStopsAfterTheRequestsUnderWay(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	arrived := make(chan bool)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- true
		<-ctx.Done()
		_, _ = io.WriteString(w, "whole")
	})}
	address := deadAddress(t)
	stopped := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	go func() { stopped <- serve(ctx, log, time.Second, listener{address, server}) }()
	await(t, "it listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	go func() {
		<-arrived
		stop()
	}()
	answer, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); string(text) != "whole" {
		t.Fatal(string(text), err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}
