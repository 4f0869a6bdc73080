// Command vet stands before the vet tool of Go, for `go vet -vettool`, and keeps it to the packages that were named.
//
// `go vet` also goes through every package below those, for what it can learn of them: which functions hand a format on, which
// never return. Below our programs lie thousands of Kubernetes and containerd, and that takes longer than all else. Of those,
// nothing is learned here; the printing functions of the standard library are known to the tool by name.
//
// HOSTTASK_VET is the path of the vet tool of Go.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// config is what is read of the file that the go command writes for each package.
type config struct {
	// VetxOnly says that the package was not named: only what others can learn of it is wanted.
	VetxOnly bool
	// VetxOutput is where that is to be written.
	VetxOutput string
}

// revision is part of the version: the go command keeps results under that, and those of the tool alone, or of this program before
// it learned something else, are others. It counts up with each change of what is skipped.
const revision = "+named.1"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vet:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	tool := os.Getenv("HOSTTASK_VET")
	if tool == "" {
		return fmt.Errorf("HOSTTASK_VET must be the path of Go's vet tool, which `go tool -n vet` prints")
	}
	last := ""
	if len(arguments) > 0 {
		last = arguments[len(arguments)-1]
	}
	if last == "-V=full" {
		version, err := exec.Command(tool, last).Output()
		if err != nil {
			return fmt.Errorf("%s %s: %w", tool, last, err)
		}
		fmt.Println(strings.TrimSpace(string(version)) + revision)
		return nil
	}
	if strings.HasSuffix(last, ".cfg") {
		text, err := os.ReadFile(last)
		if err != nil {
			return err
		}
		var read config
		if err := json.Unmarshal(text, &read); err != nil {
			return fmt.Errorf("%s: %w", last, err)
		}
		if read.VetxOnly {
			return os.WriteFile(read.VetxOutput, nil, 0o666)
		}
	}
	return syscall.Exec(tool, append([]string{tool}, arguments...), os.Environ())
}
