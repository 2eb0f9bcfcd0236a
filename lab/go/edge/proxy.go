package edge

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"time"
)

// Status codes of what the edge says itself, beside those that it passes on.
const (
	customerGone   = 499 // the customer went away before the answer was complete; nginx's number
	upstreamFailed = http.StatusBadGateway
)

// proxy passes each request of a customer to one upstream, once.
type proxy struct {
	upstreams *upstreams
	metrics   *metrics
	routes    *routes
	answer    time.Duration
	log       *slog.Logger
}

func newProxy(u *upstreams, m *metrics, answer time.Duration, log *slog.Logger) *proxy {
	return &proxy{upstreams: u, metrics: m, routes: newRoutes(), answer: answer, log: log}
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	pass := &passage{
		proxy: p, customer: &customer{ResponseWriter: w}, request: r, route: p.routes.of(r),
	}
	pass.upstream = p.upstreams.next(pass.route)
	defer func() {
		// ReverseProxy panics when an answer breaks off after its first byte: the connection to
		// the customer has to be cut, and the request still has to be counted.
		broken := recover()
		if broken != nil {
			pass.fail("the answer broke off")
		}
		p.metrics.observe(pass, time.Since(began))
		if broken != nil {
			panic(broken)
		}
	}()
	pass.serve()
}

// passage is one request on its way through the edge.
type passage struct {
	proxy    *proxy
	customer *customer
	request  *http.Request
	route    string
	upstream *upstream // nil when none was ready
	code     int
}

func (p *passage) serve() {
	if p.upstream == nil {
		p.fail("no upstream is ready")
		http.Error(p.customer, "no upstream is ready", p.code)
		return
	}
	limited, cancel := context.WithTimeout(p.request.Context(), p.proxy.answer)
	defer cancel()
	reverse := httputil.ReverseProxy{
		Rewrite:      p.rewrite,
		Transport:    once{p.upstream.transport},
		ErrorLog:     slog.NewLogLogger(p.proxy.log.Handler(), slog.LevelWarn),
		ErrorHandler: p.refuse,
	}
	reverse.ServeHTTP(p.customer, p.request.WithContext(limited))
	if p.code == 0 {
		p.code = p.customer.code
	}
}

func (p *passage) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme = "http"
	r.Out.URL.Host = p.upstream.address
	r.SetXForwarded()
}

// refuse answers a customer whose upstream failed before the first byte of its answer.
func (p *passage) refuse(w http.ResponseWriter, _ *http.Request, err error) {
	p.fail(err.Error())
	http.Error(w, "the upstream failed", p.code)
}

// fail settles the code of a request that was not answered, and logs why.
func (p *passage) fail(why string) {
	p.code = upstreamFailed
	if p.request.Context().Err() != nil || p.customer.failed {
		p.code = customerGone
	}
	uid, pod, zone := p.labels()
	p.proxy.log.Error("request failed", "error", why, "route", p.route, "code", p.code,
		"upstream", uid, "pod", pod, "zone", zone)
}

func (p *passage) labels() (uid, pod, zone string) {
	if p.upstream == nil {
		return "", "", ""
	}
	return p.upstream.uid, p.upstream.pod, p.upstream.zone
}

// customer remembers what was sent to the customer, and whether sending it failed.
type customer struct {
	http.ResponseWriter
	code   int
	failed bool
}

func (c *customer) WriteHeader(code int) {
	if code >= http.StatusOK {
		c.code = code
	}
	c.ResponseWriter.WriteHeader(code)
}

func (c *customer) Write(data []byte) (int, error) {
	if c.code == 0 {
		c.code = http.StatusOK
	}
	n, err := c.ResponseWriter.Write(data)
	c.failed = c.failed || err != nil
	return n, err
}

// Unwrap lets ReverseProxy flush.
func (c *customer) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// once sends a request a single time. Go's transport sends a request again when a connection it
// reuses turns out dead, if the request has no body, or one that can be rewound, and is idempotent
// by its method or by an Idempotency-Key. A body of unknown length that cannot be rewound, even an
// empty one, rules that out.
type once struct{ transport http.RoundTripper }

func (o once) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := *r
	sent.GetBody = nil
	if sent.Body == nil || sent.Body == http.NoBody {
		sent.Body = empty{}
	}
	return o.transport.RoundTrip(&sent)
}

// empty is a body without content that is not http.NoBody.
type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
func (empty) Close() error             { return nil }
