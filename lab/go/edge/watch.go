package edge

import (
	"context"
	"log/slog"

	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// watch keeps the upstreams equal to the Service's EndpointSlices. While the API server cannot be
// reached, the last known upstreams stay.
type watch struct {
	upstreams *upstreams
	log       *slog.Logger
	store     cache.Store
	informer  cache.Controller
}

func newWatch(set settings, u *upstreams, log *slog.Logger) (*watch, error) {
	config, err := clientcmd.BuildConfigFromFlags("", set.kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "holdfast-lab-edge"
	api, err := client.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	selector := discovery.LabelServiceName + "=" + set.service
	w := &watch{upstreams: u, log: log}
	w.store, w.informer = cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewFilteredListWatchFromClient(api.RESTClient(), "endpointslices",
			set.namespace, func(o *meta.ListOptions) { o.LabelSelector = selector }),
		ObjectType: &discovery.EndpointSlice{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { w.changed() },
			UpdateFunc: func(any, any) { w.changed() },
			DeleteFunc: func(any) { w.changed() },
		},
	})
	return w, nil
}

func (w *watch) run(ctx context.Context) { w.informer.Run(ctx.Done()) }

// synced tells whether the EndpointSlices were read a first time.
func (w *watch) synced() bool { return w.informer.HasSynced() }

func (w *watch) changed() {
	var slices []*discovery.EndpointSlice
	for _, each := range w.store.List() {
		slices = append(slices, each.(*discovery.EndpointSlice))
	}
	wanted := ready(slices)
	w.upstreams.set(wanted)
	pods := make([]string, 0, len(wanted))
	for _, each := range wanted {
		pods = append(pods, each.pod+" "+each.address)
	}
	w.log.Info("upstreams", "ready", pods)
}
