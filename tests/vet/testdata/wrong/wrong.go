// Command wrong has a mistake that go vet must find.
package main

import "fmt"

func main() {
	fmt.Printf("%d\n", "text")
}
