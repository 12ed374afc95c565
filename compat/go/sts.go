package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	stserrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ram"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/sts"
	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
	osscredentials "github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss/credentials"
	oss1 "github.com/aliyun/aliyun-oss-go-sdk/oss"
)

const (
	stsBucket = "compat-go-sts"
	stsName   = "go-app"
	// No credentials last longer in a test.
	stsPatience = time.Minute
)

// A user that may assume a role that may do everything.
type stsWorld struct {
	room
	ram        *ram.Client
	id, secret string
	arn        string
}

// here sends a request to the server under test.
func here(request requests.AcsRequest) {
	request.SetScheme(scheme)
	request.SetDomain("127.0.0.1:" + port)
}

func (w *stsWorld) make() error {
	user := ram.CreateCreateUserRequest()
	user.UserName = stsName
	here(user)
	if _, err := w.ram.CreateUser(user); err != nil {
		return err
	}
	key := ram.CreateCreateAccessKeyRequest()
	key.UserName = stsName
	here(key)
	made, err := w.ram.CreateAccessKey(key)
	if err != nil {
		return err
	}
	w.id, w.secret = made.AccessKey.AccessKeyId, made.AccessKey.AccessKeySecret
	may := ram.CreateAttachPolicyToUserRequest()
	may.PolicyType, may.PolicyName, may.UserName = "System", "AliyunSTSAssumeRoleAccess", stsName
	here(may)
	if _, err := w.ram.AttachPolicyToUser(may); err != nil {
		return err
	}
	client, err := sts.NewClientWithAccessKey(region, w.id, w.secret)
	if err != nil {
		return err
	}
	who := sts.CreateGetCallerIdentityRequest()
	here(who)
	told, err := client.GetCallerIdentity(who)
	if err != nil {
		return err
	}
	role := ram.CreateCreateRoleRequest()
	role.RoleName = stsName
	role.AssumeRolePolicyDocument = fmt.Sprintf(`{"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",`+
		`"Principal":{"RAM":["acs:ram::%s:user/%s"]}}]}`, told.AccountId, stsName)
	here(role)
	given, err := w.ram.CreateRole(role)
	if err != nil {
		return err
	}
	w.arn = given.Role.Arn
	full := ram.CreateAttachPolicyToRoleRequest()
	full.PolicyType, full.PolicyName, full.RoleName = "System", "AliyunOSSFullAccess", stsName
	here(full)
	_, err = w.ram.AttachPolicyToRole(full)
	return err
}

func (w *stsWorld) remove() error {
	may := ram.CreateDetachPolicyFromUserRequest()
	may.PolicyType, may.PolicyName, may.UserName = "System", "AliyunSTSAssumeRoleAccess", stsName
	here(may)
	_, first := w.ram.DetachPolicyFromUser(may)
	key := ram.CreateDeleteAccessKeyRequest()
	key.UserName, key.UserAccessKeyId = stsName, w.id
	here(key)
	_, second := w.ram.DeleteAccessKey(key)
	user := ram.CreateDeleteUserRequest()
	user.UserName = stsName
	here(user)
	_, third := w.ram.DeleteUser(user)
	full := ram.CreateDetachPolicyFromRoleRequest()
	full.PolicyType, full.PolicyName, full.RoleName = "System", "AliyunOSSFullAccess", stsName
	here(full)
	_, fourth := w.ram.DetachPolicyFromRole(full)
	role := ram.CreateDeleteRoleRequest()
	role.RoleName = stsName
	here(role)
	_, fifth := w.ram.DeleteRole(role)
	return errors.Join(first, second, third, fourth, fifth)
}

func (w *stsWorld) assume(seconds int, arn string) (*sts.Credentials, error) {
	client, err := sts.NewClientWithAccessKey(region, w.id, w.secret)
	if err != nil {
		return nil, err
	}
	request := sts.CreateAssumeRoleRequest()
	request.RoleArn, request.RoleSessionName = arn, "session-1"
	request.DurationSeconds = requests.NewInteger(seconds)
	here(request)
	answer, err := client.AssumeRole(request)
	if err != nil {
		return nil, err
	}
	return &answer.Credentials, nil
}

func (w *stsWorld) client(given *sts.Credentials) *oss.Client {
	provider := osscredentials.NewStaticCredentialsProvider(given.AccessKeyId, given.AccessKeySecret, given.SecurityToken)
	return oss.NewClient(oss.LoadDefaultConfig().
		WithRegion(region).
		WithEndpoint(scheme + "://localhost:" + port).
		WithCredentialsProvider(provider).
		WithUsePathStyle(true).
		WithHttpClient(httpClient()).
		WithRetryMaxAttempts(1))
}

func (w *stsWorld) append(given *sts.Credentials, key string, position int64) (int64, error) {
	answer, err := w.client(given).AppendObject(context.Background(), &oss.AppendObjectRequest{
		Bucket:   oss.Ptr(stsBucket),
		Key:      &key,
		Position: &position,
		Body:     strings.NewReader("x"),
	})
	if err != nil {
		return position, err
	}
	return answer.NextPosition, nil
}

// refusedWith tells whether an answer of OSS has this code.
func refusedWith(err error, code string) error {
	var service *oss.ServiceError
	if !errors.As(err, &service) || service.Code != code {
		return fmt.Errorf("expected %s, got %v", code, err)
	}
	return nil
}

func (w *stsWorld) appends() error {
	given, err := w.assume(900, w.arn)
	if err != nil {
		return err
	}
	if next, err := w.append(given, "sts.log", 0); err != nil || next != 1 {
		return fmt.Errorf("next position %d: %w", next, err)
	}
	client, err := oss1.New(scheme+"://127.0.0.1:"+port, given.AccessKeyId, given.AccessKeySecret,
		oss1.SecurityToken(given.SecurityToken), oss1.ForcePathStyle(true), oss1.HTTPClient(httpClient()))
	if err != nil {
		return err
	}
	bucket, err := client.Bucket(stsBucket)
	if err != nil {
		return err
	}
	next, err := bucket.AppendObject("sts.log", strings.NewReader("y"), 1)
	if err != nil || next != 2 {
		return fmt.Errorf("next position %d: %w", next, err)
	}
	client2, err := sts.NewClientWithOptions(region, w.ram.GetConfig(),
		credentials.NewStsTokenCredential(given.AccessKeyId, given.AccessKeySecret, given.SecurityToken))
	if err != nil {
		return err
	}
	who := sts.CreateGetCallerIdentityRequest()
	here(who)
	told, err := client2.GetCallerIdentity(who)
	if err != nil || !strings.HasSuffix(told.Arn, ":assumed-role/"+stsName+"/session-1") {
		return fmt.Errorf("%v: %w", told, err)
	}
	return nil
}

func (w *stsWorld) expires() error {
	given, err := w.assume(2, w.arn)
	if err != nil {
		return err
	}
	position := int64(0)
	for end := time.Now().Add(stsPatience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if position, err = w.append(given, "over.log", position); err != nil {
			return refusedWith(err, "SecurityTokenExpired")
		}
	}
	return errors.New("the token is never over")
}

func (w *stsWorld) turned() error {
	given, err := w.assume(900, w.arn)
	if err != nil {
		return err
	}
	letter := "A"
	if given.SecurityToken[20] == 'A' {
		letter = "B"
	}
	given.SecurityToken = given.SecurityToken[:20] + letter + given.SecurityToken[21:]
	_, err = w.append(given, "turned.log", 0)
	return refusedWith(err, "InvalidSecurityToken")
}

func (w *stsWorld) refusals() error {
	_, err := w.assume(900, strings.TrimSuffix(w.arn, stsName)+"nobody")
	var server *stserrors.ServerError
	if !errors.As(err, &server) || server.HttpStatus() != 404 || server.ErrorCode() != "EntityNotExist.Role" {
		return fmt.Errorf("expected EntityNotExist.Role, got %v", err)
	}
	return nil
}

// runSTS assumes a role with the vendor's Go SDK of STS and RAM, and appends with both OSS SDKs.
func runSTS() {
	client, err := ram.NewClientWithAccessKey(region, keyID, keySecret)
	w := &stsWorld{room: room{"alibaba-cloud-sdk-go rpc1 path"}, ram: client}
	w.run("makes a user, a key and a role", func() error {
		if err != nil {
			return err
		}
		return w.make()
	})
	admin := w.client(&sts.Credentials{AccessKeyId: keyID, AccessKeySecret: keySecret})
	ctx := context.Background()
	w.run("assumes a role and appends with the token", func() error {
		if _, err := admin.PutBucket(ctx, &oss.PutBucketRequest{Bucket: oss.Ptr(stsBucket)}); err != nil {
			return err
		}
		return w.appends()
	})
	w.run("hears that a token is over", w.expires)
	w.run("hears that a token is none", w.turned)
	w.run("hears why a role is not assumed", w.refusals)
	w.run("removes what it made", func() error {
		for _, key := range []string{"sts.log", "over.log"} {
			request := &oss.DeleteObjectRequest{Bucket: oss.Ptr(stsBucket), Key: &key}
			if _, err := admin.DeleteObject(ctx, request); err != nil {
				return err
			}
		}
		if _, err := admin.DeleteBucket(ctx, &oss.DeleteBucketRequest{Bucket: oss.Ptr(stsBucket)}); err != nil {
			return err
		}
		return w.remove()
	})
}
