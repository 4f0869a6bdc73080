module hosttask.dev/tests/vet

go 1.26.6
