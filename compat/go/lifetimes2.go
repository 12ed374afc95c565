package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
)

const restoreMax = time.Minute

func (s *suite2) locksRetention() error {
	bucket := fmt.Sprintf("compat-go2-worm-%d-%s", s.version, s.addressing)
	if err := second(s.client.PutBucket(s.ctx, &oss.PutBucketRequest{Bucket: &bucket})); err != nil {
		return err
	}
	begun, err := s.client.InitiateBucketWorm(s.ctx, &oss.InitiateBucketWormRequest{
		Bucket: &bucket, InitiateWormConfiguration: &oss.InitiateWormConfiguration{RetentionPeriodInDays: oss.Ptr(int32(1))},
	})
	if err != nil {
		return err
	}
	ask := &oss.GetBucketWormRequest{Bucket: &bucket}
	first, err := s.client.GetBucketWorm(s.ctx, ask)
	if err != nil {
		return err
	}
	err = second(s.client.CompleteBucketWorm(s.ctx, &oss.CompleteBucketWormRequest{Bucket: &bucket, WormId: begun.WormId}))
	if err != nil {
		return err
	}
	err = second(s.client.ExtendBucketWorm(s.ctx, &oss.ExtendBucketWormRequest{
		Bucket: &bucket, WormId: begun.WormId,
		ExtendWormConfiguration: &oss.ExtendWormConfiguration{RetentionPeriodInDays: oss.Ptr(int32(2))},
	}))
	if err != nil {
		return err
	}
	told, err := s.client.GetBucketWorm(s.ctx, ask)
	if err != nil {
		return err
	}
	locked := second(s.client.AbortBucketWorm(s.ctx, &oss.AbortBucketWormRequest{Bucket: &bucket}))
	return all(
		equal("begun", first.WormConfiguration.State, oss.BucketWormStateInProgress),
		equal("locked", told.WormConfiguration.State, oss.BucketWormStateLocked),
		equal("id", *told.WormConfiguration.WormId, *begun.WormId),
		equal("days", *told.WormConfiguration.RetentionPeriodInDays, 2),
		refused2(403, "WORMConfigurationLocked", locked),
		second(s.client.DeleteBucket(s.ctx, &oss.DeleteBucketRequest{Bucket: &bucket})),
	)
}

// retainsVersions leaves its bucket there: what is retained until tomorrow cannot be removed.
func (s *suite2) retainsVersions() error {
	bucket := fmt.Sprintf("compat-go2-retained-%d-%s", s.version, s.addressing)
	if err := second(s.client.PutBucket(s.ctx, &oss.PutBucketRequest{Bucket: &bucket})); err != nil {
		return err
	}
	err := second(s.client.PutBucketVersioning(s.ctx, &oss.PutBucketVersioningRequest{
		Bucket: &bucket, VersioningConfiguration: &oss.VersioningConfiguration{Status: oss.VersionEnabled},
	}))
	if err != nil {
		return err
	}
	err = second(s.client.PutBucketObjectWormConfiguration(s.ctx, &oss.PutBucketObjectWormConfigurationRequest{
		Bucket: &bucket,
		ObjectWormConfiguration: &oss.ObjectWormConfiguration{
			ObjectWormEnabled: oss.Ptr("Enabled"),
			Rule: &oss.ObjectWormRule{DefaultRetention: &oss.ObjectWormDefaultRetention{
				Mode: oss.Ptr("GOVERNANCE"), Days: oss.Ptr(int32(1)),
			}},
		},
	}))
	if err != nil {
		return err
	}
	told, err := s.client.GetBucketObjectWormConfiguration(s.ctx, &oss.GetBucketObjectWormConfigurationRequest{
		Bucket: &bucket,
	})
	if err != nil {
		return err
	}
	version, err := s.putVersion(bucket, "k", "x")
	if err != nil {
		return err
	}
	key := oss.Ptr("k")
	until := time.Now().Add(72 * time.Hour).UTC().Truncate(time.Second).Format("2006-01-02T15:04:05.000Z")
	err = second(s.client.PutObjectRetention(s.ctx, &oss.PutObjectRetentionRequest{
		Bucket: &bucket, Key: key, VersionId: &version,
		Retention: &oss.ObjectWormRetention{Mode: oss.Ptr("GOVERNANCE"), RetainUntilDate: &until},
	}))
	if err != nil {
		return err
	}
	retained, err := s.client.GetObjectRetention(s.ctx, &oss.GetObjectRetentionRequest{
		Bucket: &bucket, Key: key, VersionId: &version,
	})
	if err != nil {
		return err
	}
	for _, status := range []string{"ON", "OFF"} {
		err = second(s.client.PutObjectLegalHold(s.ctx, &oss.PutObjectLegalHoldRequest{
			Bucket: &bucket, Key: key, VersionId: &version, LegalHold: &oss.ObjectWormLegalHold{Status: &status},
		}))
		if err != nil {
			return err
		}
		held, err := s.client.GetObjectLegalHold(s.ctx, &oss.GetObjectLegalHoldRequest{
			Bucket: &bucket, Key: key, VersionId: &version,
		})
		if err != nil {
			return err
		}
		if err := equal("hold", *held.LegalHold.Status, status); err != nil {
			return err
		}
	}
	removed := second(s.client.DeleteObject(s.ctx, &oss.DeleteObjectRequest{
		Bucket: &bucket, Key: key, VersionId: &version,
	}))
	retention := told.ObjectWormConfiguration.Rule.DefaultRetention
	return all(
		equal("enabled", *told.ObjectWormConfiguration.ObjectWormEnabled, "Enabled"),
		equal("default", fmt.Sprint(*retention.Mode, *retention.Days), fmt.Sprint("GOVERNANCE", 1)),
		equal("mode", *retained.Retention.Mode, "GOVERNANCE"),
		equal("until", *retained.Retention.RetainUntilDate, until),
		refused2(409, "FileImmutable", removed),
	)
}

func (s *suite2) restores() error {
	key := oss.Ptr("lifetimes/archived")
	err := second(s.client.PutObject(s.ctx, &oss.PutObjectRequest{
		Bucket: &s.bucket, Key: key, StorageClass: oss.StorageClassArchive, Body: strings.NewReader("cold"),
	}))
	if err != nil {
		return err
	}
	_, frozen := s.readVersion(s.bucket, *key, nil)
	taken, err := s.client.RestoreObject(s.ctx, &oss.RestoreObjectRequest{
		Bucket: &s.bucket, Key: key, RestoreRequest: &oss.RestoreRequest{Days: 2},
	})
	if err != nil {
		return err
	}
	clean := &oss.CleanRestoredObjectRequest{Bucket: &s.bucket, Key: key}
	early := second(s.client.CleanRestoredObject(s.ctx, clean))
	for end := time.Now().Add(restoreMax); ; time.Sleep(200 * time.Millisecond) {
		head, err := s.client.HeadObject(s.ctx, &oss.HeadObjectRequest{Bucket: &s.bucket, Key: key})
		if err != nil {
			return err
		}
		if !strings.Contains(*head.Restore, "ongoing-request=\"true\"") {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("the restore does not end: %s", *head.Restore)
		}
	}
	content, err := s.readVersion(s.bucket, *key, nil)
	if err != nil {
		return err
	}
	cleaned := second(s.client.CleanRestoredObject(s.ctx, clean))
	_, again := s.readVersion(s.bucket, *key, nil)
	return all(
		refused2(403, "InvalidObjectState", frozen),
		equal("restore", taken.StatusCode, 202),
		refused2(409, "ArchiveRestoreNotFinished", early),
		equal("content", content, "cold"),
		cleaned,
		refused2(403, "InvalidObjectState", again),
	)
}
