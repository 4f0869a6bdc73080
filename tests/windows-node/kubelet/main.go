// Command kubelet is the kubelet of Kubernetes, unpatched, built from its Go module.
//
// Kubernetes publishes no Windows binary that could be fetched like a Go module, and the test bench downloads
// nothing else: the same command that `cmd/kubelet` runs is run from here.
package main

import (
	"context"
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	os.Exit(cli.Run(app.NewKubeletCommand(context.Background())))
}
