//go:build tools

// Package tools names the program that `cargo xtask` builds, so that go.mod pins it.
package tools

import _ "github.com/aliyun/ossutil"
