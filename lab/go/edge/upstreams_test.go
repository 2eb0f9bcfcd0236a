package edge

import (
	"fmt"
	"net/http/httptest"
	"testing"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

func endpoint(uid, zone, address string, isReady bool) discovery.Endpoint {
	return discovery.Endpoint{
		Addresses:  []string{address},
		Conditions: discovery.EndpointConditions{Ready: &isReady},
		TargetRef:  &core.ObjectReference{UID: types.UID(uid), Name: "wallet-api-" + uid},
		Zone:       &zone,
	}
}

func slice(endpoints ...discovery.Endpoint) *discovery.EndpointSlice {
	port := int32(8080)
	return &discovery.EndpointSlice{
		Ports: []discovery.EndpointPort{{Port: &port}}, Endpoints: endpoints,
	}
}

func TestReadyPodsOfAllSlicesAreUpstreamsOnce(t *testing.T) {
	one := endpoint("u1", "sa-east-1a", "10.7.64.1", true)
	two := endpoint("u2", "sa-east-1b", "10.7.128.1", true)
	got := ready([]*discovery.EndpointSlice{
		slice(two, endpoint("u3", "sa-east-1c", "10.7.192.1", false)), slice(one, two), {},
	})
	want := []upstream{
		{uid: "u1", pod: "wallet-api-u1", zone: "sa-east-1a", address: "127.7.64.1:8080"},
		{uid: "u2", pod: "wallet-api-u2", zone: "sa-east-1b", address: "127.7.128.1:8080"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%v; want %v", got, want)
	}
}

func TestOnlyPodAddressesAreContacted(t *testing.T) {
	for address, want := range map[string]string{
		"10.7.64.1": "127.7.64.1", "10.255.0.9": "127.255.0.9",
		"127.7.64.1": "", "192.168.0.1": "", "8.8.8.8": "", "fd00::1": "", "wallet": "",
	} {
		if got, ok := loopback(address); got != want || ok != (want != "") {
			t.Errorf("%s: %q; want %q", address, got, want)
		}
	}
}

func TestRoutes(t *testing.T) {
	for path, want := range map[string]string{
		"/accounts/acc-0001/balance":     "GET /accounts/:id/balance",
		"/transfers/pix?since=1":         "GET /transfers/pix",
		"/ledger/transfers":              "GET /ledger/transfers",
		"/":                              "GET /",
		"/accounts/jo%C3%A3o/balance":    "GET /accounts/:id/balance",
		"/v2/accounts/acc-0001/balance/": "GET /:id/accounts/:id/balance/",
	} {
		if got := newRoutes().of(httptest.NewRequest("GET", path, nil)); got != want {
			t.Errorf("%s: %q; want %q", path, got, want)
		}
	}
}

func TestTheFiftyFirstRouteIsOther(t *testing.T) {
	routes, named := newRoutes(), 0
	for i := range 60 {
		path := "/" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		if routes.of(httptest.NewRequest("GET", path, nil)) != "other" {
			named++
		}
	}
	if named != 50 {
		t.Fatalf("%d routes have a name; want 50", named)
	}
	if got := routes.of(httptest.NewRequest("GET", "/aa", nil)); got != "GET /aa" {
		t.Fatal(got)
	}
}
