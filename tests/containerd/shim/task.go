package main

import (
	"context"
	"os"
	"sync"

	"github.com/containerd/containerd/api/runtime/task/v3"
	states "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// killed is the exit code of a container that was killed.
const killed = 137

func init() {
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			end, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			return &service{end: end.(shutdown.Service), containers: map[string]*container{}}, nil
		},
	})
}

var _ shim.TTRPCService = (*service)(nil)

// container is a goroutine that waits for the end of a channel.
type container struct {
	kill    sync.Once
	killing chan struct{}
	ended   chan struct{}
}

type service struct {
	// What it does not answer itself is not asked by the bench.
	task.TTRPCTaskService
	end        shutdown.Service
	lock       sync.Mutex
	containers map[string]*container
}

func (s *service) RegisterTTRPC(server *ttrpc.Server) error {
	task.RegisterTTRPCTaskService(server, s)
	return nil
}

func (s *service) find(id string) (*container, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	found, ok := s.containers[id]
	if !ok {
		return nil, errgrpc.ToGRPC(errdefs.ErrNotFound)
	}
	return found, nil
}

func (s *service) Create(_ context.Context, r *task.CreateTaskRequest) (*task.CreateTaskResponse, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.containers[r.ID] = &container{killing: make(chan struct{}), ended: make(chan struct{})}
	return &task.CreateTaskResponse{Pid: uint32(os.Getpid())}, nil
}

func (s *service) Start(_ context.Context, r *task.StartRequest) (*task.StartResponse, error) {
	found, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	go func() {
		<-found.killing
		close(found.ended)
	}()
	return &task.StartResponse{Pid: uint32(os.Getpid())}, nil
}

func (s *service) State(_ context.Context, r *task.StateRequest) (*task.StateResponse, error) {
	found, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	state := &task.StateResponse{ID: r.ID, Pid: uint32(os.Getpid()), Status: states.Status_RUNNING}
	select {
	case <-found.ended:
		state.Status, state.ExitStatus = states.Status_STOPPED, killed
	default:
	}
	return state, nil
}

func (s *service) Kill(_ context.Context, r *task.KillRequest) (*emptypb.Empty, error) {
	found, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	found.kill.Do(func() { close(found.killing) })
	return &emptypb.Empty{}, nil
}

func (s *service) Wait(_ context.Context, r *task.WaitRequest) (*task.WaitResponse, error) {
	found, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	<-found.ended
	return &task.WaitResponse{ExitStatus: killed}, nil
}

func (s *service) Delete(_ context.Context, r *task.DeleteRequest) (*task.DeleteResponse, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	delete(s.containers, r.ID)
	return &task.DeleteResponse{ExitStatus: killed}, nil
}

func (s *service) Connect(context.Context, *task.ConnectRequest) (*task.ConnectResponse, error) {
	return &task.ConnectResponse{ShimPid: uint32(os.Getpid())}, nil
}

// Shutdown is asked after every Delete: it means something once the last container is gone.
func (s *service) Shutdown(context.Context, *task.ShutdownRequest) (*emptypb.Empty, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if len(s.containers) == 0 {
		s.end.Shutdown()
	}
	return &emptypb.Empty{}, nil
}
