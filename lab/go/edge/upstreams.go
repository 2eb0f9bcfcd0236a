package edge

import (
	"net"
	"net/http"
	"net/netip"
	"sort"
	"strconv"
	"sync"
	"time"

	discovery "k8s.io/api/discovery/v1"
)

// upstream is one ready pod. Its transport is its own, so that its connections end with it.
type upstream struct {
	uid, pod, zone, address string

	transport *http.Transport
}

// upstreams are the ready pods of the Service, and whose turn it is on each route.
type upstreams struct {
	connect time.Duration
	metrics *metrics

	mu    sync.Mutex
	ready []*upstream
	turns map[string]int
}

func newUpstreams(connect time.Duration, metrics *metrics) *upstreams {
	return &upstreams{connect: connect, metrics: metrics, turns: map[string]int{}}
}

// next returns the upstream whose turn it is on this route; nil when none is ready.
func (u *upstreams) next(route string) *upstream {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.ready) == 0 {
		return nil
	}
	turn := u.turns[route]
	u.turns[route] = turn + 1
	return u.ready[turn%len(u.ready)]
}

// set replaces the upstreams. Those that stay keep their connections; the idle connections of
// those that left are closed, and those still answering close once they have.
func (u *upstreams) set(wanted []upstream) {
	u.mu.Lock()
	defer u.mu.Unlock()
	known := map[string]*upstream{}
	for _, each := range u.ready {
		known[each.uid+each.address] = each
	}
	u.ready = nil
	for _, each := range wanted {
		key := each.uid + each.address
		if known[key] == nil {
			each.transport = newTransport(u.connect)
			u.ready = append(u.ready, &each)
			continue
		}
		u.ready = append(u.ready, known[key])
		delete(known, key)
	}
	for _, gone := range known {
		gone.transport.CloseIdleConnections()
	}
	u.metrics.countUpstreams(u.ready)
}

func newTransport(connect time.Duration) *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connect}).DialContext,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 128,
		IdleConnTimeout:     30 * time.Second, // before the wallet's own 75 s, so that it never closes first
	}
}

// ready returns the ready pods that the slices name, sorted by uid; each pod once.
func ready(slices []*discovery.EndpointSlice) []upstream {
	found := map[string]upstream{}
	for _, slice := range slices {
		if len(slice.Ports) == 0 || slice.Ports[0].Port == nil {
			continue
		}
		port := strconv.Itoa(int(*slice.Ports[0].Port))
		for _, endpoint := range slice.Endpoints {
			if each, ok := toUpstream(endpoint, port); ok {
				found[each.uid] = each
			}
		}
	}
	all := make([]upstream, 0, len(found))
	for _, each := range found {
		all = append(all, each)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].uid < all[j].uid })
	return all
}

func toUpstream(endpoint discovery.Endpoint, port string) (upstream, bool) {
	isReady := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
	pod := endpoint.TargetRef
	if !isReady || pod == nil || pod.UID == "" || len(endpoint.Addresses) == 0 {
		return upstream{}, false
	}
	host, ok := loopback(endpoint.Addresses[0])
	if !ok {
		return upstream{}, false
	}
	zone := ""
	if endpoint.Zone != nil {
		zone = *endpoint.Zone
	}
	return upstream{
		uid: string(pod.UID), pod: pod.Name, zone: zone, address: net.JoinHostPort(host, port),
	}, true
}

// loopback maps a reported pod address 10.a.b.c to 127.a.b.c, where the pod really listens, since
// EndpointSlices refuse loopback addresses. No other address is ever contacted.
func loopback(address string) (string, bool) {
	parsed, err := netip.ParseAddr(address)
	if err != nil || !parsed.Is4() {
		return "", false
	}
	bytes := parsed.As4()
	if bytes[0] != 10 {
		return "", false
	}
	bytes[0] = 127
	return netip.AddrFrom4(bytes).String(), true
}
