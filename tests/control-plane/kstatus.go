package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// runKstatus reads JSON objects from in, one after another, and writes for each one line of JSON with
// the status that Flux and Helm 4 would see. It returns the process exit code.
func runKstatus(in io.Reader, out, errs io.Writer) int {
	decoder := json.NewDecoder(in)
	encoder := json.NewEncoder(out)
	for {
		var object map[string]any
		if err := decoder.Decode(&object); err != nil {
			if errors.Is(err, io.EOF) {
				return 0
			}
			fmt.Fprintf(errs, "kstatus: failed to read an object from standard input: %v\n", err)
			return 1
		}
		// Integers arrive as float64 from encoding/json; the library reads observedGeneration as int64.
		raw, err := json.Marshal(object)
		if err != nil {
			fmt.Fprintf(errs, "kstatus: failed to encode the object again: %v\n", err)
			return 1
		}
		resource := &unstructured.Unstructured{}
		if err := resource.UnmarshalJSON(raw); err != nil {
			fmt.Fprintf(errs, "kstatus: failed to decode the object: %v\n", err)
			return 1
		}
		result, err := status.Compute(resource)
		if err != nil {
			fmt.Fprintf(errs, "kstatus: failed to compute the status of %s: %v\n", resource.GetName(), err)
			return 1
		}
		line := map[string]string{"name": resource.GetName(), "status": string(result.Status), "message": result.Message}
		if err := encoder.Encode(line); err != nil {
			fmt.Fprintf(errs, "kstatus: failed to write: %v\n", err)
			return 1
		}
	}
}
