package main

import (
	"io"
	"strings"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
)

// unknownLength hides how long a reader is, so that the uploader goes in parts.
type unknownLength struct{ io.Reader }

func (s *suite2) uploadsStreams() error {
	_, whole, err := partsFile(s.bucket + "-streams")
	if err != nil {
		return err
	}
	uploader := oss.NewUploader(s.client, func(options *oss.UploaderOptions) { options.PartSize = partSize })
	for key, body := range map[string]string{"parts/empty": "", "parts/stream": whole} {
		put := &oss.PutObjectRequest{Bucket: &s.bucket, Key: &key}
		if _, err := uploader.UploadFrom(s.ctx, put, unknownLength{strings.NewReader(body)}); err != nil {
			return err
		}
		head, err := s.client.HeadObject(s.ctx, &oss.HeadObjectRequest{Bucket: &s.bucket, Key: &key})
		if err != nil {
			return err
		}
		err = all(
			equal(key, head.ContentLength, int64(len(body))),
			equal("type", *head.ObjectType, "Multipart"),
			equal("a digest", head.ContentMD5 == nil, true),
		)
		if err != nil {
			return err
		}
	}
	turn := &oss.PutObjectRequest{
		Bucket: &s.bucket, Key: oss.Ptr("parts/turn"),
		RequestCommon: oss.RequestCommon{Parameters: map[string]string{"sequential": ""}},
	}
	if _, err := uploader.UploadFrom(s.ctx, turn, strings.NewReader(whole), func(options *oss.UploaderOptions) {
		options.ParallelNum = 1
	}); err != nil {
		return err
	}
	head, err := s.client.HeadObject(s.ctx, &oss.HeadObjectRequest{Bucket: &s.bucket, Key: turn.Key})
	if err != nil {
		return err
	}
	return equal("a digest", head.ContentMD5 != nil, true)
}

func (s *suite2) copiesParts() error {
	key := "parts/copied"
	if err := second(s.client.PutObject(s.ctx, &oss.PutObjectRequest{
		Bucket: &s.bucket, Key: oss.Ptr("parts/source"), Body: strings.NewReader("hello world"),
	})); err != nil {
		return err
	}
	started, err := s.client.InitiateMultipartUpload(s.ctx, &oss.InitiateMultipartUploadRequest{
		Bucket: &s.bucket, Key: &key,
	})
	if err != nil {
		return err
	}
	part, err := s.client.UploadPartCopy(s.ctx, &oss.UploadPartCopyRequest{
		Bucket: &s.bucket, Key: &key, UploadId: started.UploadId, PartNumber: 1,
		SourceKey: oss.Ptr("parts/source"), Range: oss.Ptr("bytes=6-10"),
	})
	if err != nil {
		return err
	}
	parts := []oss.UploadPart{{PartNumber: 1, ETag: part.ETag}}
	if err := second(s.client.CompleteMultipartUpload(s.ctx, &oss.CompleteMultipartUploadRequest{
		Bucket: &s.bucket, Key: &key, UploadId: started.UploadId,
		CompleteMultipartUpload: &oss.CompleteMultipartUpload{Parts: parts},
	})); err != nil {
		return err
	}
	body, err := s.readVersion(s.bucket, key, nil)
	return all(err, equal("the part", body, "world"))
}

func (s *suite2) keepsInventories() error {
	list := &oss.ListBucketInventoryRequest{Bucket: &s.bucket}
	_, none := s.client.ListBucketInventory(s.ctx, list)
	if err := second(s.client.PutBucketInventory(s.ctx, &oss.PutBucketInventoryRequest{
		Bucket: &s.bucket, InventoryId: oss.Ptr("i"),
		InventoryConfiguration: &oss.InventoryConfiguration{
			Id: oss.Ptr("i"), IsEnabled: oss.Ptr(true), IncludedObjectVersions: oss.Ptr("Current"),
			Filter:   &oss.InventoryFilter{Prefix: oss.Ptr("none/")},
			Schedule: &oss.InventorySchedule{Frequency: oss.InventoryFrequencyWeekly},
			Destination: &oss.InventoryDestination{OSSBucketDestination: &oss.InventoryOSSBucketDestination{
				Format: oss.InventoryFormatCSV, AccountId: oss.Ptr("1"), RoleArn: oss.Ptr("acs:ram::1:role/r"),
				Bucket: oss.Ptr("acs:oss:::" + s.bucket), Prefix: oss.Ptr("to"),
				Encryption: &oss.InventoryEncryption{SseOss: oss.Ptr("")},
			}},
		},
	})); err != nil {
		return err
	}
	got, err := s.client.GetBucketInventory(s.ctx, &oss.GetBucketInventoryRequest{
		Bucket: &s.bucket, InventoryId: oss.Ptr("i"),
	})
	if err != nil {
		return err
	}
	listed, err := s.client.ListBucketInventory(s.ctx, list)
	if err != nil {
		return err
	}
	_, err = s.client.DeleteBucketInventory(s.ctx, &oss.DeleteBucketInventoryRequest{
		Bucket: &s.bucket, InventoryId: oss.Ptr("i"),
	})
	encryption := got.InventoryConfiguration.Destination.OSSBucketDestination.Encryption
	return all(
		err,
		refused2(404, "NoSuchInventory", none),
		equal("reports are encrypted", encryption != nil && encryption.SseOss != nil, true),
		equal("the id", *got.InventoryConfiguration.Id, "i"),
		equal("listed", len(listed.ListInventoryConfigurationsResult.InventoryConfigurations), 1),
	)
}

func (s *suite2) describesRegions(service *oss.Client) error {
	told, err := service.DescribeRegions(s.ctx, &oss.DescribeRegionsRequest{Regions: oss.Ptr("oss-" + region)})
	if err != nil {
		return err
	}
	return equal("the region", *told.RegionInfoList.RegionInfos[0].Region, "oss-"+region)
}
