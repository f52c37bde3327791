package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// mainOnFullDisk is main in a process whose files cannot grow beyond
// $DISK_SIZE bytes: a full disk as far as an unprivileged process can have one.
func mainOnFullDisk() {
	limit, err := strconv.ParseUint(os.Getenv("DISK_SIZE"), 10, 64)
	if err != nil {
		panic(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		panic(err)
	}
	main()
}
