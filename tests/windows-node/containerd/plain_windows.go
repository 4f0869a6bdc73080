package main

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/plugins"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/native/plugin"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The differs that containerd has for Windows hand a layer to the Host Compute Service, which Wine lacks. This
// plugin writes a layer's files into the folder of the native snapshotter instead, as containerd does on Linux.
func init() {
	registry.Register(&plugin.Registration{
		Type:     plugins.DiffPlugin,
		ID:       "plain",
		Requires: []plugin.Type{plugins.MetadataPlugin},
		InitFn: func(start *plugin.InitContext) (any, error) {
			instance, err := start.GetSingle(plugins.MetadataPlugin)
			if err != nil {
				return nil, err
			}
			database, ok := instance.(*metadata.DB)
			if !ok {
				return nil, fmt.Errorf("the metadata plugin is a %T", instance)
			}
			start.Meta.Platforms = append(start.Meta.Platforms, platforms.DefaultSpec())
			return &plainFiles{blobs: database.ContentStore()}, nil
		},
	})
}

// plainFiles unpacks layers as ordinary files.
type plainFiles struct {
	blobs content.Store
}

// Apply unpacks the layer that layer describes into the one folder of mounts and describes what it unpacked.
func (p *plainFiles) Apply(ctx context.Context, layer ocispec.Descriptor, mounts []mount.Mount, _ ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	if len(mounts) != 1 || mounts[0].Type != "bind" {
		return ocispec.Descriptor{}, fmt.Errorf("plain files need one bind mount of the native snapshotter, got %v: %w", mounts, errdefs.ErrNotImplemented)
	}
	blob, err := p.blobs.ReaderAt(ctx, layer)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("open layer %s: %w", layer.Digest, err)
	}
	defer blob.Close()

	unpacked := diff.NewProcessorChain(layer.MediaType, content.NewReader(blob))
	for unpacked.MediaType() != ocispec.MediaTypeImageLayer {
		next, err := diff.GetProcessor(ctx, unpacked, nil)
		if err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("decompress layer %s: %w", layer.Digest, err)
		}
		unpacked = next
	}
	defer unpacked.Close()

	digester := digest.Canonical.Digester()
	var size length
	seen := io.TeeReader(unpacked, io.MultiWriter(digester.Hash(), &size))
	if _, err := archive.Apply(ctx, mounts[0].Source, seen, archive.WithNoSameOwner()); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("write layer %s: %w", layer.Digest, err)
	}
	// The digest covers the padding after the archive's end too.
	if _, err := io.Copy(io.Discard, seen); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("read the end of layer %s: %w", layer.Digest, err)
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digester.Digest(), Size: int64(size)}, nil
}

// Compare is what `ctr commit` needs; nothing here commits.
func (p *plainFiles) Compare(context.Context, []mount.Mount, []mount.Mount, ...diff.Opt) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, fmt.Errorf("plain files cannot be compared: %w", errdefs.ErrNotImplemented)
}

// length counts the bytes that are written to it.
type length int64

// Write counts and forgets.
func (l *length) Write(bytes []byte) (int, error) {
	*l += length(len(bytes))
	return len(bytes), nil
}
