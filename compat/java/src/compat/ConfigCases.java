package compat;

import static compat.Room.check;
import static compat.Room.equal;
import static compat.Room.refused;

import com.aliyun.oss.OSS;
import com.aliyun.oss.model.BucketReferer;
import com.aliyun.oss.model.CannedAccessControlList;
import com.aliyun.oss.model.LifecycleRule;
import com.aliyun.oss.model.ObjectPermission;
import com.aliyun.oss.model.SetBucketCORSRequest;
import com.aliyun.oss.model.SetBucketLifecycleRequest;
import com.aliyun.oss.model.SetBucketLoggingRequest;
import com.aliyun.oss.model.SetBucketTaggingRequest;
import com.aliyun.oss.model.SetBucketWebsiteRequest;
import com.aliyun.oss.model.TagSet;
import java.io.ByteArrayInputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What buckets and objects are set to. */
final class ConfigCases {
    private final Room room;
    private final OSS oss;
    private final String bucket;

    ConfigCases(Room room, OSS oss, String bucket) {
        this.room = room;
        this.oss = oss;
        this.bucket = bucket;
    }

    void run() {
        room.run("acl, tags and links of objects are set and read back", this::objects);
        room.run("bucket tags, referers and logging are set and read back", this::small);
        room.run("cors rules are set, read back and deleted", this::cors);
        room.run("lifecycle rules are set, read back and deleted", this::lifecycle);
        room.run("a website is set, read back and deleted", this::website);
    }

    private void objects() {
        oss.putObject(bucket, "configs/object", new ByteArrayInputStream(new byte[] {'h', 'i'}));
        equal(oss.getObjectAcl(bucket, "configs/object").getPermission(), ObjectPermission.Default);
        oss.setObjectAcl(bucket, "configs/object", CannedAccessControlList.PublicRead);
        equal(oss.getObjectAcl(bucket, "configs/object").getPermission(), ObjectPermission.PublicRead);
        oss.setObjectTagging(bucket, "configs/object", Map.of("a b", "1+1"));
        equal(oss.getObjectTagging(bucket, "configs/object").getTag("a b"), "1+1");
        oss.deleteObjectTagging(bucket, "configs/object");
        check(oss.getObjectTagging(bucket, "configs/object").getAllTags().isEmpty(), "tags are left");
        oss.createSymlink(bucket, "configs/link", "configs/object");
        equal(oss.getSymlink(bucket, "configs/link").getTarget(), "configs/object");
        equal(oss.getObject(bucket, "configs/link").getObjectMetadata().getContentLength(), 2L);
    }

    private void small() throws Exception {
        oss.setBucketTagging(new SetBucketTaggingRequest(bucket, Map.of("k", "v")));
        TagSet tags = oss.getBucketTagging(new com.aliyun.oss.model.GenericRequest(bucket));
        equal(tags.getTag("k"), "v");
        oss.deleteBucketTagging(new com.aliyun.oss.model.GenericRequest(bucket));
        oss.setBucketReferer(bucket, new BucketReferer(true, List.of("http://a.test/*")));
        equal(oss.getBucketReferer(bucket).getRefererList(), List.of("http://a.test/*"));
        oss.setBucketReferer(bucket, new BucketReferer());
        SetBucketLoggingRequest logging = new SetBucketLoggingRequest(bucket);
        logging.setTargetBucket(bucket);
        logging.setTargetPrefix("logs/");
        oss.setBucketLogging(logging);
        equal(oss.getBucketLogging(bucket).getTargetPrefix(), "logs/");
        oss.deleteBucketLogging(bucket);
    }

    private void cors() throws Exception {
        SetBucketCORSRequest.CORSRule rule = new SetBucketCORSRequest.CORSRule();
        rule.addAllowdOrigin("http://page.test");
        rule.addAllowedMethod("PUT");
        rule.addAllowedHeader("x-oss-*");
        rule.addExposeHeader("ETag");
        rule.setMaxAgeSeconds(10);
        SetBucketCORSRequest request = new SetBucketCORSRequest(bucket);
        request.addCorsRule(rule);
        oss.setBucketCORS(request);
        SetBucketCORSRequest.CORSRule told = oss.getBucketCORSRules(bucket).get(0);
        equal(told.getAllowedOrigins(), List.of("http://page.test"));
        equal(told.getMaxAgeSeconds(), 10);
        oss.deleteBucketCORSRules(bucket);
        refused("NoSuchCORSConfiguration", () -> oss.getBucketCORSRules(bucket));
    }

    private void lifecycle() throws Exception {
        LifecycleRule rule = new LifecycleRule("one", "logs/", LifecycleRule.RuleStatus.Enabled, 30);
        SetBucketLifecycleRequest request = new SetBucketLifecycleRequest(bucket);
        request.setLifecycleRules(new ArrayList<>(List.of(rule)));
        oss.setBucketLifecycle(request);
        LifecycleRule told = oss.getBucketLifecycle(bucket).get(0);
        equal(told.getId(), "one");
        equal(told.getExpirationDays(), 30);
        oss.deleteBucketLifecycle(bucket);
        refused("NoSuchLifecycle", () -> oss.getBucketLifecycle(bucket));
    }

    private void website() throws Exception {
        SetBucketWebsiteRequest request = new SetBucketWebsiteRequest(bucket);
        request.setIndexDocument("index.html");
        request.setErrorDocument("error.html");
        oss.setBucketWebsite(request);
        equal(oss.getBucketWebsite(bucket).getIndexDocument(), "index.html");
        equal(oss.getBucketWebsite(bucket).getErrorDocument(), "error.html");
        oss.deleteBucketWebsite(bucket);
        refused("NoSuchWebsiteConfiguration", () -> oss.getBucketWebsite(bucket));
    }
}
