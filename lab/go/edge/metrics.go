package edge

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what the edge saw. Nothing is ever deleted: the series of an upstream that is gone
// stay and are flat, so that "no requests" and "no data" can be told apart.
type metrics struct {
	requests *prometheus.HistogramVec
	ready    *prometheus.GaugeVec
	zones    map[string]float64 // ready upstreams by zone; guarded by the lock of upstreams
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "edge_request_duration_seconds",
			Help: "Customers' requests, from their arrival to the end of the answer. " +
				"502: no upstream or it failed; 499: the customer went away.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10},
		}, []string{"route", "code", "upstream", "pod", "zone"}),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "edge_upstreams",
			Help: "Ready upstreams, by zone.",
		}, []string{"zone"}),
		zones: map[string]float64{},
	}
	registry.MustRegister(m.requests, m.ready)
	return m
}

func (m *metrics) observe(p *passage, took time.Duration) {
	uid, pod, zone := p.labels()
	code := strconv.Itoa(p.code)
	m.requests.WithLabelValues(p.route, code, uid, pod, zone).Observe(took.Seconds())
}

// countUpstreams sets the gauge of each zone; a zone that was seen once stays, with 0.
func (m *metrics) countUpstreams(ready []*upstream) {
	for zone := range m.zones {
		m.zones[zone] = 0
	}
	for _, each := range ready {
		m.zones[each.zone]++
	}
	for zone, count := range m.zones {
		m.ready.WithLabelValues(zone).Set(count)
	}
}

// newAdmin serves /metrics, and /healthz: 200 once the EndpointSlices were read a first time.
func newAdmin(registry *prometheus.Registry, synced func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !synced() {
			http.Error(w, "the EndpointSlices were not read yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	return mux
}
