// Package hone is the root of the module; the program is in cmd/hone and ARCHITECTURE.md is the map.
package hone
