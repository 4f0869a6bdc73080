//go:build kstatusonly

// The servers of this machine are new enough: only the kstatus reader is built, in seconds.
package main

import "os"

func main() {
	os.Exit(runKstatus(os.Stdin, os.Stdout, os.Stderr))
}
