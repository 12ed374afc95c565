package compat;

import static compat.Room.equal;
import static compat.Room.refused;

import com.aliyun.oss.OSS;
import com.aliyun.oss.model.AbortMultipartUploadRequest;
import com.aliyun.oss.model.InitiateMultipartUploadRequest;
import com.aliyun.oss.model.ListMultipartUploadsRequest;
import com.aliyun.oss.model.ListPartsRequest;
import com.aliyun.oss.model.PartListing;
import com.aliyun.oss.model.UploadFileRequest;
import com.aliyun.oss.model.UploadPartRequest;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** Uploads in parts: the SDK's own uploader, and the operations below it. */
final class MultipartCases {
    private static final int PART_SIZE = 102_400;

    private final Room room;
    private final OSS oss;
    private final String bucket;
    private final Path folder;

    MultipartCases(Room room, OSS oss, String bucket, Path folder) {
        this.room = room;
        this.oss = oss;
        this.bucket = bucket;
        this.folder = folder;
    }

    void run() {
        room.run("uploadFile sends parts and keeps a checkpoint", this::uploadsFile);
        room.run("parts and uploads are listed and aborted", this::listsAndAborts);
    }

    private void uploadsFile() throws Exception {
        byte[] whole = new byte[2 * PART_SIZE + 17];
        Arrays.fill(whole, (byte) 'x');
        Path file = folder.resolve("multipart.bin");
        Files.write(file, whole);
        UploadFileRequest request = new UploadFileRequest(bucket, "parts/file.bin");
        request.setUploadFile(file.toString());
        request.setPartSize(PART_SIZE);
        request.setTaskNum(2);
        request.setEnableCheckpoint(true);
        try {
            oss.uploadFile(request);
        } catch (Exception error) {
            throw error;
        } catch (Throwable error) {
            throw new AssertionError(error);
        }
        equal(oss.getObjectMetadata(bucket, "parts/file.bin").getObjectType(), "Multipart");
        try (var content = oss.getObject(bucket, "parts/file.bin").getObjectContent()) {
            equal(Arrays.equals(content.readAllBytes(), whole), true);
        }
    }

    private void listsAndAborts() throws Exception {
        String key = "parts/a b+c.bin";
        String upload = oss.initiateMultipartUpload(new InitiateMultipartUploadRequest(bucket, key)).getUploadId();
        byte[] hello = "hello".getBytes(StandardCharsets.UTF_8);
        for (int number = 1; number <= 2; number++) {
            oss.uploadPart(new UploadPartRequest(bucket, key, upload, number, new ByteArrayInputStream(hello), 5));
        }
        PartListing parts = oss.listParts(new ListPartsRequest(bucket, key, upload));
        equal(parts.getParts().size(), 2);
        ListMultipartUploadsRequest list = new ListMultipartUploadsRequest(bucket);
        list.setPrefix("parts/");
        equal(oss.listMultipartUploads(list).getMultipartUploads().size(), 1);
        AbortMultipartUploadRequest abort = new AbortMultipartUploadRequest(bucket, key, upload);
        oss.abortMultipartUpload(abort);
        refused("NoSuchUpload", () -> oss.abortMultipartUpload(abort));
    }
}
