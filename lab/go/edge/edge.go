// Package edge is the entrance of the lab's customers: a reverse proxy fed by EndpointSlices.
//
// It repeats nothing: one request of a customer is at most one request to one upstream, whatever
// fails, so that what customers saw and what the wallet did can be compared one to one.
package edge

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/klog/v2"
)

// settings are the flags of the edge; durations are limits.
type settings struct {
	listen     string
	metrics    string
	kubeconfig string
	namespace  string
	service    string
	connect    time.Duration
	answer     time.Duration
}

// Main runs the edge until SIGTERM or SIGINT and returns the exit code.
func Main(args []string) int {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	klog.SetSlogLogger(log)
	set, err := parse(args)
	if err != nil {
		return 2 // parse has said why
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, set, log); err != nil {
		log.Error("edge stopped", "error", err.Error())
		return 1
	}
	return 0
}

func parse(args []string) (settings, error) {
	var set settings
	flags := flag.NewFlagSet("edge", flag.ContinueOnError)
	flags.StringVar(&set.listen, "listen", "127.1.0.10:8080", "customers' entrance")
	flags.StringVar(&set.metrics, "metrics", "127.1.0.10:9090", "address of /metrics and /healthz")
	flags.StringVar(&set.kubeconfig, "kubeconfig", "", "file that says where the API server is")
	flags.StringVar(&set.namespace, "namespace", "wallet", "namespace of the Service")
	flags.StringVar(&set.service, "service", "wallet-api", "Service whose endpoints are upstreams")
	flags.DurationVar(&set.connect, "connect-limit", 500*time.Millisecond, "limit to connect to an upstream")
	flags.DurationVar(&set.answer, "answer-limit", 15*time.Second, "limit for an upstream's whole answer")
	if err := flags.Parse(args); err != nil {
		return set, err
	}
	if flags.NArg() > 0 {
		err := errors.New("unexpected argument: " + flags.Arg(0))
		fmt.Fprintln(flags.Output(), err)
		flags.Usage()
		return set, err
	}
	return set, nil
}

func run(ctx context.Context, set settings, log *slog.Logger) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := newMetrics(registry)
	upstreams := newUpstreams(set.connect, metrics)
	watch, err := newWatch(set, upstreams, log)
	if err != nil {
		return err
	}
	go watch.run(ctx)
	entrance := &http.Server{Handler: newProxy(upstreams, metrics, set.answer, log)}
	admin := &http.Server{Handler: newAdmin(registry, watch.synced)}
	return serve(ctx, log, set.answer, listener{set.listen, entrance}, listener{set.metrics, admin})
}

// listener is a server and the address it is to listen on.
type listener struct {
	address string
	server  *http.Server
}

// serve runs the servers until ctx ends, then lets the requests under way finish within the limit.
func serve(ctx context.Context, log *slog.Logger, limit time.Duration, servers ...listener) error {
	failed := make(chan error, len(servers))
	for _, each := range servers {
		socket, err := net.Listen("tcp", each.address)
		if err != nil {
			return err
		}
		each.server.ReadHeaderTimeout = 10 * time.Second
		each.server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
		go func() { failed <- each.server.Serve(socket) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var errs []error
	for _, each := range servers {
		errs = append(errs, each.server.Shutdown(grace))
	}
	return errors.Join(errs...)
}
