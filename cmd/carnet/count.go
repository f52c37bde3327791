package main

import "fmt"

// count says how many of something there are: "1 key", "2 keys". Most are those
// of one with an s; many is for others.
func count[N ~int | ~int64](n N, one string, many ...string) string {
	switch {
	case n == 1:
		return "1 " + one
	case len(many) > 0:
		return fmt.Sprintf("%d %s", n, many[0])
	}
	return fmt.Sprintf("%d %ss", n, one)
}
