package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss/credentials"
)

var v2Signatures = []struct {
	name    string
	version oss.SignatureVersionType
}{{"v1", oss.SignatureVersionV1}, {"v4", oss.SignatureVersionV4}}

// runV2 drives alibabacloud-oss-go-sdk-v2 in every signature and addressing.
func runV2() {
	for _, signature := range v2Signatures {
		for _, addressing := range []string{"path", "virtual", "cname"} {
			suite := &suite2{
				room:       room{fmt.Sprintf("go-v2 %s %s", signature.name, addressing)},
				version:    signature.version,
				addressing: addressing,
				bucket:     fmt.Sprintf("compat-go2-%s-%s", signature.name, addressing),
				ctx:        context.Background(),
			}
			if addressing == "cname" {
				suite.bucket = cnameBucket
			}
			suite.runAll()
		}
	}
}

type suite2 struct {
	room
	version    oss.SignatureVersionType
	addressing string
	bucket     string
	client     *oss.Client
	ctx        context.Context
}

func (s *suite2) connect(addressing, id, secret string) *oss.Client {
	endpoint := scheme + "://localhost:" + port
	if addressing == "cname" {
		endpoint = scheme + "://" + cnameHost + ":" + port
	}
	return oss.NewClient(oss.LoadDefaultConfig().
		WithRegion(region).
		WithEndpoint(endpoint).
		WithSignatureVersion(s.version).
		WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id, secret)).
		WithUsePathStyle(addressing == "path").
		WithUseCName(addressing == "cname").
		WithHttpClient(httpClient()).
		// A refusal that must not be retried shows at once, and a failure that hides behind a retry shows at all.
		WithRetryMaxAttempts(1))
}

func (s *suite2) runAll() {
	s.client = s.connect(s.addressing, keyID, keySecret)
	// A custom domain serves one bucket and no service, so that bucket is made and removed by another way in.
	admin := s.client
	if s.addressing == "cname" {
		admin = s.connect("path", keyID, keySecret)
	}
	s.run("creates a bucket", func() error {
		return second(admin.PutBucket(s.ctx, &oss.PutBucketRequest{Bucket: &s.bucket}))
	})
	s.run("appends with InitHashCRC64", s.appendsWithCRC)
	s.run("appends readers of unknown length in chunked transfer", s.appendsChunked)
	s.run("the SDK compares the running CRC with the server's", s.comparesCRC)
	s.run("a wrong position is refused", s.refusesWrongPosition)
	s.run("a normal object is not appendable", s.refusesNormalObject)
	s.run("metadata and tags of later appends are ignored", s.ignoresLaterMeta)
	s.run("AppendFile creates and resumes", s.appendFileResumes)
	s.run("AppendFile takes a lost answer for its own write", s.appendFileRecovers)
	s.run("AppendFile refuses a normal object", s.appendFileRefuses)
	s.run("a sealed object takes no append and keeps its time", s.seals)
	s.run("only an existing appendable is sealed", s.sealsAppendablesOnly)
	s.run("puts, gets, ranges, files and conditions", s.putsAndGets)
	s.run("normal objects are copied and appendables are not", s.copies)
	s.run("keys of every kind survive", s.keepsOddKeys)
	s.run("paginators walk all pages", s.lists)
	s.run("the uploader sends parts and keeps a checkpoint", s.uploadsFile)
	s.run("parts and uploads are listed and aborted", s.listsAndAborts)
	s.run("presigned URLs read and write", s.signs)
	s.run("missing keys, wrong secrets and unknown keys are refused", s.refusesStrangers)
	if s.addressing != "cname" {
		s.run("missing buckets are NoSuchBucket", s.missesBuckets)
		s.run("buckets are described and listed", s.describesBuckets)
		s.run("versions are kept, read, listed, appended to and removed", s.keepsVersions)
		s.run("a retention policy is begun, locked, extended and told", s.locksRetention)
		s.run("versions are retained and held, and tell so", s.retainsVersions)
		s.run("an archived object is restored, read and cleaned", s.restores)
	}
	s.run("acl, tags and links of objects are set and read back", s.keepsObjectSettings)
	s.run("configurations of the bucket are set, obeyed and read back", s.keepsBucketSettings)
	s.run("callbacks are made, answered and told to have failed", s.callsBack)
	s.run("what is told of a bucket is told", s.describesTheBucket)
	s.run("streams of unknown length are uploaded, empty ones too", s.uploadsStreams)
	s.run("parts are copied", s.copiesParts)
	s.run("inventories are put, told, listed and deleted", s.keepsInventories)
	s.run("regions are described", func() error { return s.describesRegions(admin) })
	s.run("public access is blocked and let in again", func() error { return s.blocksPublicAccess(admin) })
	s.run("empties and deletes the bucket", func() error {
		pages := s.client.NewListObjectsV2Paginator(&oss.ListObjectsV2Request{Bucket: &s.bucket})
		for pages.HasNext() {
			page, err := pages.NextPage(s.ctx)
			if err != nil {
				return err
			}
			if len(page.Contents) == 0 {
				continue
			}
			var objects []oss.DeleteObject
			for _, object := range page.Contents {
				objects = append(objects, oss.DeleteObject{Key: object.Key})
			}
			if _, err := s.client.DeleteMultipleObjects(s.ctx, &oss.DeleteMultipleObjectsRequest{
				Bucket: &s.bucket, Objects: objects, Quiet: true,
			}); err != nil {
				return err
			}
		}
		return second(admin.DeleteBucket(s.ctx, &oss.DeleteBucketRequest{Bucket: &s.bucket}))
	})
}

// refused2 expects an error of the service.
func refused2(status int, code string, err error) error {
	var service *oss.ServiceError
	if !errors.As(err, &service) {
		return fmt.Errorf("expected %d %s, got %v", status, code, err)
	}
	if service.StatusCode != status || service.Code != code {
		return fmt.Errorf("expected %d %s, got %w", status, code, err)
	}
	return equal("length of the request id", len(service.RequestID), 24)
}

func (s *suite2) append(key, body string, position int64) (*oss.AppendObjectResult, error) {
	return s.client.AppendObject(s.ctx, &oss.AppendObjectRequest{
		Bucket: &s.bucket, Key: &key, Position: &position, Body: strings.NewReader(body),
	})
}

func (s *suite2) put(key, body string) error {
	return second(s.client.PutObject(s.ctx, &oss.PutObjectRequest{
		Bucket: &s.bucket, Key: &key, Body: strings.NewReader(body),
	}))
}

func (s *suite2) holds(key, want string) error {
	result, err := s.client.GetObject(s.ctx, &oss.GetObjectRequest{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return err
	}
	defer result.Body.Close()
	content, err := io.ReadAll(result.Body)
	return all(err, equal("content of "+key, string(content), want))
}

func (s *suite2) head(key string) (*oss.HeadObjectResult, error) {
	return s.client.HeadObject(s.ctx, &oss.HeadObjectRequest{Bucket: &s.bucket, Key: &key})
}

func (s *suite2) appendsWithCRC() error {
	key := "crc.log"
	first, err := s.client.AppendObject(s.ctx, &oss.AppendObjectRequest{
		Bucket: &s.bucket, Key: &key, Position: oss.Ptr(int64(0)), Body: strings.NewReader("hello"),
		InitHashCRC64: oss.Ptr("0"),
	})
	if err != nil {
		return err
	}
	next, err := s.client.AppendObject(s.ctx, &oss.AppendObjectRequest{
		Bucket: &s.bucket, Key: &key, Position: &first.NextPosition, Body: strings.NewReader(" world"),
		InitHashCRC64: first.HashCRC64,
	})
	if err != nil {
		return err
	}
	return all(equal("first position", first.NextPosition, int64(5)),
		equal("first CRC", oss.ToString(first.HashCRC64), strconv.FormatUint(crcHello, 10)),
		equal("second position", next.NextPosition, int64(11)),
		equal("second CRC", oss.ToString(next.HashCRC64), strconv.FormatUint(crcHelloWorld, 10)),
		equal("a version where there is no versioning", next.VersionId == nil, true),
		equal("Server header is there", next.Headers.Get("Server") != "", true),
		s.holds(key, "hello world"))
}

func (s *suite2) appendsChunked() error {
	key := "chunked.log"
	first, err := s.client.AppendObject(s.ctx, &oss.AppendObjectRequest{
		Bucket: &s.bucket, Key: &key, Position: oss.Ptr(int64(0)), InitHashCRC64: oss.Ptr("0"),
		Body: unsized{strings.NewReader(strings.Repeat("+", 300_000))},
	})
	if err != nil {
		return err
	}
	empty, err := s.append("empty.log", "", 0)
	return all(err, equal("position", first.NextPosition, int64(300_000)),
		s.holds(key, strings.Repeat("+", 300_000)), equal("position of nothing", empty.NextPosition, int64(0)))
}

func (s *suite2) comparesCRC() error {
	key := "crc-wrong.log"
	_, err := s.client.AppendObject(s.ctx, &oss.AppendObjectRequest{
		Bucket: &s.bucket, Key: &key, Position: oss.Ptr(int64(0)), Body: strings.NewReader("hello"),
		InitHashCRC64: oss.Ptr("12345"),
	})
	if err == nil || !strings.Contains(err.Error(), "crc") {
		return fmt.Errorf("a wrong InitHashCRC64 went unnoticed: %v", err)
	}
	return nil
}

func (s *suite2) refusesWrongPosition() error {
	if _, err := s.append("position.log", "hello", 0); err != nil {
		return err
	}
	for _, position := range []int64{0, 4, 6} {
		_, err := s.append("position.log", "x", position)
		if err := refused2(409, "PositionNotEqualToLength", err); err != nil {
			return err
		}
		var service *oss.ServiceError
		errors.As(err, &service)
		if err := all(equal("message", service.Message, "Position is not equal to file length"),
			equal("EC", service.EC, "0026-00000016"),
			equal("next position", service.Headers.Get("X-Oss-Next-Append-Position"), "5")); err != nil {
			return err
		}
	}
	_, large := s.append("position.log", strings.Repeat("x", 2_000_000), 1)
	next, err := s.append("position.log", "!", 5)
	if err != nil {
		return err
	}
	return all(refused2(409, "PositionNotEqualToLength", large), equal("position", next.NextPosition, int64(6)))
}

func (s *suite2) refusesNormalObject() error {
	if err := s.put("normal.txt", "hello"); err != nil {
		return err
	}
	_, atZero := s.append("normal.txt", "x", 0)
	_, atEnd := s.append("normal.txt", "x", 5)
	return all(refused2(409, "ObjectNotAppendable", atZero), refused2(409, "ObjectNotAppendable", atEnd))
}

func (s *suite2) ignoresLaterMeta() error {
	key := "meta.log"
	if _, err := s.client.AppendObject(s.ctx, &oss.AppendObjectRequest{
		Bucket: &s.bucket, Key: &key, Position: oss.Ptr(int64(0)), Body: strings.NewReader("a"),
		Metadata: map[string]string{"colour": "red"}, ContentType: oss.Ptr("text/x-first"),
	}); err != nil {
		return err
	}
	tags := make([]string, 15)
	for i := range tags {
		tags[i] = fmt.Sprintf("key%d=value", i)
	}
	if _, err := s.client.AppendObject(s.ctx, &oss.AppendObjectRequest{
		Bucket: &s.bucket, Key: &key, Position: oss.Ptr(int64(1)), Body: strings.NewReader("b"),
		Metadata:    map[string]string{"colour": "blue", "taste": "sour"},
		ContentType: oss.Ptr("text/x-second"), Tagging: oss.Ptr(strings.Join(tags, "&")),
	}); err != nil {
		return err
	}
	head, err := s.head(key)
	if err != nil {
		return err
	}
	return all(equal("metadata", fmt.Sprint(head.Metadata), "map[colour:red]"),
		equal("type", oss.ToString(head.ContentType), "text/x-first"),
		equal("object type", oss.ToString(head.ObjectType), "Appendable"),
		equal("next position", oss.ToString(head.NextAppendPosition), "2"))
}

func (s *suite2) appendFileResumes() error {
	key := "file.log"
	file, err := s.client.AppendFile(s.ctx, s.bucket, key, func(options *oss.AppendOptions) {
		options.CreateParameter = &oss.AppendObjectRequest{Metadata: map[string]string{"colour": "red"}}
	})
	if err != nil {
		return err
	}
	if _, err := file.Write([]byte("hello")); err != nil {
		return err
	}
	if _, err := file.WriteFrom(strings.NewReader(" world")); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	again, err := s.client.AppendFile(s.ctx, s.bucket, key)
	if err != nil {
		return err
	}
	// The CRC of the first part comes from HEAD here, and the SDK checks the sum that the append answers.
	if _, err := again.Write([]byte("!")); err != nil {
		return err
	}
	stat, err := again.Stat()
	if err != nil {
		return err
	}
	head, err := s.head(key)
	if err != nil {
		return err
	}
	reader, err := s.client.OpenFile(s.ctx, s.bucket, key)
	if err != nil {
		return err
	}
	defer reader.Close()
	whole, err := io.ReadAll(reader)
	return all(err, equal("size", stat.Size(), int64(12)), again.Close(), s.holds(key, "hello world!"),
		equal("read back", string(whole), "hello world!"),
		equal("metadata", fmt.Sprint(head.Metadata), "map[colour:red]"))
}

func (s *suite2) appendFileRecovers() error {
	file, err := s.client.AppendFile(s.ctx, s.bucket, "lost.log")
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write([]byte("12345")); err != nil {
		return err
	}
	// As if the file's own next write had been applied and its answer lost.
	if _, err := s.append("lost.log", "67890", 5); err != nil {
		return err
	}
	if _, err := file.Write([]byte("67890")); err != nil {
		return err
	}
	if _, err := s.append("lost.log", "more than one write", 10); err != nil {
		return err
	}
	_, err = file.Write([]byte("x"))
	return refused2(409, "PositionNotEqualToLength", err)
}

func (s *suite2) appendFileRefuses() error {
	if err := s.put("file-normal.txt", "hello"); err != nil {
		return err
	}
	if _, err := s.client.AppendFile(s.ctx, s.bucket, "file-normal.txt"); err == nil ||
		!strings.Contains(err.Error(), "Not a appendable file") {
		return fmt.Errorf("a normal object was opened for appending: %v", err)
	}
	return nil
}

func (s *suite2) seal(key string, position int64) (*oss.SealAppendObjectResult, error) {
	return s.client.SealAppendObject(s.ctx, &oss.SealAppendObjectRequest{
		Bucket: &s.bucket, Key: &key, Position: &position,
	})
}

func (s *suite2) seals() error {
	key := "sealed.log"
	if _, err := s.append(key, "hello", 0); err != nil {
		return err
	}
	_, early := s.seal(key, 4)
	first, err := s.seal(key, 5)
	if err != nil {
		return err
	}
	sealedAt, err := http.ParseTime(oss.ToString(first.SealedTime))
	if err != nil {
		return err
	}
	_, refusal := s.append(key, "x", 5)
	// Sealed times are whole seconds: only a later second can show that the first one was kept.
	if wait := time.Until(sealedAt.Add(time.Second)); wait > 0 && wait < 10*time.Second {
		<-time.After(wait)
	}
	again, err := s.seal(key, 5)
	if err != nil {
		return err
	}
	_, wrong := s.seal(key, 4)
	head, err := s.head(key)
	if err != nil {
		return err
	}
	return all(refused2(409, "PositionNotEqualToLength", early), refused2(400, "AppendSealedObjectNotAllowed", refusal),
		equal("sealed time", oss.ToString(again.SealedTime), oss.ToString(first.SealedTime)),
		refused2(409, "PositionNotEqualToLength", wrong),
		equal("sealed time of HEAD", head.Headers.Get("X-Oss-Sealed-Time"), oss.ToString(first.SealedTime)),
		equal("object type", oss.ToString(head.ObjectType), "Appendable"), s.holds(key, "hello"))
}

func (s *suite2) sealsAppendablesOnly() error {
	if err := s.put("seal-normal.txt", "hello"); err != nil {
		return err
	}
	_, normal := s.seal("seal-normal.txt", 5)
	_, absent := s.seal("seal-absent.log", 0)
	return all(refused2(409, "ObjectNotAppendable", normal), refused2(404, "NoSuchKey", absent))
}

func (s *suite2) putsAndGets() error {
	key := "put.txt"
	put, err := s.client.PutObject(s.ctx, &oss.PutObjectRequest{
		Bucket: &s.bucket, Key: &key, Body: strings.NewReader("hello"), Metadata: map[string]string{"colour": "red"},
	})
	if err != nil {
		return err
	}
	chunked := "put-chunked.txt"
	if _, err := s.client.PutObject(s.ctx, &oss.PutObjectRequest{
		Bucket: &s.bucket, Key: &chunked, Body: unsized{strings.NewReader("unsized")},
	}); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "ossia-compat-go-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "file")
	if _, err := s.client.GetObjectToFile(s.ctx, &oss.GetObjectRequest{Bucket: &s.bucket, Key: &key}, path); err != nil {
		return err
	}
	back, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	part, err := s.client.GetObject(s.ctx, &oss.GetObjectRequest{Bucket: &s.bucket, Key: &key, Range: oss.Ptr("bytes=1-3")})
	if err != nil {
		return err
	}
	defer part.Body.Close()
	middle, err := io.ReadAll(part.Body)
	if err != nil {
		return err
	}
	_, unmatched := s.client.GetObject(s.ctx, &oss.GetObjectRequest{Bucket: &s.bucket, Key: &key, IfMatch: oss.Ptr(`"wrong"`)})
	_, forbidden := s.client.PutObject(s.ctx, &oss.PutObjectRequest{
		Bucket: &s.bucket, Key: &key, Body: strings.NewReader("x"), ForbidOverwrite: oss.Ptr("true"),
	})
	head, err := s.head(key)
	if err != nil {
		return err
	}
	return all(equal("ETag", oss.ToString(put.ETag), `"5D41402ABC4B2A76B9719D911017C592"`),
		equal("MD5", oss.ToString(put.ContentMD5), "XUFAKrxLKna5cZ2REBfFkg=="),
		equal("file", string(back), "hello"), equal("range", string(middle), "ell"),
		equal("MD5 of HEAD", oss.ToString(head.ContentMD5), "XUFAKrxLKna5cZ2REBfFkg=="),
		equal("metadata", fmt.Sprint(head.Metadata), "map[colour:red]"),
		s.holds(chunked, "unsized"), refused2(412, "PreconditionFailed", unmatched),
		refused2(409, "FileAlreadyExists", forbidden))
}

func (s *suite2) copy(source, key string) (*oss.CopyObjectResult, error) {
	return s.client.CopyObject(s.ctx, &oss.CopyObjectRequest{
		Bucket: &s.bucket, Key: &key, SourceBucket: &s.bucket, SourceKey: &source,
	})
}

func (s *suite2) copies() error {
	if err := s.put("copy source+ü.txt", "hello"); err != nil {
		return err
	}
	copied, err := s.copy("copy source+ü.txt", "copied.txt")
	if err != nil {
		return err
	}
	if _, err := s.append("copy-source.log", "hello", 0); err != nil {
		return err
	}
	_, refusal := s.copy("copy-source.log", "no.log")
	exists, err := s.client.IsObjectExist(s.ctx, s.bucket, "no.log")
	return all(equal("ETag", oss.ToString(copied.ETag), `"5D41402ABC4B2A76B9719D911017C592"`),
		s.holds("copied.txt", "hello"), refused2(400, "OperationNotSupported", refusal),
		err, equal("existence after a refused copy", exists, false))
}

func (s *suite2) keepsOddKeys() error {
	var want []string
	var objects []oss.DeleteObject
	for _, key := range oddKeys {
		want = append(want, "odd/"+key)
		objects = append(objects, oss.DeleteObject{Key: oss.Ptr("odd/" + key)})
		if err := all(s.put("odd/"+key, key), s.holds("odd/"+key, key)); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		if _, err := s.append("odd-log/"+key, "x", 0); err != nil {
			return fmt.Errorf("append %q: %w", key, err)
		}
		if _, err := s.append("odd-log/"+key, "y", 1); err != nil {
			return fmt.Errorf("append %q again: %w", key, err)
		}
	}
	page, err := s.client.ListObjectsV2(s.ctx, &oss.ListObjectsV2Request{Bucket: &s.bucket, Prefix: oss.Ptr("odd/")})
	if err != nil {
		return err
	}
	var listed, gone []string
	for _, object := range page.Contents {
		listed = append(listed, oss.ToString(object.Key))
	}
	deleted, err := s.client.DeleteMultipleObjects(s.ctx, &oss.DeleteMultipleObjectsRequest{Bucket: &s.bucket, Objects: objects})
	if err != nil {
		return err
	}
	for _, object := range deleted.DeletedObjects {
		gone = append(gone, oss.ToString(object.Key))
	}
	for _, keys := range [][]string{want, listed, gone} {
		slices.Sort(keys)
	}
	return all(sameKeys("listed", listed, want), sameKeys("deleted", gone, want))
}

func (s *suite2) lists() error {
	keys := []string{"list/a.txt", "list/b/1.txt", "list/b/2.txt", "list/c d.txt", "list/z.log"}
	for _, key := range keys {
		if _, err := s.append(key, "12345", 0); err != nil {
			return err
		}
	}
	var walked []string
	pages := s.client.NewListObjectsV2Paginator(&oss.ListObjectsV2Request{
		Bucket: &s.bucket, Prefix: oss.Ptr("list/"), MaxKeys: 2, FetchOwner: true,
	})
	for pages.HasNext() {
		page, err := pages.NextPage(s.ctx)
		if err != nil {
			return err
		}
		for _, object := range page.Contents {
			walked = append(walked, oss.ToString(object.Key))
			if err := all(equal("type", oss.ToString(object.Type), "Appendable"), equal("size", object.Size, int64(5)),
				equal("owner is known", object.Owner != nil && oss.ToString(object.Owner.ID) != "", true)); err != nil {
				return err
			}
		}
	}
	folded, err := s.client.ListObjectsV2(s.ctx, &oss.ListObjectsV2Request{
		Bucket: &s.bucket, Prefix: oss.Ptr("list/"), Delimiter: oss.Ptr("/"), StartAfter: oss.Ptr("list/a.txt"),
	})
	if err != nil {
		return err
	}
	return all(sameKeys("walked", walked, keys), equal("prefixes", len(folded.CommonPrefixes), 1),
		equal("prefix", oss.ToString(folded.CommonPrefixes[0].Prefix), "list/b/"),
		equal("folded", len(folded.Contents), 2), equal("count", folded.KeyCount, 3))
}

func (s *suite2) signs() error {
	key := "signed/ü +.txt"
	put, err := s.client.Presign(s.ctx, &oss.PutObjectRequest{
		Bucket: &s.bucket, Key: &key, ContentType: oss.Ptr("text/plain"), Metadata: map[string]string{"colour": "red"},
	}, oss.PresignExpires(time.Minute))
	if err != nil {
		return err
	}
	status, _, body, err := fetch(put.Method, put.URL, put.SignedHeaders, "hello")
	if err := all(err, equal("PUT "+body, status, 200)); err != nil {
		return err
	}
	get, err := s.client.Presign(s.ctx, &oss.GetObjectRequest{
		Bucket: &s.bucket, Key: &key, ResponseContentLanguage: oss.Ptr("de"),
	})
	if err != nil {
		return err
	}
	status, headers, body, err := fetch(get.Method, get.URL, nil, "")
	if err := all(err, equal("GET "+body, status, 200), equal("content", body, "hello"),
		equal("override", headers.Get("Content-Language"), "de"),
		equal("metadata", headers.Get("X-Oss-Meta-Colour"), "red")); err != nil {
		return err
	}
	status, _, body, err = fetch("GET", strings.Replace(get.URL, "signed/", "Signed/", 1), nil, "")
	return all(err, equal("altered URL", status, 403),
		equal("its code", strings.Contains(body, "<Code>SignatureDoesNotMatch</Code>"), true))
}

func (s *suite2) refusesStrangers() error {
	appendAs := func(client *oss.Client) error {
		return second(client.AppendObject(s.ctx, &oss.AppendObjectRequest{
			Bucket: &s.bucket, Key: oss.Ptr("x"), Position: oss.Ptr(int64(0)), Body: strings.NewReader("x"),
		}))
	}
	_, headOfNone := s.head("absent.txt")
	_, getOfNone := s.client.GetObject(s.ctx, &oss.GetObjectRequest{Bucket: &s.bucket, Key: oss.Ptr("absent.txt")})
	exists, err := s.client.IsObjectExist(s.ctx, s.bucket, "absent.txt")
	return all(refused2(403, "SignatureDoesNotMatch", appendAs(s.connect(s.addressing, keyID, "not-the-secret"))),
		refused2(403, "InvalidAccessKeyId", appendAs(s.connect(s.addressing, "NoSuchKeyId", keySecret))),
		refused2(404, "NoSuchKey", headOfNone), refused2(404, "NoSuchKey", getOfNone),
		err, equal("existence", exists, false))
}

func (s *suite2) missesBuckets() error {
	absent := s.bucket + "-absent"
	_, appended := s.client.AppendObject(s.ctx, &oss.AppendObjectRequest{
		Bucket: &absent, Key: oss.Ptr("x"), Position: oss.Ptr(int64(0)), Body: strings.NewReader("x"),
	})
	exists, err := s.client.IsBucketExist(s.ctx, absent)
	if err != nil {
		return err
	}
	here, err := s.client.IsBucketExist(s.ctx, s.bucket)
	if err != nil {
		return err
	}
	// Existence probes rely on this order: the bucket is missed before the key id.
	stranger, err := s.connect(s.addressing, "NoSuchKeyId", keySecret).IsBucketExist(s.ctx, absent)
	return all(err, refused2(404, "NoSuchBucket", appended), equal("absent exists", exists, false),
		equal("present exists", here, true), equal("absent exists for a stranger", stranger, false))
}

func (s *suite2) describesBuckets() error {
	info, err := s.client.GetBucketInfo(s.ctx, &oss.GetBucketInfoRequest{Bucket: &s.bucket})
	if err != nil {
		return err
	}
	other := s.bucket + "-b"
	if _, err := s.client.PutBucket(s.ctx, &oss.PutBucketRequest{Bucket: &other}); err != nil {
		return err
	}
	listed, err := s.client.ListBuckets(s.ctx, &oss.ListBucketsRequest{Prefix: &s.bucket})
	if err != nil {
		return err
	}
	if _, err := s.client.DeleteBucket(s.ctx, &oss.DeleteBucketRequest{Bucket: &other}); err != nil {
		return err
	}
	if err := s.put("keeps-the-bucket.txt", "x"); err != nil {
		return err
	}
	_, refusal := s.client.DeleteBucket(s.ctx, &oss.DeleteBucketRequest{Bucket: &s.bucket})
	if err := equal("buckets", len(listed.Buckets), 2); err != nil {
		return err
	}
	return all(equal("name", oss.ToString(info.BucketInfo.Name), s.bucket),
		equal("location", oss.ToString(info.BucketInfo.Location), "oss-"+region),
		equal("extranet", oss.ToString(info.BucketInfo.ExtranetEndpoint), "oss-"+region+".aliyuncs.com"),
		equal("ACL", oss.ToString(info.BucketInfo.ACL), "private"),
		equal("second bucket", oss.ToString(listed.Buckets[1].Name), other),
		refused2(409, "BucketNotEmpty", refusal))
}
