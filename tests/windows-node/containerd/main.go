// Command containerd is containerd and its client ctr for Windows, unpatched, built from their Go module.
//
// The name of the program chooses: `ctr.exe` is the client, every other name the daemon.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
	"github.com/containerd/containerd/v2/cmd/containerd/command"
	client "github.com/containerd/containerd/v2/cmd/ctr/app"
)

func main() {
	program := command.App()
	if name := filepath.Base(os.Args[0]); strings.EqualFold(strings.TrimSuffix(name, filepath.Ext(name)), "ctr") {
		program = client.New()
	}
	if err := program.Run(context.Background(), os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", program.Name, err)
		os.Exit(1)
	}
}
