package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
)

// keepsVersions uses a bucket of its own: once a bucket keeps versions it never stops having had them.
func (s *suite2) keepsVersions() error {
	bucket := fmt.Sprintf("compat-go2-versions-%s", s.addressing)
	if err := second(s.client.PutBucket(s.ctx, &oss.PutBucketRequest{Bucket: &bucket})); err != nil {
		return err
	}
	return all(
		s.switchesVersioning(bucket),
		s.readsAndRemovesVersions(bucket),
		s.appendsInVersions(bucket),
		s.removesAllVersions(bucket),
	)
}

func (s *suite2) switchesVersioning(bucket string) error {
	request := &oss.GetBucketVersioningRequest{Bucket: &bucket}
	never, err := s.client.GetBucketVersioning(s.ctx, request)
	if err != nil {
		return err
	}
	for _, status := range []oss.VersioningStatusType{oss.VersionSuspended, oss.VersionEnabled} {
		_, err := s.client.PutBucketVersioning(s.ctx, &oss.PutBucketVersioningRequest{
			Bucket: &bucket, VersioningConfiguration: &oss.VersioningConfiguration{Status: status},
		})
		if err != nil {
			return err
		}
		told, err := s.client.GetBucketVersioning(s.ctx, request)
		if err != nil {
			return err
		}
		if err := equal("versioning", *told.VersionStatus, string(status)); err != nil {
			return err
		}
	}
	return equal("never set", never.VersionStatus == nil, true)
}

func (s *suite2) putVersion(bucket, key, body string) (string, error) {
	put, err := s.client.PutObject(s.ctx, &oss.PutObjectRequest{
		Bucket: &bucket, Key: &key, Body: strings.NewReader(body),
	})
	if err != nil {
		return "", err
	}
	return *put.VersionId, nil
}

func (s *suite2) readVersion(bucket, key string, version *string) (string, error) {
	got, err := s.client.GetObject(s.ctx, &oss.GetObjectRequest{Bucket: &bucket, Key: &key, VersionId: version})
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	content, err := io.ReadAll(got.Body)
	return string(content), err
}

func (s *suite2) readsAndRemovesVersions(bucket string) error {
	one, err := s.putVersion(bucket, "k", "first")
	if err != nil {
		return err
	}
	two, err := s.putVersion(bucket, "k", "second")
	if err != nil {
		return err
	}
	old, err := s.readVersion(bucket, "k", &one)
	if err != nil {
		return err
	}
	deleted, err := s.client.DeleteObject(s.ctx, &oss.DeleteObjectRequest{Bucket: &bucket, Key: oss.Ptr("k")})
	if err != nil {
		return err
	}
	_, gone := s.readVersion(bucket, "k", nil)
	_, marker := s.readVersion(bucket, "k", deleted.VersionId)
	page, err := s.client.ListObjectVersions(s.ctx, &oss.ListObjectVersionsRequest{Bucket: &bucket, MaxKeys: 2})
	if err != nil {
		return err
	}
	rest, err := s.client.ListObjectVersions(s.ctx, &oss.ListObjectVersionsRequest{
		Bucket: &bucket, KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker,
	})
	if err != nil {
		return err
	}
	_, err = s.client.CopyObject(s.ctx, &oss.CopyObjectRequest{
		Bucket: &bucket, Key: oss.Ptr("k"), SourceKey: oss.Ptr("k"), SourceVersionId: &one,
	})
	if err != nil {
		return err
	}
	back, err := s.readVersion(bucket, "k", nil)
	if err != nil {
		return err
	}
	_, err = s.client.DeleteObject(s.ctx, &oss.DeleteObjectRequest{Bucket: &bucket, Key: oss.Ptr("k"), VersionId: &one})
	if err != nil {
		return err
	}
	_, removed := s.readVersion(bucket, "k", &one)
	return all(
		equal("old", old, "first"),
		equal("marker made", deleted.DeleteMarker, true),
		refused2(404, "NoSuchKey", gone),
		refused2(405, "MethodNotAllowed", marker),
		equal("markers", len(page.ObjectDeleteMarkers), 1),
		equal("second", *page.ObjectVersions[0].VersionId, two),
		equal("rest", len(rest.ObjectVersions), 1),
		equal("first", *rest.ObjectVersions[0].VersionId, one),
		equal("copied back", back, "first"),
		refused2(404, "NoSuchVersion", removed),
	)
}

func (s *suite2) appendsInVersions(bucket string) error {
	key := oss.Ptr("log")
	send := func(position int64, body string) (string, error) {
		told, err := s.client.AppendObject(s.ctx, &oss.AppendObjectRequest{
			Bucket: &bucket, Key: key, Position: &position, Body: strings.NewReader(body),
		})
		if err != nil {
			return "", err
		}
		return *told.VersionId, nil
	}
	first, err := send(0, "hello")
	if err != nil {
		return err
	}
	more, err := send(5, " world")
	if err != nil {
		return err
	}
	deleted, err := s.client.DeleteObject(s.ctx, &oss.DeleteObjectRequest{Bucket: &bucket, Key: key})
	if err != nil {
		return err
	}
	anew, err := send(0, "anew")
	if err != nil {
		return err
	}
	for _, version := range []*string{&anew, deleted.VersionId} {
		_, err := s.client.DeleteObject(s.ctx, &oss.DeleteObjectRequest{Bucket: &bucket, Key: key, VersionId: version})
		if err != nil {
			return err
		}
	}
	again, err := send(11, "!")
	if err != nil {
		return err
	}
	content, err := s.readVersion(bucket, *key, &first)
	if err != nil {
		return err
	}
	return all(
		equal("same version", more, first),
		equal("another version", anew != first, true),
		equal("the first again", again, first),
		equal("content", content, "hello world!"),
	)
}

func (s *suite2) removesAllVersions(bucket string) error {
	full := second(s.client.DeleteBucket(s.ctx, &oss.DeleteBucketRequest{Bucket: &bucket}))
	page, err := s.client.ListObjectVersions(s.ctx, &oss.ListObjectVersionsRequest{Bucket: &bucket, MaxKeys: 1000})
	if err != nil {
		return err
	}
	var objects []oss.DeleteObject
	for _, version := range page.ObjectVersions {
		objects = append(objects, oss.DeleteObject{Key: version.Key, VersionId: version.VersionId})
	}
	for _, marker := range page.ObjectDeleteMarkers {
		objects = append(objects, oss.DeleteObject{Key: marker.Key, VersionId: marker.VersionId})
	}
	told, err := s.client.DeleteMultipleObjects(s.ctx, &oss.DeleteMultipleObjectsRequest{
		Bucket: &bucket, Objects: objects,
	})
	if err != nil {
		return err
	}
	return all(
		refused2(409, "BucketNotEmpty", full),
		equal("removed", len(told.DeletedObjects), len(objects)),
		second(s.client.DeleteBucket(s.ctx, &oss.DeleteBucketRequest{Bucket: &bucket})),
	)
}
