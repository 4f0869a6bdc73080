// Command shim is what a shim costs that does nothing: containerd's own library for shims, and for each
// container a goroutine that waits to be killed. It is what the memory of our shim is measured beside.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/pkg/shim"
)

// runtimeName is that of no real runtime.
const runtimeName = "io.containerd.nothing.v1"

func main() {
	shim.RunShim(context.Background(), manager{})
}

type manager struct{}

func (manager) Name() string { return runtimeName }

// Start runs the shim of a pod, unless the pod has one already.
func (manager) Start(ctx context.Context, params *bootstrap.BootstrapParams) (*bootstrap.BootstrapResult, error) {
	group, err := pod(params.GetInstanceID())
	if err != nil {
		return nil, err
	}
	address, err := shim.CreateSocketAddress(ctx, params.GetSocketDir(), params.GetContainerdGrpcAddress(), group, false)
	if err != nil {
		return nil, err
	}
	result := &bootstrap.BootstrapResult{Version: 3, Protocol: "ttrpc", Address: address}
	if shim.CanConnect(address) {
		return result, nil
	}
	socket, err := shim.NewSocket(address)
	if err != nil {
		return nil, err
	}
	file, err := socket.File()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	daemon := exec.Command(self, "-namespace", params.GetNamespace(), "-id", params.GetInstanceID(),
		"-address", params.GetContainerdGrpcAddress())
	daemon.ExtraFiles = []*os.File{file}
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := daemon.Start(); err != nil {
		return nil, errors.Join(err, shim.RemoveSocket(address))
	}
	return result, daemon.Process.Release()
}

// pod is the id of the pod's sandbox, or the container's own.
func pod(id string) (string, error) {
	file, err := os.Open("config.json")
	if err != nil {
		return "", err
	}
	defer file.Close()
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.NewDecoder(file).Decode(&spec); err != nil {
		return "", err
	}
	if sandbox := spec.Annotations["io.kubernetes.cri.sandbox-id"]; sandbox != "" {
		return sandbox, nil
	}
	return id, nil
}

// Stop has nothing to clean up.
func (manager) Stop(context.Context, string) (shim.StopStatus, error) {
	return shim.StopStatus{ExitStatus: killed}, nil
}

func (manager) Info(context.Context, io.Reader) (*types.RuntimeInfo, error) {
	return &types.RuntimeInfo{Name: runtimeName, Version: &types.RuntimeVersion{Version: "1"}}, nil
}
