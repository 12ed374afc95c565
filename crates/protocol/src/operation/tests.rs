use super::Operation::*;
use super::*;
use crate::error::{ErrorCode, OssError};
use crate::query::Query;

/// Dispatches `METHOD target`, where the target is `/` for the service, `b/` for a bucket and `b/k` for an object.
fn ask(method: &str, target: &str, header: (&str, &'static str)) -> Result<Operation, OssError> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = Query::parse(query.as_bytes()).unwrap();
    dispatch(&RequestShape {
        method,
        has_bucket: path != "/",
        has_key: path.ends_with('k'),
        query: &query,
        header: &|name| (name == header.0).then_some(header.1.as_bytes()),
    })
}

fn plain(method: &str, target: &str) -> Result<Operation, OssError> {
    ask(method, target, ("", ""))
}

/// Every row of the API map: method, target, the one header that is set (if any), operation.
const ROWS: &[(&str, &str, &str, Operation)] = &[
    ("GET", "/", "", ListBuckets),
    ("GET", "/?prefix=a&max-keys=1", "", ListBuckets),
    ("GET", "/?regions", "", DescribeRegions),
    ("GET", "/?regions=oss-cn-x", "", DescribeRegions),
    ("PUT", "/?publicAccessBlock", "", PutPublicAccessBlock),
    ("GET", "/?publicAccessBlock", "", GetPublicAccessBlock),
    ("DELETE", "/?publicAccessBlock", "", DeletePublicAccessBlock),
    ("GET", "/?qosInfo", "", GetUserQoSInfo),
    ("GET", "/?redundancyTransition", "", ListUserDataRedundancyTransition),
    ("GET", "/?cloudboxes", "", ListCloudBoxes),
    ("GET", "/?accessPoint", "", ListAccessPoints),
    ("GET", "/?accessPointForObjectProcess", "", ListAccessPointsForObjectProcess),
    ("POST", "/?x-oss-write-get-object-response", "", WriteGetObjectResponse),
    ("GET", "/?resourcePool", "", ListResourcePools),
    ("GET", "/?resourcePoolInfo&resourcePool=p", "", GetResourcePoolInfo),
    ("GET", "/?resourcePoolBuckets&resourcePool=p", "", ListResourcePoolBuckets),
    (
        "PUT",
        "/?requesterQosInfo&resourcePool=p&qosRequester=u",
        "",
        PutResourcePoolRequesterQoSInfo,
    ),
    (
        "GET",
        "/?requesterQosInfo&resourcePool=p&qosRequester=u",
        "",
        GetResourcePoolRequesterQoSInfo,
    ),
    ("GET", "/?requesterQosInfo&resourcePool=p", "", ListResourcePoolRequesterQoSInfos),
    (
        "DELETE",
        "/?requesterQosInfo&resourcePool=p&qosRequester=u",
        "",
        DeleteResourcePoolRequesterQoSInfo,
    ),
    ("PUT", "b/", "", PutBucket),
    ("DELETE", "b/", "", DeleteBucket),
    ("HEAD", "b/", "", HeadBucket),
    ("GET", "b/", "", ListObjects),
    ("GET", "b/?list-type=1", "", ListObjects),
    ("GET", "b/?prefix&marker&delimiter=/&max-keys=10", "", ListObjects),
    ("GET", "b/?list-type=2&continuation-token=x&fetch-owner=true", "", ListObjectsV2),
    ("GET", "b/?bucketInfo", "", GetBucketInfo),
    ("GET", "b/?location", "", GetBucketLocation),
    ("PUT", "b/?acl", "", PutBucketAcl),
    ("GET", "b/?acl", "", GetBucketAcl),
    ("GET", "b/?stat", "", GetBucketStat),
    ("PUT", "b/?versioning", "", PutBucketVersioning),
    ("GET", "b/?versioning", "", GetBucketVersioning),
    ("GET", "b/?versions&key-marker&version-id-marker", "", ListObjectVersions),
    ("PUT", "b/?lifecycle", "", PutBucketLifecycle),
    ("GET", "b/?lifecycle", "", GetBucketLifecycle),
    ("DELETE", "b/?lifecycle", "", DeleteBucketLifecycle),
    ("PUT", "b/?cors", "", PutBucketCors),
    ("GET", "b/?cors", "", GetBucketCors),
    ("DELETE", "b/?cors", "", DeleteBucketCors),
    ("OPTIONS", "b/k", "", OptionObject),
    ("OPTIONS", "b/", "", OptionObject),
    ("OPTIONS", "b/k?append&position=0", "", OptionObject),
    ("PUT", "b/?policy", "", PutBucketPolicy),
    ("GET", "b/?policy", "", GetBucketPolicy),
    ("DELETE", "b/?policy", "", DeleteBucketPolicy),
    ("PUT", "b/?policy&comp=callback", "", PutBucketCallbackPolicy),
    ("GET", "b/?policy&comp=callback", "", GetBucketCallbackPolicy),
    ("DELETE", "b/?policy&comp=callback", "", DeleteBucketCallbackPolicy),
    ("GET", "b/?policyStatus", "", GetBucketPolicyStatus),
    ("PUT", "b/?tagging", "", PutBucketTags),
    ("GET", "b/?tagging", "", GetBucketTags),
    ("DELETE", "b/?tagging", "", DeleteBucketTags),
    ("DELETE", "b/?tagging=k1,k2", "", DeleteBucketTags),
    ("PUT", "b/?referer", "", PutBucketReferer),
    ("GET", "b/?referer", "", GetBucketReferer),
    ("PUT", "b/?website", "", PutBucketWebsite),
    ("GET", "b/?website", "", GetBucketWebsite),
    ("DELETE", "b/?website", "", DeleteBucketWebsite),
    ("PUT", "b/?logging", "", PutBucketLogging),
    ("GET", "b/?logging", "", GetBucketLogging),
    ("DELETE", "b/?logging", "", DeleteBucketLogging),
    ("PUT", "b/?encryption", "", PutBucketEncryption),
    ("GET", "b/?encryption", "", GetBucketEncryption),
    ("DELETE", "b/?encryption", "", DeleteBucketEncryption),
    ("PUT", "b/?requestPayment", "", PutBucketRequestPayment),
    ("GET", "b/?requestPayment", "", GetBucketRequestPayment),
    ("PUT", "b/?inventory&inventoryId=i", "", PutBucketInventory),
    ("GET", "b/?inventory&inventoryId=i", "", GetBucketInventory),
    ("GET", "b/?inventory", "", ListBucketInventory),
    ("GET", "b/?inventory&continuation-token=t", "", ListBucketInventory),
    ("DELETE", "b/?inventory&inventoryId=i", "", DeleteBucketInventory),
    ("POST", "b/?worm", "", InitiateBucketWorm),
    ("DELETE", "b/?worm", "", AbortBucketWorm),
    ("POST", "b/?wormId=X", "", CompleteBucketWorm),
    ("POST", "b/?wormExtend&wormId=X", "", ExtendBucketWorm),
    ("POST", "b/?wormId=X&wormExtend", "", ExtendBucketWorm),
    ("GET", "b/?worm", "", GetBucketWorm),
    ("PUT", "b/?objectWorm", "", PutBucketObjectWormConfiguration),
    ("GET", "b/?objectWorm", "", GetBucketObjectWormConfiguration),
    ("PUT", "b/?overwriteConfig", "", PutBucketOverwriteConfig),
    ("GET", "b/?overwriteConfig", "", GetBucketOverwriteConfig),
    ("DELETE", "b/?overwriteConfig", "", DeleteBucketOverwriteConfig),
    ("PUT", "b/?publicAccessBlock", "", PutBucketPublicAccessBlock),
    ("GET", "b/?publicAccessBlock", "", GetBucketPublicAccessBlock),
    ("DELETE", "b/?publicAccessBlock", "", DeleteBucketPublicAccessBlock),
    ("PUT", "b/?quota", "", PutBucketStorageQuota),
    ("GET", "b/?quota", "", GetBucketStorageQuota),
    ("DELETE", "b/?quota", "", DeleteBucketStorageQuota),
    ("PUT", "b/?accessmonitor", "", PutBucketAccessMonitor),
    ("GET", "b/?accessmonitor", "", GetBucketAccessMonitor),
    ("PUT", "b/?transferAcceleration", "", PutBucketTransferAcceleration),
    ("GET", "b/?transferAcceleration", "", GetBucketTransferAcceleration),
    ("DELETE", "b/?transferAcceleration", "", DeleteBucketTransferAcceleration),
    ("PUT", "b/?resourceGroup", "", PutBucketResourceGroup),
    ("GET", "b/?resourceGroup", "", GetBucketResourceGroup),
    ("POST", "b/?replication&comp=add", "", PutBucketReplication),
    ("POST", "b/?replication&comp=delete", "", DeleteBucketReplication),
    ("GET", "b/?replication", "", GetBucketReplication),
    ("GET", "b/?replicationLocation", "", GetBucketReplicationLocation),
    ("GET", "b/?replicationProgress&rule-id=r", "", GetBucketReplicationProgress),
    ("PUT", "b/?rtc", "", PutBucketRTC),
    ("PUT", "b/?style&styleName=s", "", PutStyle),
    ("GET", "b/?style&styleName=s", "", GetStyle),
    ("GET", "b/?style", "", ListStyle),
    ("DELETE", "b/?style&styleName=s", "", DeleteStyle),
    ("POST", "b/?cname&comp=add", "", PutCname),
    ("GET", "b/?cname", "", ListCname),
    ("POST", "b/?cname&comp=delete", "", DeleteCname),
    ("POST", "b/?cname&comp=token", "", CreateCnameToken),
    ("GET", "b/?comp=token&cname=d.example.com", "", GetCnameToken),
    ("POST", "b/?metaQuery&comp=add", "", OpenMetaQuery),
    ("GET", "b/?metaQuery", "", GetMetaQueryStatus),
    ("POST", "b/?metaQuery&comp=query", "", DoMetaQuery),
    ("POST", "b/?metaQuery&comp=delete", "", CloseMetaQuery),
    ("POST", "b/?metaQuery&action=createDataset", "", DoMetaQueryAction),
    ("POST", "b/?MetaQuery&action=createDataset", "", DoMetaQueryAction),
    ("POST", "b/?dataPipeline&action=x", "", DoDataPipelineAction),
    ("PUT", "b/?bucketArchiveDirectRead", "", PutBucketArchiveDirectRead),
    ("GET", "b/?bucketArchiveDirectRead", "", GetBucketArchiveDirectRead),
    ("PUT", "b/?httpsConfig", "", PutBucketHttpsConfig),
    ("GET", "b/?httpsConfig", "", GetBucketHttpsConfig),
    (
        "POST",
        "b/?redundancyTransition&x-oss-target-redundancy-type=ZRS",
        "",
        CreateBucketDataRedundancyTransition,
    ),
    (
        "GET",
        "b/?redundancyTransition&x-oss-redundancy-transition-taskid=t",
        "",
        GetBucketDataRedundancyTransition,
    ),
    ("GET", "b/?redundancyTransition", "", ListBucketDataRedundancyTransition),
    (
        "DELETE",
        "b/?redundancyTransition&x-oss-redundancy-transition-taskid=t",
        "",
        DeleteBucketDataRedundancyTransition,
    ),
    ("PUT", "b/?accessPoint", "", CreateAccessPoint),
    ("GET", "b/?accessPoint", "x-oss-access-point-name", GetAccessPoint),
    ("GET", "b/?accessPoint", "", ListBucketAccessPoints),
    ("DELETE", "b/?accessPoint", "x-oss-access-point-name", DeleteAccessPoint),
    ("PUT", "b/?accessPointPolicy", "", PutAccessPointPolicy),
    ("GET", "b/?accessPointPolicy", "", GetAccessPointPolicy),
    ("DELETE", "b/?accessPointPolicy", "", DeleteAccessPointPolicy),
    ("PUT", "b/?publicAccessBlock&x-oss-access-point-name=a", "", PutAccessPointPublicAccessBlock),
    ("GET", "b/?publicAccessBlock&x-oss-access-point-name=a", "", GetAccessPointPublicAccessBlock),
    (
        "DELETE",
        "b/?publicAccessBlock&x-oss-access-point-name=a",
        "",
        DeleteAccessPointPublicAccessBlock,
    ),
    ("PUT", "b/?accessPointForObjectProcess", "", CreateAccessPointForObjectProcess),
    ("GET", "b/?accessPointForObjectProcess", "", GetAccessPointForObjectProcess),
    ("DELETE", "b/?accessPointForObjectProcess", "", DeleteAccessPointForObjectProcess),
    ("PUT", "b/?accessPointConfigForObjectProcess", "", PutAccessPointConfigForObjectProcess),
    ("GET", "b/?accessPointConfigForObjectProcess", "", GetAccessPointConfigForObjectProcess),
    ("PUT", "b/?accessPointPolicyForObjectProcess", "", PutAccessPointPolicyForObjectProcess),
    ("GET", "b/?accessPointPolicyForObjectProcess", "", GetAccessPointPolicyForObjectProcess),
    ("DELETE", "b/?accessPointPolicyForObjectProcess", "", DeleteAccessPointPolicyForObjectProcess),
    ("PUT", "b/?userDefinedLogFieldsConfig", "", PutUserDefinedLogFieldsConfig),
    ("GET", "b/?userDefinedLogFieldsConfig", "", GetUserDefinedLogFieldsConfig),
    ("DELETE", "b/?userDefinedLogFieldsConfig", "", DeleteUserDefinedLogFieldsConfig),
    ("PUT", "b/?qosInfo", "", PutBucketQoSInfo),
    ("GET", "b/?qosInfo", "", GetBucketQoSInfo),
    ("DELETE", "b/?qosInfo", "", DeleteBucketQoSInfo),
    ("PUT", "b/?requesterQosInfo&qosRequester=u", "", PutBucketRequesterQoSInfo),
    ("GET", "b/?requesterQosInfo&qosRequester=u", "", GetBucketRequesterQoSInfo),
    ("GET", "b/?requesterQosInfo", "", ListBucketRequesterQoSInfos),
    ("DELETE", "b/?requesterQosInfo&qosRequester=u", "", DeleteBucketRequesterQoSInfo),
    ("PUT", "b/?qos", "", PutBucketStorageCapacity),
    ("GET", "b/?qos", "", GetBucketStorageCapacity),
    ("PUT", "b/?responseHeader", "", PutBucketResponseHeader),
    ("GET", "b/?responseHeader", "", GetBucketResponseHeader),
    ("DELETE", "b/?responseHeader", "", DeleteBucketResponseHeader),
    ("POST", "b/?asyncFetch", "", PutAsyncFetchTask),
    ("GET", "b/?asyncFetch", "", GetAsyncFetchTask),
    ("POST", "b/?metadataConfiguration", "", CreateBucketMetadataConfiguration),
    ("GET", "b/?metadataConfiguration", "", GetBucketMetadataConfiguration),
    ("DELETE", "b/?metadataConfiguration", "", DeleteBucketMetadataConfiguration),
    ("PUT", "b/?metadataInventoryTable", "", UpdateBucketMetadataInventoryTableConfiguration),
    ("PUT", "b/?metadataJournalTable", "", UpdateBucketMetadataJournalTableConfiguration),
    ("PUT", "b/k", "", PutObject),
    ("PUT", "b/k?versionId=v", "", PutObject),
    ("PUT", "b/k?callback=x&callback-var=y", "", PutObject),
    ("POST", "b/k?append&position=0", "", AppendObject),
    ("POST", "b/k?position=0&append=", "", AppendObject),
    ("POST", "b/k?append", "", AppendObject),
    ("POST", "b/k?seal&position=5", "", SealAppendObject),
    ("GET", "b/k", "", GetObject),
    ("GET", "b/k?response-cache-control=no-cache&versionId=v", "", GetObject),
    ("GET", "b/k?x-oss-process=", "", GetObject),
    ("HEAD", "b/k", "", HeadObject),
    ("HEAD", "b/k?objectMeta", "", GetObjectMeta),
    ("GET", "b/k?objectMeta", "", GetObjectMeta),
    ("PUT", "b/k", "x-oss-copy-source", CopyObject),
    ("DELETE", "b/k", "", DeleteObject),
    ("DELETE", "b/k?versionId=v", "", DeleteObject),
    ("POST", "b/?delete", "", DeleteMultipleObjects),
    ("PUT", "b/k?acl", "", PutObjectAcl),
    ("PUT", "b/k?acl", "x-oss-copy-source", PutObjectAcl),
    ("GET", "b/k?acl", "", GetObjectAcl),
    ("PUT", "b/k?tagging", "", PutObjectTagging),
    ("GET", "b/k?tagging", "", GetObjectTagging),
    ("DELETE", "b/k?tagging", "", DeleteObjectTagging),
    ("PUT", "b/k?symlink", "", PutSymlink),
    ("GET", "b/k?symlink", "", GetSymlink),
    ("POST", "b/k?restore", "", RestoreObject),
    ("POST", "b/k?cleanRestoredObject", "", CleanRestoredObject),
    ("PUT", "b/k?retention", "", PutObjectRetention),
    ("GET", "b/k?retention", "", GetObjectRetention),
    ("PUT", "b/k?legalHold", "", PutObjectLegalHold),
    ("GET", "b/k?legalHold", "", GetObjectLegalHold),
    ("POST", "b/k?x-oss-process=csv/select", "", SelectObject),
    ("POST", "b/k?x-oss-process=json/select", "", SelectObject),
    ("POST", "b/k?x-oss-process=csv/meta", "", CreateSelectObjectMeta),
    ("POST", "b/k?x-oss-process=json/meta", "", CreateSelectObjectMeta),
    ("POST", "b/k?x-oss-process", "", ProcessObject),
    ("GET", "b/k?x-oss-process=image/resize,w_100", "", ProcessObject),
    ("POST", "b/k?x-oss-async-process", "", AsyncProcessObject),
    ("POST", "b/k?x-oss-dir", "", CreateDirectory),
    ("POST", "b/k?x-oss-rename", "", Rename),
    ("POST", "b/k?x-oss-delete", "", DeleteDirectory),
    ("POST", "b/k?uploads", "", InitiateMultipartUpload),
    ("POST", "b/k?uploads&sequential", "", InitiateMultipartUpload),
    ("PUT", "b/k?partNumber=1&uploadId=X", "", UploadPart),
    ("PUT", "b/k?uploadId=&partNumber=1", "", UploadPart),
    ("PUT", "b/k?partNumber=1&uploadId=X", "x-oss-copy-source", UploadPartCopy),
    ("POST", "b/k?uploadId=X", "", CompleteMultipartUpload),
    ("DELETE", "b/k?uploadId=X", "", AbortMultipartUpload),
    ("GET", "b/?uploads", "", ListMultipartUploads),
    ("GET", "b/k?uploadId=X&part-number-marker=1", "", ListParts),
    ("PUT", "b/k?live", "", PutLiveChannel),
    ("GET", "b/?live", "", ListLiveChannel),
    ("GET", "b/k?live", "", GetLiveChannelInfo),
    ("GET", "b/k?live&comp=stat", "", GetLiveChannelStat),
    ("GET", "b/k?live&comp=history", "", GetLiveChannelHistory),
    ("PUT", "b/k?live&status=enabled", "", PutLiveChannelStatus),
    ("DELETE", "b/k?live", "", DeleteLiveChannel),
    ("POST", "b/k?vod&startTime=1&endTime=2", "", PostVodPlaylist),
    ("GET", "b/k?vod&startTime=1&endTime=2", "", GetVodPlaylist),
];

#[test]
fn every_row_of_the_api_map_selects_its_operation() {
    for (method, target, header, operation) in ROWS {
        let answer = ask(method, target, (header, "x"));
        assert_eq!(answer, Ok(*operation), "{method} {target} {header}");
    }
}

#[test]
fn a_sub_resource_is_the_same_with_and_without_equals_sign_and_beside_other_parameters() {
    for (method, target, header, operation) in ROWS {
        let Some((path, query)) = target.split_once('?') else { continue };
        // The bare names among the parameters get an equals sign.
        let with_equals: Vec<String> = query
            .split('&')
            .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
            .collect();
        let with_equals = with_equals.join("&");
        for target in [
            format!("{path}?{with_equals}"),
            format!("{path}?encoding-type=url&{query}"),
            format!("{path}?{query}&x-oss-unheard-of=1&marker&security-token=t"),
        ] {
            let answer = ask(method, &target, (header, "x"));
            assert_eq!(answer, Ok(*operation), "{method} {target}");
        }
    }
}

#[test]
fn every_operation_is_reached_by_some_request() {
    let mut reached: Vec<Operation> = ROWS.iter().map(|(_, _, _, operation)| *operation).collect();
    reached.push(PostObject);
    for operation in Operation::ALL {
        assert!(reached.contains(operation), "{operation}");
    }
}

#[test]
fn names_are_unique_and_levels_follow_the_request() {
    let mut names: Vec<&str> = Operation::ALL.iter().map(|operation| operation.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Operation::ALL.len());
    for (_, target, _, operation) in ROWS {
        let level = match target.split('?').next().unwrap() {
            "/" => Level::Service,
            "b/" if *operation != OptionObject => Level::Bucket,
            _ => Level::Object,
        };
        assert_eq!(operation.level(), level, "{operation}");
    }
    assert_eq!(SealAppendObject.to_string(), "SealAppendObject");
}

#[test]
fn a_form_on_a_bucket_is_a_post_object() {
    for content_type in
        ["multipart/form-data; boundary=x", "multipart/form-data", "Multipart/Form-Data;boundary=x"]
    {
        assert_eq!(ask("POST", "b/", ("content-type", content_type)), Ok(PostObject));
    }
    // A sub-resource still decides first, and a form on a key is no operation.
    let form = ("content-type", "multipart/form-data; boundary=x");
    assert_eq!(ask("POST", "b/?delete", form), Ok(DeleteMultipleObjects));
    assert_eq!(ask("POST", "b/k", form).unwrap_err().code(), ErrorCode::InvalidArgument);
    for other in ["", "text/plain", "multipart/form-datax", "application/x-www-form-urlencoded"] {
        let refusal = ask("POST", "b/", ("content-type", other)).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::RequestIsNotMultiPartContent, "{other}");
    }
}

#[test]
fn half_the_address_of_a_part_is_refused_and_never_a_put() {
    for (target, missing) in [
        ("b/k?uploadId=X", "partNumber"),
        ("b/k?uploadId=X&partNumber=", "partNumber"),
        ("b/k?uploadId", "partNumber"),
        ("b/k?partNumber=1", "uploadId"),
    ] {
        for header in ["", "x-oss-copy-source"] {
            let refusal = ask("PUT", target, (header, "/b/k")).unwrap_err();
            assert_eq!(refusal.code(), ErrorCode::InvalidArgument, "{target}");
            assert_eq!(refusal.message(), "Unexpected query string parameter");
            assert_eq!(refusal.ec(), Some("0017-00000219"));
            assert!(refusal.fields().contains(&("ArgumentValue", missing.to_owned())));
        }
    }
}

#[test]
fn a_post_on_a_key_without_a_sub_resource_says_what_it_does_not_support() {
    for (target, message) in [
        ("b/k", "operation not support post: "),
        ("b/k?test", "operation not support post: test"),
        ("b/k?position=0", "operation not support post: position"),
    ] {
        let refusal = plain("POST", target).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::InvalidArgument);
        assert_eq!(refusal.message(), message);
    }
}

#[test]
fn a_known_sub_resource_never_falls_through() {
    let plain_operations = [
        ListBuckets,
        PutBucket,
        DeleteBucket,
        HeadBucket,
        ListObjects,
        ListObjectsV2,
        PutObject,
        CopyObject,
        GetObject,
        HeadObject,
        DeleteObject,
        PostObject,
    ];
    let sub_resources: Vec<&str> = ROWS
        .iter()
        .filter(|(_, _, _, operation)| !plain_operations.contains(operation))
        .filter_map(|(_, target, _, _)| target.split_once('?'))
        .map(|(_, query)| query)
        // Empty on a read it is an optional parameter that was not set.
        .filter(|query| *query != "x-oss-process")
        .chain(["agenticBucket&status", "putVectorIndex", "queryVectors"])
        .collect();
    for query in sub_resources {
        for path in ["/", "b/", "b/k"] {
            for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
                for header in ["", "x-oss-copy-source", "content-type"] {
                    let target = format!("{path}?{query}");
                    let value = "multipart/form-data";
                    match ask(method, &target, (header, value)) {
                        Ok(operation) => assert!(
                            !plain_operations.contains(&operation),
                            "{method} {target} became {operation}"
                        ),
                        Err(refusal) => assert!(
                            matches!(refusal.status(), 400 | 405),
                            "{method} {target}: {refusal}"
                        ),
                    }
                }
            }
        }
    }
}

#[test]
fn a_known_sub_resource_with_another_method_is_refused_by_name() {
    for (method, target, resource) in [
        ("PUT", "b/?replication", "replication"),
        ("POST", "b/?replication&comp=other", "replication"),
        ("DELETE", "b/?uploads", "uploads"),
        ("POST", "b/?acl", "acl"),
        ("HEAD", "b/?acl", "acl"),
        ("DELETE", "b/k?acl", "acl"),
        ("GET", "b/k?append", "append"),
        ("PUT", "b/k?lifecycle", "lifecycle"),
        ("GET", "b/?append", "append"),
        ("GET", "/?acl", "acl"),
        ("PUT", "/", "Service"),
        ("HEAD", "/", "Service"),
        ("PATCH", "b/", "Bucket"),
        ("get", "b/k", "Object"),
    ] {
        let refusal = plain(method, target).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::MethodNotAllowed, "{method} {target}");
        assert_eq!(
            refusal.fields(),
            [("Method", method.to_owned()), ("ResourceType", resource.to_owned())]
        );
    }
    let foreign = plain("PUT", "b/?agenticBucket").unwrap_err();
    assert_eq!((foreign.code(), foreign.status()), (ErrorCode::NotImplemented, 400));
    assert!(foreign.message().contains("agenticBucket"));
}

#[test]
fn names_of_sub_resources_are_case_sensitive() {
    assert_eq!(plain("GET", "b/?ACL"), Ok(ListObjects));
    assert_eq!(plain("GET", "b/?bucketinfo"), Ok(ListObjects));
    assert_eq!(plain("GET", "b/?accessMonitor"), Ok(ListObjects));
}

#[test]
fn a_preflight_without_a_bucket_is_forbidden() {
    assert_eq!(plain("OPTIONS", "/").unwrap_err().code(), ErrorCode::AccessForbidden);
}
