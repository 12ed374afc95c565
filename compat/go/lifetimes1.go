package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"
)

// keepsVersions uses a bucket of its own: once a bucket keeps versions it never stops having had them.
func (s *suite1) keepsVersions() error {
	name := fmt.Sprintf("compat-go1-versions-%s-%s", s.addressing, versionLabel(s.version))
	if err := s.client.CreateBucket(name); err != nil {
		return err
	}
	never, err := s.client.GetBucketVersioning(name)
	if err != nil {
		return err
	}
	enabled := oss.VersioningConfig{Status: string(oss.VersionEnabled)}
	if err := s.client.SetBucketVersioning(name, enabled); err != nil {
		return err
	}
	told, err := s.client.GetBucketVersioning(name)
	if err != nil {
		return err
	}
	bucket, err := s.client.Bucket(name)
	if err != nil {
		return err
	}
	return all(
		equal("never set", never.Status, ""),
		equal("set", told.Status, "Enabled"),
		s.readsAndRemovesVersions(bucket),
		s.client.DeleteBucket(name),
	)
}

func versionLabel(version oss.AuthVersionType) string { return strings.ToLower(string(version)) }

func (s *suite1) readsAndRemovesVersions(bucket *oss.Bucket) error {
	var ids []string
	for _, body := range []string{"first", "second"} {
		var header http.Header
		if err := bucket.PutObject("k", strings.NewReader(body), oss.GetResponseHeader(&header)); err != nil {
			return err
		}
		ids = append(ids, oss.GetVersionId(header))
	}
	if err := bucket.DeleteObject("k"); err != nil {
		return err
	}
	current := *s
	current.bucket = bucket
	old, err := current.read("k", oss.VersionId(ids[0]))
	if err != nil {
		return err
	}
	_, gone := current.read("k")
	page, err := bucket.ListObjectVersions(oss.MaxKeys(2))
	if err != nil {
		return err
	}
	rest, err := bucket.ListObjectVersions(
		oss.KeyMarker(page.NextKeyMarker), oss.VersionIdMarker(page.NextVersionIdMarker))
	if err != nil {
		return err
	}
	err = all(
		equal("the older version", old, "first"),
		refused1(404, "NoSuchKey", gone),
		equal("markers", len(page.ObjectDeleteMarkers), 1),
		equal("newer versions", page.ObjectVersions[0].VersionId, ids[1]),
		equal("older versions", rest.ObjectVersions[0].VersionId, ids[0]),
		equal("the end", rest.IsTruncated, false),
	)
	if err != nil {
		return err
	}
	marker := page.ObjectDeleteMarkers[0].VersionId
	if err := bucket.DeleteObject("k", oss.VersionId(marker)); err != nil {
		return err
	}
	back, err := current.read("k")
	if err != nil {
		return err
	}
	removed, err := bucket.DeleteObjectVersions([]oss.DeleteObject{
		{Key: "k", VersionId: ids[0]}, {Key: "k", VersionId: ids[1]},
	})
	if err != nil {
		return err
	}
	return all(equal("without its marker", back, "second"), equal("removed", len(removed.DeletedObjectsDetail), 2))
}

// retains begins a policy, sees it protect, takes it back, and locks another.
func (s *suite1) retains() error {
	name := fmt.Sprintf("compat-go1-worm-%s-%s", s.addressing, versionLabel(s.version))
	if err := s.client.CreateBucket(name); err != nil {
		return err
	}
	bucket, err := s.client.Bucket(name)
	if err != nil {
		return err
	}
	if _, err := s.client.InitiateBucketWorm(name, 1); err != nil {
		return err
	}
	if err := bucket.PutObject("k", strings.NewReader("x")); err != nil {
		return err
	}
	protected := bucket.DeleteObject("k")
	if err := all(s.client.AbortBucketWorm(name), bucket.DeleteObject("k")); err != nil {
		return err
	}
	_, absent := s.client.GetBucketWorm(name)
	id, err := s.client.InitiateBucketWorm(name, 1)
	if err != nil {
		return err
	}
	early := s.client.ExtendBucketWorm(name, 2, id)
	if err := s.client.CompleteBucketWorm(name, id); err != nil {
		return err
	}
	if err := s.client.ExtendBucketWorm(name, 2, id); err != nil {
		return err
	}
	told, err := s.client.GetBucketWorm(name)
	if err != nil {
		return err
	}
	return all(
		refused1(409, "FileImmutable", protected),
		refused1(404, "NoSuchWORMConfiguration", absent),
		refused1(400, "InvalidWORMConfiguration", early),
		refused1(403, "WORMConfigurationLocked", s.client.AbortBucketWorm(name)),
		equal("the state", told.State, "Locked"),
		equal("days", told.RetentionPeriodInDays, 2),
		// Nothing in it is protected, so it goes.
		s.client.DeleteBucket(name),
	)
}

func (s *suite1) restoresAndInventories() error {
	err := s.bucket.PutObject("cold", strings.NewReader("x"), oss.ObjectStorageClass(oss.StorageArchive))
	if err != nil {
		return err
	}
	_, frozen := s.read("cold")
	if err := s.bucket.RestoreObject("cold"); err != nil {
		return err
	}
	again := s.bucket.RestoreObject("cold")
	var service oss.ServiceError
	if !errors.As(again, &service) || service.Code != "RestoreAlreadyInProgress" {
		// It may be over by now, which a second request is then taken for.
		err = again
	}
	_, none := s.client.ListBucketInventory(s.name, "")
	enabled := true
	inventory := oss.InventoryConfiguration{
		Id: "i", IsEnabled: &enabled, Prefix: "none/", Frequency: "Weekly", IncludedObjectVersions: "Current",
		OSSBucketDestination: oss.OSSBucketDestination{
			Format: "CSV", AccountId: "1", RoleArn: "acs:ram::1:role/r", Bucket: "acs:oss:::" + s.name, Prefix: "to",
		},
		OptionalFields: oss.OptionalFields{Field: []string{"Size", "ETag"}},
	}
	if err := all(err, s.client.SetBucketInventory(s.name, inventory)); err != nil {
		return err
	}
	told, err := s.client.GetBucketInventory(s.name, "i")
	if err != nil {
		return err
	}
	listed, err := s.client.ListBucketInventory(s.name, "")
	if err != nil {
		return err
	}
	return all(
		refused1(403, "InvalidObjectState", frozen),
		refused1(404, "NoSuchInventory", none),
		equal("frequency", told.Frequency, "Weekly"),
		equal("listed", len(listed.InventoryConfiguration), 1),
		s.client.DeleteBucketInventory(s.name, "i"),
		s.bucket.DeleteObject("cold"),
	)
}

// hasDigestOfSequentialUploads looks for what only parts sent in turn give.
func (s *suite1) hasDigestOfSequentialUploads() error {
	path, whole, err := partsFile(s.name + "-sequential")
	if err != nil {
		return err
	}
	defer os.Remove(path)
	for _, sequential := range []bool{false, true} {
		var options []oss.Option
		if sequential {
			options = append(options, oss.Sequential())
		}
		if err := s.bucket.UploadFile("parts/whole.bin", path, partSize, options...); err != nil {
			return err
		}
		meta, err := s.bucket.GetObjectDetailedMeta("parts/whole.bin")
		if err != nil {
			return err
		}
		err = all(
			equal("a digest", meta.Get("Content-MD5") != "", sequential),
			s.holds("parts/whole.bin", whole),
		)
		if err != nil {
			return err
		}
	}
	// A part copied from it.
	started, err := s.bucket.InitiateMultipartUpload("parts/copied.bin")
	if err != nil {
		return err
	}
	part, err := s.bucket.UploadPartCopy(started, s.name, "parts/whole.bin", 16, 32, 1)
	if err != nil {
		return err
	}
	if _, err := s.bucket.CompleteMultipartUpload(started, []oss.UploadPart{part}); err != nil {
		return err
	}
	return s.holds("parts/copied.bin", whole[16:48])
}

func (s *suite1) describesRegions(service *oss.Client) error {
	told, err := service.DescribeRegions()
	if err != nil {
		return err
	}
	return all(
		equal("the region", told.Regions[0].Region, "oss-"+region),
		equal("accelerated", told.Regions[0].AccelerateEndpoint, "oss-accelerate.aliyuncs.com"),
	)
}
