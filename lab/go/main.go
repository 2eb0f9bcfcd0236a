// holdfast-lab is the lab's control plane and its edge in one program: each subcommand is one of
// the components of Kubernetes and etcd as published, or the edge that customers enter through.
package main

import (
	"fmt"
	"os"
	_ "time/tzdata" // CronJob time zones: the components' own main packages do the same

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/component-base/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"holdfast.lab/control-plane/edge"
)

const usage = "usage: holdfast-lab etcd|apiserver|controller-manager|scheduler|edge|version [flags]"

// sources is the digest of what this program was built from; the linker sets it.
var sources = "unknown"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	command := os.Args[1]
	os.Args = append(os.Args[:1], os.Args[2:]...) // the components read their flags from here
	switch command {
	case "etcd":
		etcdmain.Main(os.Args)
	case "apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "edge":
		os.Exit(edge.Main(os.Args[1:]))
	case "version":
		fmt.Println("holdfast-lab", version.Get().GitVersion, "sources", sources)
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
}
