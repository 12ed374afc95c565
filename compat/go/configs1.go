package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"
)

// keepsObjectSettings sets and reads back what an object is set to beside its content.
func (s *suite1) keepsObjectSettings() error {
	key := "configs/object"
	if err := s.bucket.PutObject(key, strings.NewReader("hello")); err != nil {
		return err
	}
	if err := s.bucket.SetObjectACL(key, oss.ACLPublicRead); err != nil {
		return err
	}
	acl, err := s.bucket.GetObjectACL(key)
	if err != nil {
		return err
	}
	tagging := oss.Tagging{Tags: []oss.Tag{{Key: "a", Value: "1 + 1"}}}
	if err := s.bucket.PutObjectTagging(key, tagging); err != nil {
		return err
	}
	tags, err := s.bucket.GetObjectTagging(key)
	if err != nil {
		return err
	}
	if err := s.bucket.DeleteObjectTagging(key); err != nil {
		return err
	}
	if err := s.bucket.PutSymlink("configs/link", key); err != nil {
		return err
	}
	link, err := s.bucket.GetSymlink("configs/link")
	if err != nil {
		return err
	}
	meta, err := s.bucket.GetObjectMeta(key)
	if err != nil {
		return err
	}
	return all(
		equal("acl", acl.ACL, "public-read"),
		equal("tags", len(tags.Tags), 1),
		equal("tag", tags.Tags[0].Value, "1 + 1"),
		equal("target", link.Get("X-Oss-Symlink-Target"), key),
		equal("length", meta.Get("Content-Length"), "5"),
		s.holds("configs/link", "hello"),
	)
}

// describesTheBucket asks for each thing that is told of a bucket by itself.
func (s *suite1) describesTheBucket() error {
	if err := s.client.SetBucketACL(s.name, oss.ACLPublicRead); err != nil {
		return err
	}
	acl, err := s.client.GetBucketACL(s.name)
	if err != nil {
		return err
	}
	if err := s.client.SetBucketACL(s.name, oss.ACLPrivate); err != nil {
		return err
	}
	location, err := s.client.GetBucketLocation(s.name)
	if err != nil {
		return err
	}
	stat, err := s.client.GetBucketStat(s.name)
	if err != nil {
		return err
	}
	versioning, err := s.client.GetBucketVersioning(s.name)
	if err != nil {
		return err
	}
	monitor, err := s.client.GetBucketAccessMonitor(s.name)
	if err != nil {
		return err
	}
	channels, err := s.bucket.ListLiveChannel()
	if err != nil {
		return err
	}
	if err := s.client.DeleteBucketEncryption(s.name); err != nil {
		return err
	}
	_, plain := s.client.GetBucketEncryption(s.name)
	return all(
		equal("acl", acl.ACL, "public-read"),
		equal("location", location, "oss-"+region),
		equal("objects are counted", stat.ObjectCount > 0, true),
		equal("versioning", versioning.Status, ""),
		equal("access monitor", monitor.Status, "Disabled"),
		equal("live channels", len(channels.LiveChannel), 0),
		refused1(404, "NoSuchServerSideEncryptionRule", plain),
	)
}

// keepsBucketSettings sets, reads back and removes configurations of the bucket.
func (s *suite1) keepsBucketSettings() error {
	rule := oss.CORSRule{AllowedOrigin: []string{"http://page.test"}, AllowedMethod: []string{"PUT"}, MaxAgeSeconds: 10}
	if err := s.client.SetBucketCORS(s.name, []oss.CORSRule{rule}); err != nil {
		return err
	}
	cors, err := s.client.GetBucketCORS(s.name)
	if err != nil {
		return err
	}
	asked, err := s.bucket.OptionsMethod("configs/object", oss.Origin("http://page.test"), oss.ACReqMethod("PUT"))
	if err != nil {
		return err
	}
	if err := s.client.DeleteBucketCORS(s.name); err != nil {
		return err
	}
	if err := s.client.SetBucketTagging(s.name, oss.Tagging{Tags: []oss.Tag{{Key: "k", Value: "v"}}}); err != nil {
		return err
	}
	tags, err := s.client.GetBucketTagging(s.name)
	if err != nil {
		return err
	}
	if err := s.client.DeleteBucketTagging(s.name); err != nil {
		return err
	}
	if err := s.client.SetBucketReferer(s.name, []string{"http://a.test"}, true); err != nil {
		return err
	}
	referer, err := s.client.GetBucketReferer(s.name)
	if err != nil {
		return err
	}
	if err := s.client.SetBucketReferer(s.name, nil, true); err != nil {
		return err
	}
	if err := s.client.SetBucketLogging(s.name, s.name, "logs/", true); err != nil {
		return err
	}
	logging, err := s.client.GetBucketLogging(s.name)
	if err != nil {
		return err
	}
	if err := s.client.DeleteBucketLogging(s.name); err != nil {
		return err
	}
	days := oss.BuildLifecycleRuleByDays("a", "old/", true, 3)
	if err := s.client.SetBucketLifecycle(s.name, []oss.LifecycleRule{days}); err != nil {
		return err
	}
	lifecycle, err := s.client.GetBucketLifecycle(s.name)
	if err != nil {
		return err
	}
	if err := s.client.DeleteBucketLifecycle(s.name); err != nil {
		return err
	}
	if err := s.client.SetBucketWebsite(s.name, "index.html", "error.html"); err != nil {
		return err
	}
	website, err := s.client.GetBucketWebsite(s.name)
	if err != nil {
		return err
	}
	if err := s.client.DeleteBucketWebsite(s.name); err != nil {
		return err
	}
	payment := oss.RequestPaymentConfiguration{Payer: string(oss.BucketOwner)}
	if err := s.client.SetBucketRequestPayment(s.name, payment); err != nil {
		return err
	}
	payer, err := s.client.GetBucketRequestPayment(s.name)
	return all(err,
		equal("origin", cors.CORSRules[0].AllowedOrigin[0], "http://page.test"),
		equal("preflight", asked.Get("Access-Control-Allow-Origin"), "http://page.test"),
		equal("tag", tags.Tags[0].Value, "v"),
		equal("referer", referer.RefererList[0], "http://a.test"),
		equal("prefix of logs", logging.LoggingEnabled.TargetPrefix, "logs/"),
		equal("days", lifecycle.Rules[0].Expiration.Days, 3),
		equal("index", website.IndexDocument.Suffix, "index.html"),
		equal("payer", payer.Payer, "BucketOwner"),
	)
}

// looksForTheBucket sends what no SDK has: HEAD of a bucket, signed here.
func (s *suite1) looksForTheBucket() error {
	head := func(bucket string) (int, http.Header, error) {
		date := time.Now().UTC().Format(http.TimeFormat)
		mac := hmac.New(sha1.New, []byte(keySecret))
		fmt.Fprintf(mac, "HEAD\n\n\n%s\n/%s/", date, bucket)
		signature := base64.StdEncoding.EncodeToString(mac.Sum(nil))
		headers := map[string]string{"Date": date, "Authorization": "OSS " + keyID + ":" + signature}
		status, told, _, err := fetch("HEAD", scheme+"://localhost:"+port+"/"+bucket+"/", headers, "")
		return status, told, err
	}
	there, _, err := head(s.name)
	if err != nil {
		return err
	}
	absent, told, err := head(s.name + "-absent")
	return all(err,
		equal("of a bucket", there, 200),
		equal("of none", absent, 404),
		equal("its error", told.Get("X-Oss-Err") != "", true),
	)
}
