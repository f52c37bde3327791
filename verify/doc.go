// Package verify decides whether an artifact may be used: policy in, decision
// out. It is the library that other programs embed; it prints nothing, never
// exits, and reads no flags or environment.
package verify
