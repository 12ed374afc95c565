package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"
)

const partSize = 102_400

// partsFile is a file of two full parts and a shorter one.
func partsFile(name string) (string, string, error) {
	whole := bytes.Repeat([]byte("0123456789abcdef"), 2*partSize/16+9)
	path := filepath.Join(os.TempDir(), "ossia-compat-go-parts-"+name)
	return path, string(whole), os.WriteFile(path, whole, 0o600)
}

func (s *suite1) uploadsFile() error {
	path, whole, err := partsFile(s.name)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	err = s.bucket.UploadFile("parts/file.bin", path, partSize, oss.Routines(2), oss.Checkpoint(true, path+".cp"))
	if err != nil {
		return err
	}
	meta, err := s.bucket.GetObjectDetailedMeta("parts/file.bin")
	if err != nil {
		return err
	}
	return all(s.holds("parts/file.bin", whole), equal("type", meta.Get("X-Oss-Object-Type"), "Multipart"))
}

func (s *suite1) listsAndAborts() error {
	started, err := s.bucket.InitiateMultipartUpload("parts/a b+c.bin")
	if err != nil {
		return err
	}
	for number := 1; number <= 2; number++ {
		if _, err := s.bucket.UploadPart(started, strings.NewReader("hello"), 5, number); err != nil {
			return err
		}
	}
	parts, err := s.bucket.ListUploadedParts(started)
	if err != nil {
		return err
	}
	uploads, err := s.bucket.ListMultipartUploads(oss.Prefix("parts/"), oss.MaxUploads(10))
	if err != nil {
		return err
	}
	err = all(equal("parts", len(parts.UploadedParts), 2), equal("uploads", len(uploads.Uploads), 1))
	if err != nil {
		return err
	}
	if err := s.bucket.AbortMultipartUpload(started); err != nil {
		return err
	}
	return refused1(404, "NoSuchUpload", s.bucket.AbortMultipartUpload(started))
}
