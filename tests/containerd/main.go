// Command containerd is containerd, its client ctr and a small client of the bench in one binary. The
// name it is called by (argv[0], a symbolic link) chooses the program.
//
// containerd is an ordinary Go module, so the bench builds the real one from source. It has the parts
// that tasks need; those for pulling images and for CRI are left out, which halves the build.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/cmd/containerd/command"
	ctr "github.com/containerd/containerd/v2/cmd/ctr/app"

	_ "github.com/containerd/containerd/v2/core/runtime/v2"
	_ "github.com/containerd/containerd/v2/plugins/content/local/plugin"
	_ "github.com/containerd/containerd/v2/plugins/events"
	_ "github.com/containerd/containerd/v2/plugins/gc"
	_ "github.com/containerd/containerd/v2/plugins/leases"
	_ "github.com/containerd/containerd/v2/plugins/metadata"
	_ "github.com/containerd/containerd/v2/plugins/mount"
	_ "github.com/containerd/containerd/v2/plugins/server/debug"
	_ "github.com/containerd/containerd/v2/plugins/server/grpc"
	_ "github.com/containerd/containerd/v2/plugins/server/ttrpc"
	_ "github.com/containerd/containerd/v2/plugins/services/containers"
	_ "github.com/containerd/containerd/v2/plugins/services/content"
	_ "github.com/containerd/containerd/v2/plugins/services/events"
	_ "github.com/containerd/containerd/v2/plugins/services/images"
	_ "github.com/containerd/containerd/v2/plugins/services/introspection"
	_ "github.com/containerd/containerd/v2/plugins/services/leases"
	_ "github.com/containerd/containerd/v2/plugins/services/namespaces"
	_ "github.com/containerd/containerd/v2/plugins/services/snapshots"
	_ "github.com/containerd/containerd/v2/plugins/services/tasks"
	_ "github.com/containerd/containerd/v2/plugins/services/version"
	_ "github.com/containerd/containerd/v2/plugins/services/warning"
	// One snapshotter is the least: without any, the lease service does not load.
	_ "github.com/containerd/containerd/v2/plugins/snapshots/native/plugin"
)

func main() {
	var err error
	ctx := context.Background()
	switch name := filepath.Base(os.Args[0]); name {
	case "containerd":
		err = command.App().Run(ctx, os.Args)
	case "ctr":
		err = ctr.New().Run(ctx, os.Args)
	case "client":
		err = serve(ctx, os.Args[1:], os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("unknown program %q: call this binary as containerd, ctr or client", name)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}
