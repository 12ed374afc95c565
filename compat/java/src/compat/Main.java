package compat;

import com.aliyun.oss.OSS;
import com.aliyun.oss.common.comm.SignVersion;
import com.aliyun.oss.model.DeleteObjectsRequest;
import com.aliyun.oss.model.OSSObjectSummary;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * The Java SDK, unmodified, against a running server. Everything comes by environment: OSSIA_PORT,
 * OSSIA_ACCESS_KEY_ID, OSSIA_ACCESS_KEY_SECRET, OSSIA_DOMAIN (a base domain that the server knows),
 * OSSIA_CNAME_HOST and OSSIA_CNAME_BUCKET (a name that the server binds to a bucket).
 */
public final class Main {
    private static final List<SignVersion> VERSIONS = List.of(SignVersion.V1, SignVersion.V2, SignVersion.V4);
    private static final List<String> ADDRESSINGS = List.of("path", "virtual", "cname");

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createTempDirectory("ossia-compat-java-");
        int code;
        try {
            List<String> hosts = new ArrayList<>();
            for (SignVersion version : VERSIONS) {
                String name = bucket(version, "virtual");
                hosts.addAll(List.of(name, name + "-b", name + "-v", name + "-w", name + "-absent"));
            }
            Clients.resolveOnlyTheseBuckets(folder, hosts);
            for (SignVersion version : VERSIONS) {
                for (String addressing : ADDRESSINGS) {
                    combination(version, addressing, folder);
                }
            }
            code = Room.close();
        } finally {
            try (Stream<Path> files = Files.walk(folder)) {
                files.sorted(Comparator.reverseOrder()).forEach(Main::delete);
            }
        }
        System.exit(code);
    }

    private static void delete(Path path) {
        try {
            Files.delete(path);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static String bucket(SignVersion version, String addressing) {
        return addressing.equals("cname")
                ? Clients.CNAME_BUCKET
                : "compat-java-" + version.name().toLowerCase(Locale.ROOT) + "-" + addressing;
    }

    private static void combination(SignVersion version, String addressing, Path folder) {
        Room room = new Room("java " + version.name().toLowerCase(Locale.ROOT) + " " + addressing);
        String bucket = bucket(version, addressing);
        OSS oss = Clients.client(version, addressing);
        // A custom domain serves one bucket and no service, so that bucket is made and removed by another way in,
        // by address: the SDK then chooses path style by itself.
        OSS admin = addressing.equals("cname") ? Clients.client(version, "address") : oss;
        room.run("creates a bucket", () -> admin.createBucket(bucket));
        new AppendCases(room, oss, bucket, folder).run();
        new ObjectCases(room, oss, bucket, version, addressing).run();
        new MultipartCases(room, oss, bucket, folder).run();
        new ConfigCases(room, oss, bucket).run();
        new LifetimeCases(room, oss, admin, bucket, !addressing.equals("cname")).run();
        room.run("empties and deletes the bucket", () -> {
            List<String> keys = new ArrayList<>();
            for (OSSObjectSummary summary : oss.listObjectsV2(bucket).getObjectSummaries()) {
                keys.add(summary.getKey());
            }
            oss.deleteObjects(new DeleteObjectsRequest(bucket).withKeys(keys).withQuiet(true));
            admin.deleteBucket(bucket);
            Room.equal(admin.doesBucketExist(bucket), false);
        });
        oss.shutdown();
        admin.shutdown();
    }
}
