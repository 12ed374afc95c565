package compat;

import static compat.Room.check;
import static compat.Room.equal;
import static compat.Room.refused;

import com.aliyun.oss.InconsistentException;
import com.aliyun.oss.OSS;
import com.aliyun.oss.OSSException;
import com.aliyun.oss.model.AppendObjectRequest;
import com.aliyun.oss.model.AppendObjectResult;
import com.aliyun.oss.model.ObjectMetadata;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Append by stream and by file, with the running CRC-64, and every refusal a caller meets. */
final class AppendCases {
    // CRC-64/XZ of the text, as a signed long holds it.
    private static final long CRC_HELLO = Long.parseUnsignedLong("11177612005948864433");
    private static final long CRC_HELLO_WORLD = Long.parseUnsignedLong("5981764153023615706");

    private final Room room;
    private final OSS oss;
    private final String bucket;
    private final Path folder;

    AppendCases(Room room, OSS oss, String bucket, Path folder) {
        this.room = room;
        this.oss = oss;
        this.bucket = bucket;
        this.folder = folder;
    }

    void run() {
        room.run("appends streams in chunked transfer with InitCRC", this::appendsStreams);
        room.run("appends files with InitCRC", this::appendsFiles);
        room.run("the SDK compares the running CRC with the server's", this::comparesCrc);
        room.run("an empty stream creates an empty appendable", this::appendsNothing);
        room.run("a wrong position is refused", this::refusesWrongPosition);
        room.run("a missing position is MissingArgument", this::refusesMissingPosition);
        room.run("a normal object is not appendable", this::refusesNormalObject);
        room.run("what the first append set is kept", this::keepsFirstAttributes);
        room.run("a wrong Content-MD5 is refused", this::refusesWrongMd5);
        room.run("ten appends racing at one position have one winner", this::races);
    }

    private static InputStream stream(String text) {
        return new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
    }

    private AppendObjectResult append(String key, String text, long position) {
        return oss.appendObject(new AppendObjectRequest(bucket, key, stream(text)).withPosition(position));
    }

    private String read(String key) throws Exception {
        try (InputStream content = oss.getObject(bucket, key).getObjectContent()) {
            return new String(content.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private void appendsStreams() throws Exception {
        AppendObjectResult first = oss.appendObject(
                new AppendObjectRequest(bucket, "crc.log", stream("hello")).withPosition(0L).withInitCRC(0L));
        equal(first.getNextPosition(), 5L);
        equal(first.getServerCRC(), CRC_HELLO);
        equal(first.getObjectCRC(), Long.toUnsignedString(CRC_HELLO));
        AppendObjectResult second = oss.appendObject(
                new AppendObjectRequest(bucket, "crc.log", stream(" world"))
                        .withPosition(first.getNextPosition())
                        .withInitCRC(first.getClientCRC()));
        equal(second.getNextPosition(), 11L);
        equal(second.getClientCRC(), CRC_HELLO_WORLD);
        equal(second.getServerCRC(), CRC_HELLO_WORLD);
        AppendObjectResult third = oss.appendObject(
                new AppendObjectRequest(bucket, "crc.log", stream("!".repeat(300_000)))
                        .withPosition(second.getNextPosition())
                        .withInitCRC(second.getClientCRC()));
        equal(third.getNextPosition(), 300_011L);
        equal(read("crc.log"), "hello world" + "!".repeat(300_000));
        check(oss.getObjectMetadata(bucket, "crc.log").getServerCRC() != null, "HEAD has no CRC");
    }

    private void appendsFiles() throws Exception {
        Path file = folder.resolve("local.log");
        Files.writeString(file, "a line of a local file\n");
        AppendObjectResult first = oss.appendObject(
                new AppendObjectRequest(bucket, "file.log", file.toFile()).withPosition(0L).withInitCRC(0L));
        AppendObjectResult second = oss.appendObject(
                new AppendObjectRequest(bucket, "file.log", file.toFile())
                        .withPosition(first.getNextPosition())
                        .withInitCRC(first.getClientCRC()));
        equal(second.getNextPosition(), 46L);
        equal(read("file.log"), "a line of a local file\n".repeat(2));
    }

    private void comparesCrc() throws Exception {
        append("crc-wrong.log", "hello", 0);
        try {
            oss.appendObject(new AppendObjectRequest(bucket, "crc-wrong.log", stream(" world"))
                    .withPosition(5L).withInitCRC(12345L));
        } catch (InconsistentException expected) {
            return;
        }
        throw new AssertionError("a wrong InitCRC went unnoticed");
    }

    private void appendsNothing() throws Exception {
        equal(append("empty.log", "", 0).getNextPosition(), 0L);
        equal(oss.getObjectMetadata(bucket, "empty.log").getObjectType(), "Appendable");
        equal(append("empty.log", "abc", 0).getNextPosition(), 3L);
        equal(append("empty.log", "", 3).getNextPosition(), 3L);
    }

    private void refusesWrongPosition() throws Exception {
        append("position.log", "hello", 0);
        for (long position : new long[] {0, 4, 6}) {
            OSSException error = refused("PositionNotEqualToLength", () -> append("position.log", "x", position));
            equal(error.getErrorMessage(), "Position is not equal to file length");
            equal(error.getEC(), "0026-00000016");
        }
        refused("PositionNotEqualToLength", () -> append("position-absent.log", "x", 5));
        refused("PositionNotEqualToLength", () -> append("position.log", "x".repeat(2_000_000), 1));
        equal(append("position.log", "!", 5).getNextPosition(), 6L);
        equal(read("position.log"), "hello!");
        refused("InvalidArgument", () -> append("position.log", "x", -1));
    }

    private void refusesMissingPosition() throws Exception {
        OSSException error = refused("MissingArgument",
                () -> oss.appendObject(new AppendObjectRequest(bucket, "no-position.log", stream("x"))));
        equal(error.getEC(), "0016-00000501");
        equal(oss.doesObjectExist(bucket, "no-position.log"), false);
    }

    private void refusesNormalObject() throws Exception {
        oss.putObject(bucket, "normal.txt", stream("hello"));
        for (long position : new long[] {0, 5}) {
            OSSException error = refused("ObjectNotAppendable", () -> append("normal.txt", "x", position));
            equal(error.getEC(), "0026-00000017");
        }
        equal(read("normal.txt"), "hello");
    }

    private void keepsFirstAttributes() throws Exception {
        ObjectMetadata first = new ObjectMetadata();
        first.addUserMetadata("colour", "red");
        first.setContentType("text/x-first");
        oss.appendObject(new AppendObjectRequest(bucket, "meta.log", stream("a"), first).withPosition(0L));
        ObjectMetadata later = new ObjectMetadata();
        later.addUserMetadata("colour", "blue");
        later.addUserMetadata("taste", "sour");
        later.setContentType("text/x-second");
        oss.appendObject(new AppendObjectRequest(bucket, "meta.log", stream("b"), later).withPosition(1L));
        ObjectMetadata head = oss.getObjectMetadata(bucket, "meta.log");
        equal(head.getUserMetadata().toString(), "{colour=red}");
        equal(head.getContentType(), "text/x-first");
        equal(head.getRawMetadata().get("x-oss-next-append-position"), "2");
    }

    private void refusesWrongMd5() throws Exception {
        ObjectMetadata metadata = new ObjectMetadata();
        metadata.setContentMD5("1B2M2Y8AsgTpgAmY7PhCfg==");
        metadata.setContentLength(5);
        refused("InvalidDigest", () -> oss.appendObject(
                new AppendObjectRequest(bucket, "md5.log", stream("hello"), metadata).withPosition(0L)));
        equal(oss.doesObjectExist(bucket, "md5.log"), false);
    }

    private void races() throws Exception {
        append("race.log", "hello", 0);
        ExecutorService pool = Executors.newFixedThreadPool(10);
        try {
            List<Future<Long>> appends = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                String text = " " + i;
                appends.add(pool.submit(() -> append("race.log", text, 5).getNextPosition()));
            }
            int won = 0;
            for (Future<Long> append : appends) {
                try {
                    equal(append.get(), 7L);
                    won += 1;
                } catch (java.util.concurrent.ExecutionException error) {
                    equal(((OSSException) error.getCause()).getErrorCode(), "PositionNotEqualToLength");
                }
            }
            equal(won, 1);
        } finally {
            pool.shutdownNow();
        }
    }
}
