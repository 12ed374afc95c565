package main

import (
	"fmt"
	"strings"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
)

// keepsObjectSettings sets and reads back what an object is set to beside its content.
func (s *suite2) keepsObjectSettings() error {
	key := oss.Ptr("configs/object")
	if err := s.put(*key, "hello"); err != nil {
		return err
	}
	_, err := s.client.PutObjectAcl(s.ctx, &oss.PutObjectAclRequest{
		Bucket: &s.bucket, Key: key, Acl: oss.ObjectACLPublicRead,
	})
	if err != nil {
		return err
	}
	acl, err := s.client.GetObjectAcl(s.ctx, &oss.GetObjectAclRequest{Bucket: &s.bucket, Key: key})
	if err != nil {
		return err
	}
	_, err = s.client.PutObjectTagging(s.ctx, &oss.PutObjectTaggingRequest{
		Bucket: &s.bucket, Key: key,
		Tagging: &oss.Tagging{TagSet: &oss.TagSet{Tags: []oss.Tag{{Key: oss.Ptr("a"), Value: oss.Ptr("1 + 1")}}}},
	})
	if err != nil {
		return err
	}
	tags, err := s.client.GetObjectTagging(s.ctx, &oss.GetObjectTaggingRequest{Bucket: &s.bucket, Key: key})
	if err != nil {
		return err
	}
	_, err = s.client.DeleteObjectTagging(s.ctx, &oss.DeleteObjectTaggingRequest{Bucket: &s.bucket, Key: key})
	if err != nil {
		return err
	}
	_, err = s.client.PutSymlink(s.ctx, &oss.PutSymlinkRequest{
		Bucket: &s.bucket, Key: oss.Ptr("configs/link"), Target: key,
	})
	if err != nil {
		return err
	}
	link, err := s.client.GetSymlink(s.ctx, &oss.GetSymlinkRequest{Bucket: &s.bucket, Key: oss.Ptr("configs/link")})
	if err != nil {
		return err
	}
	return all(
		equal("acl", *acl.ACL, "public-read"),
		equal("tags", len(tags.Tags), 1),
		equal("tag", *tags.Tags[0].Value, "1 + 1"),
		equal("target", *link.Target, *key),
		s.holds("configs/link", "hello"),
	)
}

// keepsBucketSettings sets, reads back and removes configurations of the bucket.
func (s *suite2) keepsBucketSettings() error {
	rule := oss.CORSRule{
		AllowedOrigins: []string{"http://page.test"}, AllowedMethods: []string{"PUT"}, ExposeHeaders: []string{"ETag"},
		MaxAgeSeconds: oss.Ptr(int64(10)),
	}
	_, err := s.client.PutBucketCors(s.ctx, &oss.PutBucketCorsRequest{
		Bucket: &s.bucket, CORSConfiguration: &oss.CORSConfiguration{CORSRules: []oss.CORSRule{rule}},
	})
	if err != nil {
		return err
	}
	cors, err := s.client.GetBucketCors(s.ctx, &oss.GetBucketCorsRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	asked, err := s.client.OptionObject(s.ctx, &oss.OptionObjectRequest{
		Bucket: &s.bucket, Key: oss.Ptr("configs/object"), Origin: oss.Ptr("http://page.test"),
		AccessControlRequestMethod: oss.Ptr("PUT"),
	})
	if err != nil {
		return err
	}
	if _, err := s.client.DeleteBucketCors(s.ctx, &oss.DeleteBucketCorsRequest{Bucket: &s.bucket}); err != nil {
		return err
	}
	_, absent := s.client.GetBucketCors(s.ctx, &oss.GetBucketCorsRequest{Bucket: &s.bucket})

	_, err = s.client.PutBucketOverwriteConfig(s.ctx, &oss.PutBucketOverwriteConfigRequest{
		Bucket: &s.bucket,
		OverwriteConfiguration: &oss.OverwriteConfiguration{Rules: []oss.OverwriteRule{{
			ID: oss.Ptr("keep"), Action: oss.Ptr("forbid"), Prefix: oss.Ptr("configs/kept"),
		}}},
	})
	if err != nil {
		return err
	}
	overwrite, err := s.client.GetBucketOverwriteConfig(s.ctx, &oss.GetBucketOverwriteConfigRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	if err := s.put("configs/kept", "first"); err != nil {
		return err
	}
	again := s.put("configs/kept", "second")
	_, err = s.client.DeleteBucketOverwriteConfig(s.ctx, &oss.DeleteBucketOverwriteConfigRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}

	_, err = s.client.PutBucketStorageQuota(s.ctx, &oss.PutBucketStorageQuotaRequest{
		Bucket:             &s.bucket,
		QuotaConfiguration: &oss.QuotaConfiguration{StorageQuota: oss.Ptr(int64(1)), Mode: oss.StorageQuotaModeStrict},
	})
	if err != nil {
		return err
	}
	full := s.put("configs/too-much", "x")
	quota, err := s.client.GetBucketStorageQuota(s.ctx, &oss.GetBucketStorageQuotaRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	_, err = s.client.DeleteBucketStorageQuota(s.ctx, &oss.DeleteBucketStorageQuotaRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}

	policy := fmt.Sprintf(`{"Version":"1","Statement":[{"Action":["oss:GetObject"],"Effect":"Allow","Principal":["27"],`+
		`"Resource":["acs:oss:*:*:%s/*"]}]}`, s.bucket)
	_, err = s.client.PutBucketPolicy(s.ctx, &oss.PutBucketPolicyRequest{
		Bucket: &s.bucket, Body: strings.NewReader(policy),
	})
	if err != nil {
		return err
	}
	told, err := s.client.GetBucketPolicy(s.ctx, &oss.GetBucketPolicyRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	status, err := s.client.GetBucketPolicyStatus(s.ctx, &oss.GetBucketPolicyStatusRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	if _, err := s.client.DeleteBucketPolicy(s.ctx, &oss.DeleteBucketPolicyRequest{Bucket: &s.bucket}); err != nil {
		return err
	}

	return all(
		equal("origin", cors.CORSConfiguration.CORSRules[0].AllowedOrigins[0], "http://page.test"),
		equal("preflight", oss.ToString(asked.AccessControlAllowOrigin), "http://page.test"),
		refused2(404, "NoSuchCORSConfiguration", absent),
		equal("rule", oss.ToString(overwrite.OverwriteConfiguration.Rules[0].Prefix), "configs/kept"),
		equal("whether the policy is public", oss.ToBool(status.PolicyStatus.IsPublic), false),
		refused2(409, "FileAlreadyExists", again),
		s.holds("configs/kept", "first"),
		refused2(403, "QuotaExceeded", full),
		equal("quota", *quota.QuotaConfiguration.StorageQuota, 1),
		equal("policy", told.Body, policy),
	)
}

// describesTheBucket asks for each thing that is told of a bucket by itself.
func (s *suite2) describesTheBucket() error {
	set := func(acl oss.BucketACLType) error {
		return second(s.client.PutBucketAcl(s.ctx, &oss.PutBucketAclRequest{Bucket: &s.bucket, Acl: acl}))
	}
	if err := set(oss.BucketACLPublicRead); err != nil {
		return err
	}
	acl, err := s.client.GetBucketAcl(s.ctx, &oss.GetBucketAclRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	if err := set(oss.BucketACLPrivate); err != nil {
		return err
	}
	location, err := s.client.GetBucketLocation(s.ctx, &oss.GetBucketLocationRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	stat, err := s.client.GetBucketStat(s.ctx, &oss.GetBucketStatRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	versioning, err := s.client.GetBucketVersioning(s.ctx, &oss.GetBucketVersioningRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	monitor, err := s.client.GetBucketAccessMonitor(s.ctx, &oss.GetBucketAccessMonitorRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	_, err = s.client.DeleteBucketEncryption(s.ctx, &oss.DeleteBucketEncryptionRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	_, plain := s.client.GetBucketEncryption(s.ctx, &oss.GetBucketEncryptionRequest{Bucket: &s.bucket})
	return all(
		equal("acl", oss.ToString(acl.ACL), "public-read"),
		equal("location", oss.ToString(location.LocationConstraint), "oss-"+region),
		equal("objects are counted", stat.ObjectCount > 0, true),
		equal("versioning", oss.ToString(versioning.VersionStatus), ""),
		equal("access monitor", monitor.AccessMonitorConfiguration.Status, oss.AccessMonitorStatusDisabled),
		refused2(404, "NoSuchServerSideEncryptionRule", plain),
	)
}

// blocksPublicAccess of the account, by whoever may speak for it.
func (s *suite2) blocksPublicAccess(admin *oss.Client) error {
	_, err := admin.PutPublicAccessBlock(s.ctx, &oss.PutPublicAccessBlockRequest{
		PublicAccessBlockConfiguration: &oss.PublicAccessBlockConfiguration{BlockPublicAccess: oss.Ptr(true)},
	})
	if err != nil {
		return err
	}
	told, err := admin.GetPublicAccessBlock(s.ctx, &oss.GetPublicAccessBlockRequest{})
	if err != nil {
		return err
	}
	_, public := s.client.PutBucketAcl(s.ctx, &oss.PutBucketAclRequest{Bucket: &s.bucket, Acl: oss.BucketACLPublicRead})
	if _, err := admin.DeletePublicAccessBlock(s.ctx, &oss.DeletePublicAccessBlockRequest{}); err != nil {
		return err
	}
	return all(
		equal("block", oss.ToBool(told.PublicAccessBlockConfiguration.BlockPublicAccess), true),
		refused2(403, "AccessDenied", public),
	)
}
