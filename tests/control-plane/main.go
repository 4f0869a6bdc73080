//go:build !kstatusonly

// Command control-plane is etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and a
// kstatus reader in one binary. The name it is called by (argv[0], a symbolic link) chooses the program.
//
// Kubernetes is an ordinary Go module, so the test bench builds the real control plane from source
// instead of downloading binaries.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	etcd "go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	name := filepath.Base(os.Args[0])
	switch name {
	case "etcd":
		etcd.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "kubectl":
		os.Exit(cli.Run(kubectl.NewDefaultKubectlCommand()))
	case "kstatus":
		os.Exit(runKstatus(os.Stdin, os.Stdout, os.Stderr))
	default:
		fmt.Fprintf(os.Stderr, "unknown program %q: call this binary as etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl or kstatus\n", name)
		os.Exit(2)
	}
}
