package edge

import (
	"net/http"
	"strings"
	"sync"
)

// maxRoutes bounds the number of series; a route beyond it is counted as "other".
const maxRoutes = 50

// routes names the route of a request, so that requests of one kind share a series.
type routes struct {
	mu   sync.Mutex
	seen map[string]bool
}

func newRoutes() *routes { return &routes{seen: map[string]bool{}} }

func (r *routes) of(request *http.Request) string {
	route := normalise(request.Method, request.URL.EscapedPath())
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[route] {
		return route
	}
	if len(r.seen) >= maxRoutes {
		return "other"
	}
	r.seen[route] = true
	return route
}

// normalise returns method and path, each segment that contains a digit replaced by ":id".
func normalise(method, path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if strings.ContainsAny(segment, "0123456789") {
			segments[i] = ":id"
		}
	}
	return strings.ToValidUTF8(method+" "+strings.Join(segments, "/"), "?")
}
