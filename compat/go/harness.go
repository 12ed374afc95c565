package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// What the suite is told about the server, by environment.
var (
	port        = env("OSSIA_PORT")
	keyID       = env("OSSIA_ACCESS_KEY_ID")
	keySecret   = env("OSSIA_ACCESS_KEY_SECRET")
	cnameHost   = env("OSSIA_CNAME_HOST")
	cnameBucket = env("OSSIA_CNAME_BUCKET")
	scheme      = optional("OSSIA_SCHEME", "http")
	region      = "cn-hangzhou"
)

// CRC-64/XZ of the text.
const (
	crcHello      = uint64(11177612005948864433)
	crcHelloWorld = uint64(5981764153023615706)
)

var oddKeys = []string{
	"plain/with/slashes.txt",
	"space and+plus.txt",
	"percent%20and%2Fslash",
	"query?and#hash&amp;=x",
	"quotes'\"<>&.xml",
	"bare!'()*~-_.txt",
	"double//slash/../dots/./x",
	"control\x01and\ttab",
	"ünïcode/日本語/😀.log",
}

func env(name string) string {
	value := os.Getenv(name)
	if value == "" {
		fmt.Printf("not ok - go all all / the program itself: %s is not set\n", name)
		os.Exit(2)
	}
	return value
}

func optional(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// What signs the server's certificate: only a file that is named, never the system's.
var trusted = func() *x509.CertPool {
	pool := x509.NewCertPool()
	if file := os.Getenv("OSSIA_CA"); file != "" {
		if content, err := os.ReadFile(file); err != nil || !pool.AppendCertsFromPEM(content) {
			fmt.Printf("not ok - go all all / the program itself: %s holds no certificate\n", file)
			os.Exit(2)
		}
	}
	return pool
}()

// httpClient connects every name to this machine: the system's resolver knows neither `bucket.localhost` nor
// `.test`, and no request of a test may leave the machine.
func httpClient() *http.Client {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, "127.0.0.1:"+port)
			},
			MaxIdleConnsPerHost: 16,
			TLSClientConfig:     &tls.Config{RootCAs: trusted},
			// A dialer of one's own turns it off otherwise.
			ForceAttemptHTTP2: true,
		},
	}
}

// Running totals of the closing line.
var passed, failed, skipped int

// A room is one SDK in one signature version and one way of addressing. Each case prints a line in the form
// that `cargo xtask` reads.
type room struct{ label string }

func (r room) run(name string, body func() error) {
	// Tells the server's log which case comes next, so that it says what each case did.
	mark := map[string]string{"User-Agent": "case: " + r.label + " / " + name}
	if _, _, _, err := fetch("GET", scheme+"://127.0.0.1:"+port+"/_ossia/health", mark, ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	err := func() (err error) {
		defer func() {
			if panicked := recover(); panicked != nil {
				err = fmt.Errorf("panicked: %v", panicked)
			}
		}()
		return body()
	}()
	if err != nil {
		failed++
		why := strings.Join(strings.Fields(err.Error()), " ")
		fmt.Printf("not ok - %s / %s: %.2000s\n", r.label, name, why)
		return
	}
	passed++
	fmt.Printf("ok - %s / %s\n", r.label, name)
}

// all gives the first failure among checks that have been made already.
func all(checks ...error) error {
	for _, check := range checks {
		if check != nil {
			return check
		}
	}
	return nil
}

func equal[T comparable](about string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: expected %v, got %v", about, want, got)
	}
	return nil
}

func sameKeys(about string, got, want []string) error {
	return equal(about, fmt.Sprintf("%q", got), fmt.Sprintf("%q", want))
}

// fetch sends one plain request, for signed URLs: no SDK between the test and the wire.
func fetch(method, url string, headers map[string]string, body string) (int, http.Header, string, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, "", err
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := httpClient().Do(request)
	if err != nil {
		return 0, nil, "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header, string(content), err
}

// unsized hides the length of what it reads, so that a client must send it chunked.
type unsized struct{ reader io.Reader }

func (u unsized) Read(buffer []byte) (int, error) { return u.reader.Read(buffer) }
