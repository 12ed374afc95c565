package compat;

import static compat.Room.check;
import static compat.Room.equal;
import static compat.Room.refused;

import com.aliyun.oss.OSS;
import com.aliyun.oss.model.BucketVersioningConfiguration;
import com.aliyun.oss.model.CompleteMultipartUploadRequest;
import com.aliyun.oss.model.DeleteVersionsRequest;
import com.aliyun.oss.model.DeleteVersionsRequest.KeyVersion;
import com.aliyun.oss.model.DescribeRegionsRequest;
import com.aliyun.oss.model.GetBucketWormResult;
import com.aliyun.oss.model.GetObjectRequest;
import com.aliyun.oss.model.InitiateMultipartUploadRequest;
import com.aliyun.oss.model.InventoryConfiguration;
import com.aliyun.oss.model.InventoryDestination;
import com.aliyun.oss.model.InventoryFormat;
import com.aliyun.oss.model.InventoryFrequency;
import com.aliyun.oss.model.InventoryIncludedObjectVersions;
import com.aliyun.oss.model.InventoryOSSBucketDestination;
import com.aliyun.oss.model.InventorySchedule;
import com.aliyun.oss.model.ListVersionsRequest;
import com.aliyun.oss.model.OSSVersionSummary;
import com.aliyun.oss.model.ObjectMetadata;
import com.aliyun.oss.model.Payer;
import com.aliyun.oss.model.SetBucketVersioningRequest;
import com.aliyun.oss.model.StorageClass;
import com.aliyun.oss.model.UploadPartCopyRequest;
import com.aliyun.oss.model.VersionListing;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** What objects live through: versions, retention, restores; and what is told of a bucket's own. */
final class LifetimeCases {
    private final Room room;
    private final OSS oss;
    private final OSS admin;
    private final String bucket;
    private final boolean many;

    LifetimeCases(Room room, OSS oss, OSS admin, String bucket, boolean many) {
        this.room = room;
        this.oss = oss;
        this.admin = admin;
        this.bucket = bucket;
        this.many = many;
    }

    void run() {
        room.run("an archived object is frozen and restored", this::restores);
        room.run("parts are copied", this::copiesParts);
        room.run("inventories are put, told, listed and deleted", this::inventories);
        room.run("who pays is set and read back", this::payment);
        room.run("regions are described", this::regions);
        // A custom domain serves one bucket only.
        if (many) {
            room.run("versions are kept, read, listed and removed", this::versions);
            room.run("a retention policy is begun, obeyed, aborted, locked and extended", this::retention);
        }
    }

    private static InputStream bytes(String text) {
        return new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
    }

    private String read(GetObjectRequest request) throws Exception {
        try (var content = oss.getObject(request).getObjectContent()) {
            return new String(content.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private void versions() throws Exception {
        String name = bucket + "-v";
        oss.createBucket(name);
        check(oss.getBucketVersioning(name).getStatus() == null
                || oss.getBucketVersioning(name).getStatus().equals(BucketVersioningConfiguration.OFF), "versions are kept");
        BucketVersioningConfiguration enabled = new BucketVersioningConfiguration();
        enabled.setStatus(BucketVersioningConfiguration.ENABLED);
        oss.setBucketVersioning(new SetBucketVersioningRequest(name, enabled));
        equal(oss.getBucketVersioning(name).getStatus(), BucketVersioningConfiguration.ENABLED);
        String first = oss.putObject(name, "k", bytes("first")).getVersionId();
        String second = oss.putObject(name, "k", bytes("second")).getVersionId();
        oss.deleteObject(name, "k");
        equal(read(new GetObjectRequest(name, "k", first)), "first");
        refused("NoSuchKey", () -> oss.getObject(name, "k"));
        List<OSSVersionSummary> all = new ArrayList<>();
        ListVersionsRequest request = new ListVersionsRequest().withBucketName(name).withMaxResults(2);
        VersionListing page;
        do {
            page = oss.listVersions(request);
            all.addAll(page.getVersionSummaries());
            request.setKeyMarker(page.getNextKeyMarker());
            request.setVersionIdMarker(page.getNextVersionIdMarker());
        } while (page.isTruncated());
        equal(all.size(), 3);
        OSSVersionSummary marker = all.stream().filter(OSSVersionSummary::isDeleteMarker).findFirst().orElseThrow();
        equal(marker.isLatest(), true);
        oss.deleteVersion(name, "k", marker.getVersionId());
        equal(read(new GetObjectRequest(name, "k")), "second");
        List<KeyVersion> both = List.of(new KeyVersion("k", first), new KeyVersion("k", second));
        equal(oss.deleteVersions(new DeleteVersionsRequest(name).withKeys(both)).getDeletedVersions().size(), 2);
        oss.deleteBucket(name);
    }

    private void retention() throws Exception {
        String name = bucket + "-w";
        oss.createBucket(name);
        String id = oss.initiateBucketWorm(name, 1).getWormId();
        oss.putObject(name, "k", bytes("x"));
        refused("FileImmutable", () -> oss.deleteObject(name, "k"));
        equal(oss.getBucketWorm(name).getWormState(), "InProgress");
        oss.abortBucketWorm(name);
        oss.deleteObject(name, "k");
        refused("NoSuchWORMConfiguration", () -> oss.getBucketWorm(name));
        refused("NoSuchWORMConfiguration", () -> oss.completeBucketWorm(name, id));
        String locked = oss.initiateBucketWorm(name, 1).getWormId();
        oss.completeBucketWorm(name, locked);
        oss.extendBucketWorm(name, locked, 2);
        GetBucketWormResult told = oss.getBucketWorm(name);
        equal(told.getWormState(), "Locked");
        equal(told.getRetentionPeriodInDays(), 2);
        refused("WORMConfigurationLocked", () -> oss.abortBucketWorm(name));
        // Nothing in it is protected, so it goes.
        oss.deleteBucket(name);
    }

    private void restores() throws Exception {
        ObjectMetadata archived = new ObjectMetadata();
        archived.setHeader("x-oss-storage-class", StorageClass.Archive.toString());
        oss.putObject(bucket, "cold", bytes("x"), archived);
        refused("InvalidObjectState", () -> oss.getObject(bucket, "cold"));
        equal(oss.restoreObject(bucket, "cold").getStatusCode(), 202);
        check(oss.getObjectMetadata(bucket, "cold").getRawMetadata().get("x-oss-restore") != null, "no x-oss-restore");
        oss.deleteObject(bucket, "cold");
    }

    private void copiesParts() throws Exception {
        oss.putObject(bucket, "parts/source", bytes("hello world"));
        String key = "parts/copied";
        String upload = oss.initiateMultipartUpload(new InitiateMultipartUploadRequest(bucket, key)).getUploadId();
        var part = oss.uploadPartCopy(
                new UploadPartCopyRequest(bucket, "parts/source", bucket, key, upload, 1, 6L, 5L));
        oss.completeMultipartUpload(
                new CompleteMultipartUploadRequest(bucket, key, upload, new ArrayList<>(List.of(part.getPartETag()))));
        equal(read(new GetObjectRequest(bucket, key)), "world");
    }

    private void inventories() throws Exception {
        refused("NoSuchInventory", () -> oss.listBucketInventoryConfigurations(bucket));
        InventoryOSSBucketDestination to = new InventoryOSSBucketDestination()
                .withBucket(bucket)
                .withFormat(InventoryFormat.CSV)
                .withAccountId("1")
                .withRoleArn("acs:ram::1:role/r")
                .withPrefix("to");
        InventoryConfiguration inventory = new InventoryConfiguration()
                .withInventoryId("i")
                .withEnabled(true)
                .withIncludedObjectVersions(InventoryIncludedObjectVersions.Current)
                .withSchedule(new InventorySchedule().withFrequency(InventoryFrequency.Weekly))
                .withOptionalFields(List.of("Size"))
                .withDestination(new InventoryDestination().withOSSBucketDestination(to));
        oss.setBucketInventoryConfiguration(bucket, inventory);
        InventoryConfiguration told = oss.getBucketInventoryConfiguration(bucket, "i").getInventoryConfiguration();
        equal(told.getDestination().getOssBucketDestination().getBucket(), bucket);
        equal(oss.listBucketInventoryConfigurations(bucket).getInventoryConfigurationList().size(), 1);
        oss.deleteBucketInventoryConfiguration(bucket, "i");
    }

    private void payment() {
        oss.setBucketRequestPayment(bucket, Payer.Requester);
        equal(oss.getBucketRequestPayment(bucket).getPayer(), Payer.Requester);
        oss.setBucketRequestPayment(bucket, Payer.BucketOwner);
    }

    private void regions() {
        equal(admin.describeRegions(new DescribeRegionsRequest()).getRegionInfoList().get(0).getRegion(), "oss-cn-hangzhou");
    }
}
