package main

import (
	"io"
	"os"
	"strings"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
)

func (s *suite2) uploadsFile() error {
	path, whole, err := partsFile(s.bucket)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	uploader := s.client.NewUploader(func(options *oss.UploaderOptions) {
		options.PartSize = partSize
		options.ParallelNum = 2
		options.EnableCheckpoint = true
		options.CheckpointDir = os.TempDir()
	})
	key := "parts/file.bin"
	request := &oss.PutObjectRequest{Bucket: &s.bucket, Key: &key}
	if _, err := uploader.UploadFile(s.ctx, request, path); err != nil {
		return err
	}
	got, err := s.client.GetObject(s.ctx, &oss.GetObjectRequest{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return err
	}
	defer got.Body.Close()
	content, err := io.ReadAll(got.Body)
	return all(err, equal("content", string(content), whole), equal("type", oss.ToString(got.ObjectType), "Multipart"))
}

func (s *suite2) listsAndAborts() error {
	key := "parts/a b+c.bin"
	started, err := s.client.InitiateMultipartUpload(s.ctx,
		&oss.InitiateMultipartUploadRequest{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return err
	}
	for number := int32(1); number <= 2; number++ {
		_, err := s.client.UploadPart(s.ctx, &oss.UploadPartRequest{
			Bucket: &s.bucket, Key: &key, UploadId: started.UploadId, PartNumber: number,
			Body: strings.NewReader("hello"),
		})
		if err != nil {
			return err
		}
	}
	parts, err := s.client.ListParts(s.ctx,
		&oss.ListPartsRequest{Bucket: &s.bucket, Key: &key, UploadId: started.UploadId})
	if err != nil {
		return err
	}
	uploads, err := s.client.ListMultipartUploads(s.ctx,
		&oss.ListMultipartUploadsRequest{Bucket: &s.bucket, Prefix: oss.Ptr("parts/")})
	if err != nil {
		return err
	}
	if err := all(equal("parts", len(parts.Parts), 2), equal("uploads", len(uploads.Uploads), 1)); err != nil {
		return err
	}
	abort := &oss.AbortMultipartUploadRequest{Bucket: &s.bucket, Key: &key, UploadId: started.UploadId}
	if _, err := s.client.AbortMultipartUpload(s.ctx, abort); err != nil {
		return err
	}
	return refused2(404, "NoSuchUpload", second(s.client.AbortMultipartUpload(s.ctx, abort)))
}
