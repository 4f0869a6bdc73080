package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/anypb"
)

// question is one line of standard input: one call of containerd's API.
type question struct {
	// Tag comes back with the answer: calls run side by side, and answers come as they are ready.
	Tag       uint64 `json:"tag"`
	Do        string `json:"do"`
	Namespace string `json:"namespace"`
	ID        string `json:"id"`
	// Exec is a process started later; empty is the container's first.
	Exec string `json:"exec"`
	// Runtime is the path of a shim, and Spec the config of a container.
	Runtime string          `json:"runtime"`
	Spec    json.RawMessage `json:"spec"`
	// Value is the OCI process of an exec, or the resources of an update.
	Value    json.RawMessage `json:"value"`
	Stdin    string          `json:"stdin"`
	Stdout   string          `json:"stdout"`
	Stderr   string          `json:"stderr"`
	Terminal bool            `json:"terminal"`
	Signal   uint32          `json:"signal"`
	All      bool            `json:"all"`
}

// answer is one line of standard output: a value, or an error with its code.
type answer struct {
	Tag   uint64 `json:"tag"`
	Value any    `json:"value,omitempty"`
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
}

// serve makes the calls that standard input asks for, until it ends.
func serve(ctx context.Context, arguments []string, input io.Reader, output io.Writer) error {
	if len(arguments) != 1 {
		return errors.New("usage: client ADDRESS")
	}
	connection, err := client.New(arguments[0])
	if err != nil {
		return err
	}
	defer connection.Close()
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, 1<<20)
	var answers sync.Mutex
	encoder := json.NewEncoder(output)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return fmt.Errorf("read a question: %w", err)
		}
		go func() {
			value, err := call(namespaces.WithNamespace(ctx, asked.Namespace), connection, asked)
			reply := answer{Tag: asked.Tag, Value: value}
			if err != nil {
				reply.Code, reply.Error = name(err), err.Error()
			}
			answers.Lock()
			defer answers.Unlock()
			// Whoever does not read the answer any more has no use for the error either.
			_ = encoder.Encode(reply)
		}()
	}
	return lines.Err()
}

// call makes one call of containerd's API.
func call(ctx context.Context, connection *client.Client, asked question) (any, error) {
	service := connection.TaskService()
	switch asked.Do {
	case "container":
		return nil, container(ctx, connection, asked)
	case "remove":
		return nil, connection.ContainerService().Delete(ctx, asked.ID)
	case "create":
		reply, err := service.Create(ctx, &tasks.CreateTaskRequest{
			ContainerID: asked.ID, Stdin: asked.Stdin, Stdout: asked.Stdout, Stderr: asked.Stderr, Terminal: asked.Terminal,
		})
		return reply, errgrpc.ToNative(err)
	case "start":
		reply, err := service.Start(ctx, &tasks.StartRequest{ContainerID: asked.ID, ExecID: asked.Exec})
		return reply, errgrpc.ToNative(err)
	case "exec":
		reply, err := service.Exec(ctx, &tasks.ExecProcessRequest{
			ContainerID: asked.ID, ExecID: asked.Exec, Stdin: asked.Stdin, Stdout: asked.Stdout, Stderr: asked.Stderr,
			Terminal: asked.Terminal,
			Spec:     &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process", Value: asked.Value},
		})
		return reply, errgrpc.ToNative(err)
	case "update":
		reply, err := service.Update(ctx, &tasks.UpdateTaskRequest{
			ContainerID: asked.ID,
			Resources: &anypb.Any{
				TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/WindowsResources", Value: asked.Value,
			},
		})
		return reply, errgrpc.ToNative(err)
	case "state":
		reply, err := service.Get(ctx, &tasks.GetRequest{ContainerID: asked.ID, ExecID: asked.Exec})
		return reply.GetProcess(), errgrpc.ToNative(err)
	case "wait":
		reply, err := service.Wait(ctx, &tasks.WaitRequest{ContainerID: asked.ID, ExecID: asked.Exec})
		return reply, errgrpc.ToNative(err)
	case "kill":
		reply, err := service.Kill(ctx, &tasks.KillRequest{
			ContainerID: asked.ID, ExecID: asked.Exec, Signal: asked.Signal, All: asked.All,
		})
		return reply, errgrpc.ToNative(err)
	case "delete":
		return remove(ctx, service, asked)
	case "pause":
		reply, err := service.Pause(ctx, &tasks.PauseTaskRequest{ContainerID: asked.ID})
		return reply, errgrpc.ToNative(err)
	case "resume":
		reply, err := service.Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: asked.ID})
		return reply, errgrpc.ToNative(err)
	case "pids":
		reply, err := service.ListPids(ctx, &tasks.ListPidsRequest{ContainerID: asked.ID})
		return reply.GetProcesses(), errgrpc.ToNative(err)
	case "close":
		reply, err := service.CloseIO(ctx, &tasks.CloseIORequest{ContainerID: asked.ID, ExecID: asked.Exec, Stdin: true})
		return reply, errgrpc.ToNative(err)
	case "metrics":
		reply, err := service.Metrics(ctx, &tasks.MetricsRequest{Filters: []string{"id==" + asked.ID}})
		return len(reply.GetMetrics()), errgrpc.ToNative(err)
	default:
		return nil, fmt.Errorf("%q is nothing this client can do", asked.Do)
	}
}

// container writes down what a task is created from.
func container(ctx context.Context, connection *client.Client, asked question) error {
	_, err := connection.ContainerService().Create(ctx, containers.Container{
		ID:      asked.ID,
		Runtime: containers.RuntimeInfo{Name: asked.Runtime},
		Spec:    &rawSpec{asked.Spec},
	})
	return err
}

// remove deletes a task, or a process of it.
func remove(ctx context.Context, service tasks.TasksClient, asked question) (any, error) {
	if asked.Exec != "" {
		reply, err := service.DeleteProcess(ctx, &tasks.DeleteProcessRequest{ContainerID: asked.ID, ExecID: asked.Exec})
		return reply, errgrpc.ToNative(err)
	}
	reply, err := service.Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: asked.ID})
	return reply, errgrpc.ToNative(err)
}

// rawSpec is a config that goes to the shim as it is, without being read here.
type rawSpec struct{ text []byte }

func (*rawSpec) GetTypeUrl() string { return "types.containerd.io/opencontainers/runtime-spec/1/Spec" }

func (spec *rawSpec) GetValue() []byte { return spec.text }

var _ typeurl.Any = (*rawSpec)(nil)

// name is the code of an error, in one word.
func name(err error) string {
	for word, is := range map[string]func(error) bool{
		"NotFound":           errdefs.IsNotFound,
		"AlreadyExists":      errdefs.IsAlreadyExists,
		"FailedPrecondition": errdefs.IsFailedPrecondition,
		"InvalidArgument":    errdefs.IsInvalidArgument,
		"Unimplemented":      errdefs.IsNotImplemented,
		"Unavailable":        errdefs.IsUnavailable,
		"DeadlineExceeded":   errdefs.IsDeadlineExceeded,
		"ResourceExhausted":  errdefs.IsResourceExhausted,
		"Internal":           errdefs.IsInternal,
	} {
		if is(err) {
			return word
		}
	}
	return "Unknown"
}
