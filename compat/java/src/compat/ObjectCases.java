package compat;

import static compat.Room.check;
import static compat.Room.equal;
import static compat.Room.refused;

import com.aliyun.oss.HttpMethod;
import com.aliyun.oss.OSS;
import com.aliyun.oss.OSSException;
import com.aliyun.oss.common.comm.SignVersion;
import com.aliyun.oss.model.AppendObjectRequest;
import com.aliyun.oss.model.BucketInfo;
import com.aliyun.oss.model.DeleteObjectsRequest;
import com.aliyun.oss.model.GeneratePresignedUrlRequest;
import com.aliyun.oss.model.GetObjectRequest;
import com.aliyun.oss.model.ListBucketsRequest;
import com.aliyun.oss.model.ListObjectsRequest;
import com.aliyun.oss.model.ListObjectsV2Request;
import com.aliyun.oss.model.ListObjectsV2Result;
import com.aliyun.oss.model.OSSObject;
import com.aliyun.oss.model.OSSObjectSummary;
import com.aliyun.oss.model.ObjectListing;
import com.aliyun.oss.model.ObjectMetadata;
import com.aliyun.oss.model.PutObjectResult;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.Map;

/** Whole objects, lists, signed URLs, buckets and the errors around them. */
final class ObjectCases {
    private static final List<String> ODD_KEYS = List.of(
            "plain/with/slashes.txt",
            "space and+plus.txt",
            "percent%20and%2Fslash",
            "query?and#hash&amp;=x",
            "quotes'\"<>&.xml",
            "bare!'()*~-_.txt",
            "double//slash//x");
    private static final String BEYOND_ASCII = "ünïcode/日本語/😀.log";

    private final Room room;
    private final OSS oss;
    private final String bucket;
    private final SignVersion version;
    private final String addressing;

    ObjectCases(Room room, OSS oss, String bucket, SignVersion version, String addressing) {
        this.room = room;
        this.oss = oss;
        this.bucket = bucket;
        this.version = version;
        this.addressing = addressing;
    }

    void run() {
        room.run("puts, gets, ranges and conditions", this::putsAndGets);
        room.run("normal objects are copied and appendables are not", this::copies);
        room.run("keys of every kind survive", this::keepsOddKeys);
        if (version == SignVersion.V2) {
            room.skip("keys beyond ASCII", "its V2 signature encodes UTF-16 units, not bytes, so no server can verify it");
        }
        room.run("lists v1 and v2 page by page", this::lists);
        room.run("signed URLs read, write and append", this::signs);
        room.run("missing keys, wrong secrets and unknown keys are refused", this::refusesStrangers);
        if (!addressing.equals("cname")) {
            room.run("missing buckets are NoSuchBucket", this::missesBuckets);
            room.run("buckets are described and listed", this::describesBuckets);
        }
    }

    private static InputStream stream(String text) {
        return new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
    }

    private static String text(OSSObject object) throws Exception {
        try (InputStream content = object.getObjectContent()) {
            return new String(content.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private String read(String key) throws Exception {
        return text(oss.getObject(bucket, key));
    }

    private void append(String key, String text, long position) {
        oss.appendObject(new AppendObjectRequest(bucket, key, stream(text)).withPosition(position));
    }

    private void putsAndGets() throws Exception {
        ObjectMetadata metadata = new ObjectMetadata();
        metadata.addUserMetadata("colour", "red");
        metadata.setContentLength(10);
        PutObjectResult put = oss.putObject(bucket, "put.txt", stream("0123456789"), metadata);
        equal(put.getETag(), "781E5E245D69B566979B86E28D23F2C7");
        equal(put.getClientCRC(), put.getServerCRC());
        oss.putObject(bucket, "put-chunked.txt", stream("of unknown length"));
        equal(read("put-chunked.txt"), "of unknown length");
        OSSObject object = oss.getObject(bucket, "put.txt");
        equal(object.getObjectMetadata().getUserMetadata().get("colour"), "red");
        equal(text(object), "0123456789");
        GetObjectRequest part = new GetObjectRequest(bucket, "put.txt");
        part.setRange(2, 5);
        equal(text(oss.getObject(part)), "2345");
        GetObjectRequest unmatched = new GetObjectRequest(bucket, "put.txt");
        unmatched.setMatchingETagConstraints(List.of("wrong"));
        refused("PreconditionFailed", () -> oss.getObject(unmatched));
        ObjectMetadata head = oss.headObject(bucket, "put.txt");
        equal(head.getContentLength(), 10L);
        equal(oss.doesObjectExist(bucket, "put.txt"), true);
        equal(oss.doesObjectExist(bucket, "absent.txt"), false);
        oss.deleteObject(bucket, "put.txt");
        equal(oss.doesObjectExist(bucket, "put.txt"), false);
    }

    private void copies() throws Exception {
        oss.putObject(bucket, "copy source+ü.txt", stream("hello"));
        equal(oss.copyObject(bucket, "copy source+ü.txt", bucket, "copied.txt").getETag(),
                "5D41402ABC4B2A76B9719D911017C592");
        equal(read("copied.txt"), "hello");
        append("copy-source.log", "hello", 0);
        refused("OperationNotSupported", () -> oss.copyObject(bucket, "copy-source.log", bucket, "no.log"));
        equal(oss.doesObjectExist(bucket, "no.log"), false);
    }

    private void keepsOddKeys() throws Exception {
        List<String> want = new ArrayList<>();
        List<String> keys = new ArrayList<>(ODD_KEYS);
        if (version != SignVersion.V2) {
            keys.add(BEYOND_ASCII);
        }
        for (String key : keys) {
            String stored = "odd/" + key;
            want.add(stored);
            oss.putObject(bucket, stored, stream(key));
            equal(read(stored), key);
            append("odd-log/" + key, "x", 0);
            append("odd-log/" + key, "y", 1);
            equal(read("odd-log/" + key), "xy");
            oss.copyObject(bucket, stored, bucket, "odd-copy/" + key);
            oss.deleteObject(bucket, "odd-copy/" + key);
            equal(oss.doesObjectExist(bucket, "odd-copy/" + key), false);
        }
        Collections.sort(want);
        List<String> listed = new ArrayList<>();
        for (OSSObjectSummary summary : oss.listObjects(bucket, "odd/").getObjectSummaries()) {
            listed.add(summary.getKey());
        }
        Collections.sort(listed);
        equal(listed, want);
        List<String> gone = new ArrayList<>(
                oss.deleteObjects(new DeleteObjectsRequest(bucket).withKeys(want)).getDeletedObjects());
        Collections.sort(gone);
        equal(gone, want);
    }

    private void lists() throws Exception {
        List<String> keys = List.of("list/a.txt", "list/b/1.txt", "list/b/2.txt", "list/c d.txt", "list/z.log");
        for (String key : keys) {
            append(key, "12345", 0);
        }
        List<String> walked = new ArrayList<>();
        String marker = null;
        ObjectListing page;
        do {
            page = oss.listObjects(new ListObjectsRequest(bucket, "list/", marker, null, 2));
            for (OSSObjectSummary summary : page.getObjectSummaries()) {
                walked.add(summary.getKey());
                equal(summary.getType(), "Appendable");
                equal(summary.getSize(), 5L);
                check(!summary.getOwner().getId().isEmpty(), "no owner");
            }
            marker = page.getNextMarker();
        } while (page.isTruncated());
        equal(walked, keys);
        walked.clear();
        ListObjectsV2Request request = new ListObjectsV2Request(bucket, "list/");
        request.setMaxKeys(2);
        ListObjectsV2Result second;
        do {
            second = oss.listObjectsV2(request);
            for (OSSObjectSummary summary : second.getObjectSummaries()) {
                walked.add(summary.getKey());
            }
            request.setContinuationToken(second.getNextContinuationToken());
        } while (second.isTruncated());
        equal(walked, keys);
        ObjectListing folded = oss.listObjects(new ListObjectsRequest(bucket, "list/", null, "/", 100));
        equal(folded.getCommonPrefixes(), List.of("list/b/"));
    }

    private static HttpResponse<String> fetch(String method, URI uri, Map<String, String> headers, String body)
            throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(uri)
                .method(method, body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body));
        headers.forEach(request::header);
        return HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()
                .send(request.build(), HttpResponse.BodyHandlers.ofString());
    }

    private GeneratePresignedUrlRequest signed(String key, HttpMethod method) {
        GeneratePresignedUrlRequest request = new GeneratePresignedUrlRequest(bucket, key, method);
        request.setExpiration(new Date(System.currentTimeMillis() + 60_000));
        return request;
    }

    private void signs() throws Exception {
        GeneratePresignedUrlRequest put = signed("signed/ü +.txt", HttpMethod.PUT);
        put.setContentType("text/plain");
        HttpResponse<String> stored = fetch("PUT", oss.generatePresignedUrl(put).toURI(),
                Map.of("Content-Type", "text/plain"), "hello");
        equal(stored.statusCode() + stored.body(), "200");
        URI url = oss.generatePresignedUrl(signed("signed/ü +.txt", HttpMethod.GET)).toURI();
        HttpResponse<String> read = fetch("GET", url, Map.of(), null);
        equal(read.statusCode() + read.body(), "200hello");
        GeneratePresignedUrlRequest append = signed("signed.log", HttpMethod.POST);
        append.addQueryParameter("append", null);
        append.addQueryParameter("position", "0");
        HttpResponse<String> appended = fetch("POST", oss.generatePresignedUrl(append).toURI(), Map.of(), "hello");
        equal(appended.statusCode() + appended.body(), "200");
        equal(appended.headers().firstValue("x-oss-next-append-position").orElse(null), "5");
        HttpResponse<String> altered = fetch("GET", URI.create(url.toString().replace("signed/", "Signed/")), Map.of(), null);
        equal(altered.statusCode(), 403);
        check(altered.body().contains("<Code>SignatureDoesNotMatch</Code>"), altered.body());
    }

    private void refusesStrangers() throws Exception {
        AppendObjectRequest request = new AppendObjectRequest(bucket, "x", stream("x")).withPosition(0L);
        refused("SignatureDoesNotMatch", () -> Clients.forger(version, addressing).appendObject(request));
        refused("InvalidAccessKeyId", () -> Clients.stranger(version, addressing).appendObject(request));
        OSSException error = refused("NoSuchKey", () -> oss.getObject(bucket, "absent.txt"));
        equal(error.getErrorMessage(), "The specified key does not exist.");
        equal(error.getEC(), "0026-00000001");
        refused("NoSuchKey", () -> oss.getObjectMetadata(bucket, "absent.txt"));
        oss.deleteObject(bucket, "absent.txt");
    }

    private void missesBuckets() throws Exception {
        String absent = bucket + "-absent";
        OSSException error = refused("NoSuchBucket", () -> oss.appendObject(
                new AppendObjectRequest(absent, "x", stream("x")).withPosition(0L)));
        equal(error.getErrorMessage(), "The specified bucket does not exist.");
        refused("NoSuchBucket", () -> oss.listObjects(absent));
        equal(oss.doesBucketExist(absent), false);
        equal(oss.doesBucketExist(bucket), true);
    }

    private void describesBuckets() throws Exception {
        BucketInfo info = oss.getBucketInfo(bucket);
        equal(info.getBucket().getName(), bucket);
        equal(info.getBucket().getLocation(), "oss-" + Clients.REGION);
        equal(info.getBucket().getExtranetEndpoint(), Clients.DOMAIN + ":" + Clients.PORT);
        check(info.getBucket().getOwner().getId().length() > 0, "no owner");
        oss.createBucket(bucket + "-b");
        ListBucketsRequest request = new ListBucketsRequest();
        request.setPrefix(bucket);
        List<String> names = new ArrayList<>();
        oss.listBuckets(request).getBucketList().forEach(entry -> names.add(entry.getName()));
        equal(names, List.of(bucket, bucket + "-b"));
        oss.deleteBucket(bucket + "-b");
        append("keeps-the-bucket.log", "x", 0);
        refused("BucketNotEmpty", () -> oss.deleteBucket(bucket));
    }
}
