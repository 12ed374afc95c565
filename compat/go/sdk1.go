package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"
)

var v1Signatures = []struct {
	name    string
	version oss.AuthVersionType
}{{"v1", oss.AuthV1}, {"v2", oss.AuthV2}, {"v4", oss.AuthV4}}

// runV1 drives aliyun-oss-go-sdk in every signature and addressing.
func runV1() {
	for _, signature := range v1Signatures {
		for _, addressing := range []string{"path", "virtual", "cname"} {
			suite := &suite1{
				room:       room{fmt.Sprintf("go-v1 %s %s", signature.name, addressing)},
				version:    signature.version,
				addressing: addressing,
				name:       fmt.Sprintf("compat-go1-%s-%s", signature.name, addressing),
			}
			if addressing == "cname" {
				suite.name = cnameBucket
			}
			suite.runAll()
		}
	}
}

type suite1 struct {
	room
	version    oss.AuthVersionType
	addressing string
	name       string
	client     *oss.Client
	bucket     *oss.Bucket
}

func (s *suite1) connect(addressing, id, secret string) (*oss.Client, error) {
	endpoint := scheme + "://localhost:" + port
	if addressing == "cname" {
		endpoint = scheme + "://" + cnameHost + ":" + port
	}
	return oss.New(endpoint, id, secret,
		oss.AuthVersion(s.version), oss.Region(region), oss.HTTPClient(httpClient()),
		oss.ForcePathStyle(addressing == "path"), oss.UseCname(addressing == "cname"))
}

func (s *suite1) runAll() {
	// A custom domain serves one bucket and no service, so that bucket is made and removed by another way in.
	admin := s.addressing
	if admin == "cname" {
		admin = "path"
	}
	var service *oss.Client
	s.run("creates a bucket", func() (err error) {
		if service, err = s.connect(admin, keyID, keySecret); err != nil {
			return err
		}
		if s.client, err = s.connect(s.addressing, keyID, keySecret); err != nil {
			return err
		}
		if s.bucket, err = s.client.Bucket(s.name); err != nil {
			return err
		}
		return service.CreateBucket(s.name)
	})
	s.run("appends bytes and files with InitCRC", s.appendsWithInitCRC)
	s.run("appends readers of unknown length in chunked transfer", s.appendsChunked)
	s.run("the SDK compares the running CRC with the server's", s.comparesCRC)
	s.run("an empty append creates and then changes nothing", s.appendsNothing)
	s.run("a wrong position is refused", s.refusesWrongPosition)
	s.run("a normal object is not appendable", s.refusesNormalObject)
	s.run("metadata and tags of later appends are ignored", s.ignoresLaterMeta)
	s.run("a wrong Content-MD5 is refused", s.refusesWrongMD5)
	s.run("ten appends racing at one position have one winner", s.races)
	s.run("puts, gets, ranges and files", s.putsAndGets)
	s.run("normal objects are copied and appendables are not", s.copies)
	s.run("keys of every kind survive", s.keepsOddKeys)
	s.run("lists v1 and v2 page by page", s.lists)
	s.run("UploadFile sends parts and keeps a checkpoint", s.uploadsFile)
	s.run("parts and uploads are listed and aborted", s.listsAndAborts)
	s.run("signed URLs read, write and append", s.signs)
	s.run("missing keys, wrong secrets and unknown keys are refused", s.refusesStrangers)
	if s.addressing != "cname" {
		s.run("missing buckets are NoSuchBucket", s.missesBuckets)
		s.run("buckets are described and listed", s.describesBuckets)
		s.run("versions are kept, read, listed and removed", s.keepsVersions)
		s.run("a retention policy is begun, obeyed, aborted, locked and extended", s.retains)
		s.run("regions are described", func() error { return s.describesRegions(service) })
	}
	s.run("archived objects are restored and inventories kept", s.restoresAndInventories)
	s.run("a sequential upload has a digest and is copied from", s.hasDigestOfSequentialUploads)
	s.run("callbacks are made, answered and told to have failed", s.callsBack)
	s.run("acl, tags and links of objects are set and read back", s.keepsObjectSettings)
	s.run("what is told of a bucket is told", s.describesTheBucket)
	s.run("configurations of the bucket are set, obeyed and read back", s.keepsBucketSettings)
	s.run("HEAD finds a bucket", s.looksForTheBucket)
	s.run("empties and deletes the bucket", func() error {
		marker := ""
		for {
			page, err := s.bucket.ListObjects(oss.Marker(marker), oss.MaxKeys(1000))
			if err != nil {
				return err
			}
			var keys []string
			for _, object := range page.Objects {
				keys = append(keys, object.Key)
			}
			if len(keys) > 0 {
				if _, err := s.bucket.DeleteObjects(keys, oss.DeleteObjectsQuiet(true)); err != nil {
					return err
				}
			}
			if !page.IsTruncated {
				break
			}
			marker = page.NextMarker
		}
		return service.DeleteBucket(s.name)
	})
}

// refused1 expects an error of the service.
func refused1(status int, code string, err error) error {
	var service oss.ServiceError
	if !errors.As(err, &service) {
		return fmt.Errorf("expected %d %s, got %v", status, code, err)
	}
	if service.StatusCode != status || service.Code != code {
		return fmt.Errorf("expected %d %s, got %w", status, code, err)
	}
	return equal("length of the request id", len(service.RequestID), 24)
}

func (s *suite1) append(key, body string, position int64, options ...oss.Option) (int64, error) {
	return s.bucket.AppendObject(key, strings.NewReader(body), position, options...)
}

func (s *suite1) read(key string, options ...oss.Option) (string, error) {
	body, err := s.bucket.GetObject(key, options...)
	if err != nil {
		return "", err
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	return string(content), err
}

func (s *suite1) holds(key, want string, options ...oss.Option) error {
	got, err := s.read(key, options...)
	return all(err, equal("content of "+key, got, want))
}

func (s *suite1) appendsWithInitCRC() error {
	first, err := s.bucket.DoAppendObject(&oss.AppendObjectRequest{
		ObjectKey: "crc.log", Reader: strings.NewReader("hello"), Position: 0,
	}, []oss.Option{oss.InitCRC(0)})
	if err != nil {
		return err
	}
	second, err := s.bucket.DoAppendObject(&oss.AppendObjectRequest{
		ObjectKey: "crc.log", Reader: strings.NewReader(" world"), Position: first.NextPosition,
	}, []oss.Option{oss.InitCRC(first.CRC)})
	if err != nil {
		return err
	}
	path := filepath.Join(os.TempDir(), "ossia-compat-go-"+s.name)
	if err := os.WriteFile(path, bytes.Repeat([]byte("!"), 100_000), 0o600); err != nil {
		return err
	}
	defer os.Remove(path)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	third, err := s.bucket.AppendObject("crc.log", file, second.NextPosition, oss.InitCRC(second.CRC))
	return all(err,
		equal("first position", first.NextPosition, int64(5)), equal("first CRC", first.CRC, crcHello),
		equal("second position", second.NextPosition, int64(11)), equal("second CRC", second.CRC, crcHelloWorld),
		equal("third position", third, int64(100_011)),
		s.holds("crc.log", "hello world"+strings.Repeat("!", 100_000)))
}

func (s *suite1) appendsChunked() error {
	first, err := s.bucket.DoAppendObject(&oss.AppendObjectRequest{
		ObjectKey: "chunked.log", Reader: unsized{strings.NewReader(strings.Repeat("+", 300_000))}, Position: 0,
	}, []oss.Option{oss.InitCRC(0)})
	if err != nil {
		return err
	}
	second, err := s.bucket.AppendObject("chunked.log", unsized{strings.NewReader("end")}, first.NextPosition,
		oss.InitCRC(first.CRC))
	return all(err, equal("position", second, int64(300_003)),
		s.holds("chunked.log", strings.Repeat("+", 300_000)+"end"))
}

func (s *suite1) comparesCRC() error {
	if _, err := s.append("crc-wrong.log", "hello", 0, oss.InitCRC(0)); err != nil {
		return err
	}
	_, err := s.append("crc-wrong.log", " world", 5, oss.InitCRC(12345))
	var mismatch oss.CRCCheckError
	if !errors.As(err, &mismatch) {
		return fmt.Errorf("a wrong InitCRC went unnoticed: %v", err)
	}
	return nil
}

func (s *suite1) appendsNothing() error {
	first, err := s.append("empty.log", "", 0, oss.InitCRC(0))
	if err != nil {
		return err
	}
	second, err := s.append("empty.log", "abc", first)
	if err != nil {
		return err
	}
	third, err := s.append("empty.log", "", second)
	return all(err, equal("position of nothing", first, int64(0)), equal("position", third, int64(3)),
		s.holds("empty.log", "abc"))
}

func (s *suite1) refusesWrongPosition() error {
	if _, err := s.append("position.log", "hello", 0); err != nil {
		return err
	}
	for _, position := range []int64{0, 4, 6} {
		var headers http.Header
		_, err := s.append("position.log", "x", position, oss.GetResponseHeader(&headers))
		if err := refused1(409, "PositionNotEqualToLength", err); err != nil {
			return err
		}
		var service oss.ServiceError
		errors.As(err, &service)
		if err := all(equal("message", service.Message, "Position is not equal to file length"),
			equal("EC", service.Ec, "0026-00000016")); err != nil {
			return err
		}
	}
	_, absent := s.append("position-absent.log", "x", 5)
	_, large := s.append("position.log", strings.Repeat("x", 2_000_000), 1)
	next, err := s.append("position.log", "!", 5)
	_, bad := s.append("position.log", "x", -1)
	return all(refused1(409, "PositionNotEqualToLength", absent), refused1(409, "PositionNotEqualToLength", large),
		err, equal("position", next, int64(6)), refused1(400, "InvalidArgument", bad))
}

func (s *suite1) refusesNormalObject() error {
	if err := s.bucket.PutObject("normal.txt", strings.NewReader("hello")); err != nil {
		return err
	}
	_, atZero := s.append("normal.txt", "x", 0)
	_, atEnd := s.append("normal.txt", "x", 5)
	return all(refused1(409, "ObjectNotAppendable", atZero), refused1(409, "ObjectNotAppendable", atEnd),
		s.holds("normal.txt", "hello"))
}

func (s *suite1) ignoresLaterMeta() error {
	if _, err := s.append("meta.log", "a", 0, oss.Meta("colour", "red"), oss.ContentType("text/x-first")); err != nil {
		return err
	}
	if _, err := s.append("meta.log", "b", 1, oss.Meta("colour", "blue"), oss.Meta("taste", "sour"),
		oss.ContentType("text/x-second")); err != nil {
		return err
	}
	head, err := s.bucket.GetObjectDetailedMeta("meta.log")
	if err != nil {
		return err
	}
	return all(equal("kept metadata", head.Get("X-Oss-Meta-Colour"), "red"),
		equal("added metadata", head.Get("X-Oss-Meta-Taste"), ""),
		equal("type", head.Get("Content-Type"), "text/x-first"),
		equal("object type", head.Get("X-Oss-Object-Type"), "Appendable"),
		equal("next position", head.Get("X-Oss-Next-Append-Position"), "2"))
}

func (s *suite1) refusesWrongMD5() error {
	_, err := s.append("md5.log", "hello", 0, oss.ContentMD5("1B2M2Y8AsgTpgAmY7PhCfg=="))
	exists, absent := s.bucket.IsObjectExist("md5.log")
	return all(refused1(400, "InvalidDigest", err), absent, equal("existence", exists, false))
}

func (s *suite1) races() error {
	if _, err := s.append("race.log", "hello", 0); err != nil {
		return err
	}
	var waiting sync.WaitGroup
	outcomes := make([]error, 10)
	for i := range outcomes {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			_, outcomes[i] = s.append("race.log", fmt.Sprint(" ", i), 5)
		}()
	}
	waiting.Wait()
	won := 0
	for _, outcome := range outcomes {
		if outcome == nil {
			won++
		} else if err := refused1(409, "PositionNotEqualToLength", outcome); err != nil {
			return err
		}
	}
	return equal("winners", won, 1)
}

func (s *suite1) putsAndGets() error {
	var headers http.Header
	put := s.bucket.PutObject("put.txt", strings.NewReader("0123456789"), oss.Meta("colour", "red"),
		oss.GetResponseHeader(&headers))
	if put != nil {
		return put
	}
	chunked := s.bucket.PutObject("put-chunked.txt", unsized{strings.NewReader("unsized")})
	folder, err := os.MkdirTemp("", "ossia-compat-go-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "file")
	err = s.bucket.GetObjectToFile("put.txt", path)
	upload := s.bucket.PutObjectFromFile("put-file.txt", path)
	return all(chunked, err, upload,
		equal("ETag", headers.Get("ETag"), `"781E5E245D69B566979B86E28D23F2C7"`),
		s.holds("put.txt", "0123456789"), s.holds("put-chunked.txt", "unsized"), s.holds("put-file.txt", "0123456789"),
		s.holds("put.txt", "2345", oss.Range(2, 5)), s.holds("put.txt", "789", oss.NormalizedRange("-3")),
		// Past the end the service sends the whole object, unless asked to be strict.
		s.holds("put.txt", "0123456789", oss.Range(20, 30)),
		refused1(416, "InvalidRange", second(s.read("put.txt", oss.Range(20, 30), oss.RangeBehavior("standard")))),
		refused1(412, "PreconditionFailed", second(s.read("put.txt", oss.IfMatch("wrong")))),
		refused1(409, "FileAlreadyExists", s.bucket.PutObject("put.txt", strings.NewReader("x"), oss.ForbidOverWrite(true))))
}

func second[T any](_ T, err error) error { return err }

func (s *suite1) copies() error {
	if err := s.bucket.PutObject("copy source+ü.txt", strings.NewReader("hello"), oss.Meta("colour", "red")); err != nil {
		return err
	}
	copied, err := s.bucket.CopyObject("copy source+ü.txt", "copied.txt")
	if err != nil {
		return err
	}
	head, err := s.bucket.GetObjectDetailedMeta("copied.txt")
	if err != nil {
		return err
	}
	if _, err := s.append("copy-source.log", "hello", 0); err != nil {
		return err
	}
	_, refusal := s.bucket.CopyObject("copy-source.log", "no.log")
	return all(equal("ETag", copied.ETag, `"5D41402ABC4B2A76B9719D911017C592"`),
		equal("metadata", head.Get("X-Oss-Meta-Colour"), "red"), s.holds("copied.txt", "hello"),
		refused1(400, "OperationNotSupported", refusal))
}

func (s *suite1) keepsOddKeys() error {
	var want []string
	for _, key := range oddKeys {
		want = append(want, "odd/"+key)
		if err := s.bucket.PutObject("odd/"+key, strings.NewReader(key)); err != nil {
			return fmt.Errorf("put %q: %w", key, err)
		}
		if err := s.holds("odd/"+key, key); err != nil {
			return fmt.Errorf("get %q: %w", key, err)
		}
		if _, err := s.append("odd-log/"+key, "x", 0); err != nil {
			return fmt.Errorf("append %q: %w", key, err)
		}
		if next, err := s.append("odd-log/"+key, "y", 1); err != nil || next != 2 {
			return fmt.Errorf("append %q again: %d %w", key, next, err)
		}
		if _, err := s.bucket.CopyObject("odd/"+key, "odd-copy/"+key); err != nil {
			return fmt.Errorf("copy %q: %w", key, err)
		}
		if err := s.bucket.DeleteObject("odd-copy/" + key); err != nil {
			return fmt.Errorf("delete %q: %w", key, err)
		}
		exists, err := s.bucket.IsObjectExist("odd-copy/" + key)
		if err := all(err, equal("existence after delete", exists, false)); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	page, err := s.bucket.ListObjects(oss.Prefix("odd/"))
	if err != nil {
		return err
	}
	var listed []string
	for _, object := range page.Objects {
		listed = append(listed, object.Key)
	}
	deleted, err := s.bucket.DeleteObjects(want)
	if err != nil {
		return err
	}
	slices.Sort(want)
	slices.Sort(listed)
	slices.Sort(deleted.DeletedObjects)
	return all(sameKeys("listed", listed, want), sameKeys("deleted", deleted.DeletedObjects, want))
}

func (s *suite1) lists() error {
	keys := []string{"list/a.txt", "list/b/1.txt", "list/b/2.txt", "list/c d.txt", "list/z.log"}
	for _, key := range keys {
		if _, err := s.append(key, "12345", 0); err != nil {
			return err
		}
	}
	var walked, walked2 []string
	for marker := ""; ; {
		page, err := s.bucket.ListObjects(oss.Prefix("list/"), oss.Marker(marker), oss.MaxKeys(2))
		if err != nil {
			return err
		}
		for _, object := range page.Objects {
			walked = append(walked, object.Key)
			if err := all(equal("type", object.Type, "Appendable"), equal("size", object.Size, int64(5)),
				equal("owner is known", object.Owner.ID != "", true)); err != nil {
				return err
			}
		}
		if marker = page.NextMarker; !page.IsTruncated {
			break
		}
	}
	for token := ""; ; {
		page, err := s.bucket.ListObjectsV2(oss.Prefix("list/"), oss.ContinuationToken(token), oss.MaxKeys(2))
		if err != nil {
			return err
		}
		for _, object := range page.Objects {
			walked2 = append(walked2, object.Key)
		}
		if token = page.NextContinuationToken; !page.IsTruncated {
			break
		}
	}
	folded, err := s.bucket.ListObjectsV2(oss.Prefix("list/"), oss.Delimiter("/"), oss.StartAfter("list/a.txt"))
	if err != nil {
		return err
	}
	return all(sameKeys("v1", walked, keys), sameKeys("v2", walked2, keys),
		sameKeys("prefixes", folded.CommonPrefixes, []string{"list/b/"}),
		equal("folded", len(folded.Objects), 2))
}

func (s *suite1) signs() error {
	put, err := s.bucket.SignURL("signed/ü +.txt", oss.HTTPPut, 60, oss.ContentType("text/plain"), oss.Meta("colour", "red"))
	if err != nil {
		return err
	}
	status, _, body, err := fetch("PUT", put, map[string]string{"Content-Type": "text/plain", "x-oss-meta-colour": "red"}, "hello")
	if err := all(err, equal("PUT "+body, status, 200)); err != nil {
		return err
	}
	get, err := s.bucket.SignURL("signed/ü +.txt", oss.HTTPGet, 60, oss.ResponseContentLanguage("de"))
	if err != nil {
		return err
	}
	status, headers, body, err := fetch("GET", get, nil, "")
	if err := all(err, equal("GET "+body, status, 200), equal("content", body, "hello"),
		equal("override", headers.Get("Content-Language"), "de")); err != nil {
		return err
	}
	post, err := s.bucket.SignURL("signed.log", oss.HTTPPost, 60, oss.AddParam("append", ""), oss.AddParam("position", "0"))
	if err != nil {
		return err
	}
	status, headers, body, err = fetch("POST", post, nil, "hello")
	if err := all(err, equal("POST "+body, status, 200),
		equal("next position", headers.Get("X-Oss-Next-Append-Position"), "5")); err != nil {
		return err
	}
	status, _, body, err = fetch("GET", strings.Replace(get, "signed", "Signed", 1), nil, "")
	return all(err, equal("altered URL", status, 403),
		equal("its code", strings.Contains(body, "<Code>SignatureDoesNotMatch</Code>"), true))
}

func (s *suite1) refusesStrangers() error {
	forged, err := s.connect(s.addressing, keyID, "not-the-secret")
	if err != nil {
		return err
	}
	unknown, err := s.connect(s.addressing, "NoSuchKeyId", keySecret)
	if err != nil {
		return err
	}
	appendAs := func(client *oss.Client) error {
		bucket, err := client.Bucket(s.name)
		if err != nil {
			return err
		}
		_, err = bucket.AppendObject("x", strings.NewReader("x"), 0)
		return err
	}
	_, headOfNone := s.bucket.GetObjectDetailedMeta("absent.txt")
	return all(refused1(403, "SignatureDoesNotMatch", appendAs(forged)),
		refused1(403, "InvalidAccessKeyId", appendAs(unknown)),
		refused1(404, "NoSuchKey", second(s.read("absent.txt"))),
		refused1(404, "NoSuchKey", headOfNone), s.bucket.DeleteObject("absent.txt"))
}

func (s *suite1) missesBuckets() error {
	absent, err := s.client.Bucket(s.name + "-absent")
	if err != nil {
		return err
	}
	_, appended := absent.AppendObject("x", strings.NewReader("x"), 0)
	_, listed := absent.ListObjects()
	return all(refused1(404, "NoSuchBucket", appended), refused1(404, "NoSuchBucket", listed),
		refused1(404, "NoSuchBucket", s.client.DeleteBucket(s.name+"-absent")))
}

func (s *suite1) describesBuckets() error {
	info, err := s.client.GetBucketInfo(s.name)
	if err != nil {
		return err
	}
	exists, err := s.client.IsBucketExist(s.name)
	if err != nil {
		return err
	}
	missing, err := s.client.IsBucketExist(s.name + "-absent")
	if err != nil {
		return err
	}
	if err := s.client.CreateBucket(s.name + "-b"); err != nil {
		return err
	}
	first, err := s.client.ListBuckets(oss.Prefix(s.name), oss.MaxKeys(1))
	if err != nil {
		return err
	}
	rest, err := s.client.ListBuckets(oss.Prefix(s.name), oss.Marker(first.NextMarker))
	if err != nil {
		return err
	}
	if err := s.bucket.PutObject("keeps-the-bucket.txt", strings.NewReader("x")); err != nil {
		return err
	}
	return all(equal("name", info.BucketInfo.Name, s.name), equal("location", info.BucketInfo.Location, "oss-"+region),
		equal("extranet", info.BucketInfo.ExtranetEndpoint, "oss-"+region+".aliyuncs.com"),
		equal("intranet", info.BucketInfo.IntranetEndpoint, "oss-"+region+"-internal.aliyuncs.com"),
		equal("exists", exists, true), equal("missing exists", missing, false),
		equal("first page", len(first.Buckets), 1), equal("truncated", first.IsTruncated, true),
		equal("second page", len(rest.Buckets), 1), equal("second bucket", rest.Buckets[0].Name, s.name+"-b"),
		s.client.DeleteBucket(s.name+"-b"),
		refused1(409, "BucketNotEmpty", s.client.DeleteBucket(s.name)))
}
