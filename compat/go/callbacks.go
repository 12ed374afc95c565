package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	oss2 "github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
	oss1 "github.com/aliyun/aliyun-oss-go-sdk/oss"
)

const applicationAnswer = `{"Status":"OK"}`

// application is an application server on loopback, which the server under test is told it may call.
type application struct {
	*httptest.Server
	mutex sync.Mutex
	asked []string
}

func newApplication() *application {
	app := &application{}
	app.Server = httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		app.mutex.Lock()
		app.asked = append(app.asked, string(body))
		app.mutex.Unlock()
		if request.URL.Path == "/fail" {
			writer.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(writer, applicationAnswer)
	}))
	return app
}

func encoded(document map[string]string) string {
	text, _ := json.Marshal(document)
	return base64.StdEncoding.EncodeToString(text)
}

func (app *application) callback(path string) (string, string) {
	return encoded(map[string]string{
		"callbackUrl":      app.URL + path,
		"callbackBody":     "o=${object}&s=${size}&w=${x:who}",
		"callbackBodyType": "application/x-www-form-urlencoded",
	}), encoded(map[string]string{"x:who": "me"})
}

// told is the last body that came.
func (app *application) told() string {
	app.mutex.Lock()
	defer app.mutex.Unlock()
	if len(app.asked) == 0 {
		return ""
	}
	return app.asked[len(app.asked)-1]
}

func (s *suite1) callsBack() error {
	app := newApplication()
	defer app.Close()
	callback, variables := app.callback("/ok")
	var answer []byte
	err := s.bucket.PutObject("callbacks/v1", strings.NewReader("12345"), oss1.Callback(callback),
		oss1.CallbackVar(variables), oss1.CallbackResult(&answer))
	if err != nil {
		return err
	}
	err = all(equal("answer", string(answer), applicationAnswer), equal("body", app.told(), "o=callbacks%2Fv1&s=5&w=me"))
	if err != nil {
		return err
	}
	callback, _ = app.callback("/fail")
	err = s.bucket.PutObject("callbacks/v1", strings.NewReader("1"), oss1.Callback(callback))
	var refused oss1.ServiceError
	if !errors.As(err, &refused) {
		return fmt.Errorf("a callback that fails: %v", err)
	}
	return all(equal("code", refused.Code, "CallbackFailed"), s.holds("callbacks/v1", "1"))
}

func (s *suite2) callsBack() error {
	app := newApplication()
	defer app.Close()
	callback, variables := app.callback("/ok")
	key := "callbacks/v2"
	put, err := s.client.PutObject(s.ctx, &oss2.PutObjectRequest{
		Bucket: &s.bucket, Key: &key, Body: strings.NewReader("12345"), Callback: &callback, CallbackVar: &variables,
	})
	if err != nil {
		return err
	}
	err = all(equal("answer", fmt.Sprint(put.CallbackResult["Status"]), "OK"),
		equal("body", app.told(), "o=callbacks%2Fv2&s=5&w=me"))
	if err != nil {
		return err
	}
	callback, _ = app.callback("/fail")
	_, err = s.client.PutObject(s.ctx, &oss2.PutObjectRequest{
		Bucket: &s.bucket, Key: &key, Body: strings.NewReader("1"), Callback: &callback,
	})
	var refused *oss2.ServiceError
	if !errors.As(err, &refused) {
		return fmt.Errorf("a callback that fails: %v", err)
	}
	return equal("code", refused.Code, "CallbackFailed")
}
