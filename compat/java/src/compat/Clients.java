package compat;

import com.aliyun.oss.ClientBuilderConfiguration;
import com.aliyun.oss.OSS;
import com.aliyun.oss.OSSClientBuilder;
import com.aliyun.oss.common.auth.DefaultCredentialProvider;
import com.aliyun.oss.common.comm.SignVersion;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The ways in which the SDK can be pointed at a server on this machine. */
final class Clients {
    static final String PORT = env("OSSIA_PORT");
    static final String SCHEME = System.getenv().getOrDefault("OSSIA_SCHEME", "http");
    static final String DOMAIN = env("OSSIA_DOMAIN");
    static final String CNAME_HOST = env("OSSIA_CNAME_HOST");
    static final String CNAME_BUCKET = env("OSSIA_CNAME_BUCKET");
    static final String REGION = "cn-hangzhou";

    private static final String KEY_ID = env("OSSIA_ACCESS_KEY_ID");
    private static final String KEY_SECRET = env("OSSIA_ACCESS_KEY_SECRET");

    private Clients() {}

    private static String env(String name) {
        String value = System.getenv(name);
        if (value == null || value.isEmpty()) {
            throw new IllegalStateException(name + " is not set");
        }
        return value;
    }

    /**
     * Makes the runtime resolve the names of this test, and no others, from a file: the system's resolver knows none
     * of them, and no request may leave this machine. Must run before anything else touches the network.
     */
    static void resolveOnlyTheseBuckets(Path folder, List<String> buckets) throws IOException {
        StringBuilder hosts = new StringBuilder();
        for (String name : List.of("localhost", DOMAIN, CNAME_HOST)) {
            hosts.append("127.0.0.1 ").append(name).append('\n');
        }
        for (String bucket : buckets) {
            hosts.append("127.0.0.1 ").append(bucket).append('.').append(DOMAIN).append('\n');
        }
        Path file = folder.resolve("hosts");
        Files.writeString(file, hosts);
        System.setProperty("jdk.net.hosts.file", file.toString());
    }

    static OSS client(SignVersion version, String addressing) {
        return client(version, addressing, KEY_ID, KEY_SECRET);
    }

    static OSS stranger(SignVersion version, String addressing) {
        return client(version, addressing, "NoSuchKeyId", KEY_SECRET);
    }

    static OSS forger(SignVersion version, String addressing) {
        return client(version, addressing, KEY_ID, "not-the-secret");
    }

    private static OSS client(SignVersion version, String addressing, String id, String secret) {
        ClientBuilderConfiguration configuration = new ClientBuilderConfiguration();
        configuration.setSignatureVersion(version);
        // A failure that would hide behind a retry shows at once.
        configuration.setMaxErrorRetry(0);
        String host = DOMAIN;
        switch (addressing) {
            case "path" -> configuration.setSLDEnabled(true);
            // The builder's default; a bare ClientConfiguration takes any name outside aliyuncs.com for a CNAME.
            case "virtual" -> configuration.setSupportCname(false);
            case "cname" -> {
                configuration.setSupportCname(true);
                host = CNAME_HOST;
            }
            // Addresses are path style by themselves.
            case "address" -> host = "127.0.0.1";
            default -> throw new IllegalArgumentException(addressing);
        }
        return OSSClientBuilder.create()
                .endpoint(SCHEME + "://" + host + ":" + PORT)
                .credentialsProvider(new DefaultCredentialProvider(id, secret))
                .clientConfiguration(configuration)
                .region(REGION)
                .build();
    }
}
