//! The closed list of error codes.

/// Declares [`ErrorCode`]: the code as it stands on the wire, its status, its default message, and its EC where it has only one.
macro_rules! codes {
    ($($code:ident $status:literal $message:literal $(, $ec:literal)? ;)*) => {
        /// A code of OSS, spelled as it stands on the wire. Status and default message belong to it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the message beside each code says what it means")]
        pub enum ErrorCode { $($code),* }

        impl ErrorCode {
            /// Every code, in the order of the catalogue.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$code),*];

            /// The text inside `<Code>`.
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$code => stringify!($code)),* }
            }

            /// The HTTP status that goes with the code.
            pub const fn status(self) -> u16 {
                match self { $(ErrorCode::$code => $status),* }
            }

            /// The usual message. Where OSS has several the first of the catalogue stands here.
            pub const fn message(self) -> &'static str {
                match self { $(ErrorCode::$code => $message),* }
            }

            /// The fine-grained code, for codes that have a single one wherever they occur.
            pub const fn ec(self) -> Option<&'static str> {
                match self { $(ErrorCode::$code => codes!(@ec $($ec)?)),* }
            }
        }
    };
    (@ec) => { None };
    (@ec $ec:literal) => { Some($ec) };
}

codes! {
    // The object was stored, the callback failed: the one error inside 2xx.
    CallbackFailed 203
        "Error Status : -1.OSS can not connect to your callbackUrl, please check it.";
    // Bodiless: neither XML nor `x-oss-err` goes out with it.
    NotModified 304 "Not Modified";

    AppendSealedObjectNotAllowed 400 "The object is sealed and can not be appended.";
    BadRequest 400 "Insufficient information. Origin request header needed.";
    BucketReplicationAlreadyExist 400 "The replication rule already exists.";
    EntityTooLarge 400 "Your proposed upload exceeds the maximum allowed size.";
    EntityTooSmall 400 "Your proposed upload smaller than the minimum allowed size.";
    FieldItemTooLong 400 "Your name of form field is too long.";
    IllegalLocationConstraintException 400
        "The location constraint is not valid for this endpoint.";
    IncompleteBody 400
        "You did not provide the number of bytes specified by the Content-Length HTTP header.";
    IncorrectNumberOfFilesInPOSTRequest 400 "POST requires exactly one file upload per request.";
    InlineDataTooLarge 400 "Inline data exceeds the maximum allowed size.";
    InvalidArgument 400 "Invalid Argument. Parameter is invalid.";
    InvalidBucketName 400 "The specified bucket is not valid.";
    InvalidCRC64 400 "The x-oss-hash-crc64ecma you specified does not match what we calculated.";
    InvalidDataEncryptionAlgorithmError 400
        "The KMS Data Encryption request you specified is not valid. Supported value:SM4";
    InvalidDigest 400 "The Content-MD5 you specified was invalid.";
    InvalidEncryptionAlgorithmError 400
        "The Encryption request you specified is not valid. Supported value: AES256/KMS";
    InvalidEncryptionRequest 400 "The Encryption request you specified is not valid.";
    InvalidLocationConstraint 400 "The specified location-constraint is not valid.";
    InvalidObjectName 400 "The specified object is not valid.";
    InvalidPart 400
        "One or more of the specified parts could not be found or the specified entity tag \
         might not have matched the part's entity tag.";
    InvalidPartOrder 400
        "The list of parts was not in ascending order. Parts list must specified in order by \
         part number", "0042-00000209";
    InvalidPolicyDocument 400 "Invalid Policy: Invalid JSON.";
    InvalidRequest 400
        "Request specific response headers cannot be used for anonymous GET requests.";
    InvalidTag 400 "The TagKey you have provided is invalid.";
    InvalidTaggingKey 400 "The tagging key you provided is invalid.";
    InvalidTargetBucketForLogging 400
        "put bucket log requester is not target bucket owner.";
    InvalidTargetType 400 "The symbolic's target file type is invalid", "0026-00000011";
    InvalidWORMConfiguration 400 "The WORM Configuration is invalid.";
    InvalidXMLFormat 400 "The XML you provided was not well-formed.";
    InventoryExceedLimit 400 "The number of inventory configurations exceeds the limit.";
    KmsServiceNotEnabled 400 "This user does not turn on KMS service.";
    MalformedPOSTRequest 400
        "The body of your POST request is not well-formed multipart/form-data.";
    MalformedXML 400
        "The XML you provided was not well-formed or did not validate against our published \
         schema.";
    MaxPOSTPreDataLengthExceededError 400
        "Your POST request fields preceding the upload file were too large.";
    MissingArgument 400 "Missing Some Required Arguments.";
    NotImplemented 400 "A header you provided implies functionality that is not implemented.";
    NotSymlink 400 "The object is not symlink.";
    OperationNotSupported 400 "The operation is not supported for this resource";
    PartNotSequential 400 "The part is not uploaded in sequence.";
    RepeatedTags 400 "Tag keys must be unique.";
    RequestIsNotMultiPartContent 400
        "Bucket POST must be of the enclosure-type multipart/form-data.";
    RequestTimeout 400
        "Your socket connection to the server was not read from or written to within the \
         timeout period. Idle connections will be closed.";
    ResourceGroupIdPreCheckError 400 "The resource group id is not valid.";
    TooManyBuckets 400 "You have attempted to create more buckets than allowed.";
    TooManyCnameToken 400 "There are too many cname tokens.";
    TooManyTags 400 "There are too many tags.";

    AbnormalBucketOwnerStatus 403 "The status of the bucket owner is abnormal.";
    AccessDenied 403 "AccessDenied.";
    AccessForbidden 403
        "CORSResponse: This CORS request is not allowed. This is usually because the evalution \
         of Origin, request method / Access-Control-Request-Method or Access-Control-Requet-\
         Headers are not whitelisted by the resource's CORS spec.";
    AccessKeyIdAndSecurityTokenNotMatch 403
        "The OSS access key id and security token you provided does not match.", "0002-00000004";
    BucketDisable 403 "BucketDisable";
    BucketNotBelongTo 403 "The bucket you access does not belong to you.";
    InvalidAccessKeyId 403 "The OSS Access Key Id you provided does not exist in our records.";
    InvalidObjectState 403 "The operation is not valid for the object's state.";
    InvalidSecurityToken 403 "The security token you provided is invalid.", "0002-00000006";
    KmsInDebt 403 "KmsInDebt";
    NeedVerifyDomainOwnership 403 "The ownership of the domain must be verified.";
    NonStandardHostForbidden 403 "The host you used is not a name of this service.";
    PermanentRedirect 403
        "The bucket you are attempting to access must be addressed using the specified endpoint.";
    QuotaExceeded 403 "The storage quota of the bucket is exceeded.";
    RequestTimeTooSkewed 403
        "The difference between the request time and the current time is too large.",
        "0002-00000504";
    SecondLevelDomainForbidden 403
        "The bucket you are attempting to access must be addressed using OSS third level domain.";
    SecurityTokenExpired 403 "The security token you provided has expired.", "0002-00000007";
    SecurityTokenNotSupported 403 "This interface does not support security token.";
    SignatureDoesNotMatch 403
        "The request signature we calculated does not match the signature you provided. Check \
         your key and signing method.";
    TransferAccelerationDisabled 403 "Transfer acceleration is not enabled on this bucket.";
    UserDisable 403 "UserDisable", "0003-00000801";
    WORMConfigurationLocked 403 "The WORM Configuration is locked.";

    NoSuchBucket 404 "The specified bucket does not exist.", "0015-00000101";
    NoSuchBucketOverwriteConfig 404 "The overwrite configuration does not exist.";
    NoSuchBucketPolicy 404 "The specified bucket policy does not exist.";
    NoSuchCORSConfiguration 404 "The CORS Configuration does not exist.";
    NoSuchCname 404 "The specified cname does not exist.";
    NoSuchInventory 404 "No Row found in Inventory Table.";
    NoSuchKey 404 "The specified key does not exist.", "0026-00000001";
    NoSuchLifecycle 404 "No Row found in Lifecycle Table.";
    NoSuchLiveChannel 404 "The specified live channel does not exist.";
    NoSuchObjectRetention 404 "The object retention does not exist.";
    NoSuchObjectWormConfiguration 404 "The object worm configuration does not exist.";
    NoSuchQuotaConfiguration 404 "The quota configuration does not exist.";
    NoSuchRegion 404 "The specified region does not exist.";
    NoSuchReplicationConfiguration 404
        "The bucket you specified does not have replication configuration.";
    NoSuchReplicationRule 404 "The specified replication rule does not exist.";
    NoSuchServerSideEncryptionRule 404 "The server side encryption configuration was not found.";
    NoSuchStyle 404 "The specified style does not exist.";
    NoSuchTransferAccelerationConfiguration 404
        "The transfer acceleration configuration does not exist.";
    NoSuchUpload 404
        "The specified upload does not exist. The upload ID may be invalid, or the upload may \
         have been aborted or completed.";
    NoSuchVersion 404 "The specified version does not exist.";
    NoSuchWORMConfiguration 404 "The WORM Configuration does not exist.";
    NoSuchWebsiteConfiguration 404 "The specified bucket does not have a website configuration.";
    SymlinkTargetNotExist 404 "The symlink target object does not exist.";

    MethodNotAllowed 405 "The specified method is not allowed against this resource.";

    ArchiveRestoreNotFinished 409 "The archive file's restore is not finished.", "0016-00000719";
    BucketAlreadyExists 409
        "The requested bucket name is not available. The bucket namespace is shared by all \
         users of the system. Please select a different name and try again.", "0015-00000104";
    BucketNotEmpty 409 "The bucket has objects. Please delete them first.", "0015-00000301";
    ChannelStillLive 409 "The live channel is still live.";
    FileAlreadyExists 409 "The object you specified already exists and can not be overwritten.";
    FileImmutable 409 "The object you specified is immutable.";
    InventoryConfigurationAlreadyExists 409 "The inventory configuration already exists.";
    KeyDisabled 409 "The request was rejected because the key state is Disabled.";
    KeyPendingDeletion 409 "The request was rejected because the key state is PendingDeletion.";
    KeyPendingImport 409 "The request was rejected because the key state is PendingImport.";
    LiveChannelDisabled 409 "The live channel is disabled.";
    ObjectNotAppendable 409 "The object is not appendable.", "0026-00000017";
    // No full stop at the end: a client's test compares it literally.
    PositionNotEqualToLength 409 "Position is not equal to file length", "0026-00000016";
    RestoreAlreadyInProgress 409 "The restore operation is in progress.";
    WORMConfigurationAlreadyExists 409 "The WORM Configuration already exists.";

    MissingContentLength 411 "You must provide the Content-Length HTTP header.";
    PreconditionFailed 412 "At least one of the pre-conditions you specified did not hold.";
    InvalidRange 416 "The requested range cannot be satisfied.";
    MirrorFailed 424 "The mirror source can not be reached.";

    InternalError 500 "We encountered an internal error. Please try again.";

    ActiveRequestLimitExceeded 503 "Max active request limit is exceeded.";
    CpuLimitExceeded 503 "Cpu limit is exceeded.";
    DownloadTrafficRateLimitExceeded 503 "Please reduce your download request traffic.";
    MetaOperationQpsLimitExceeded 503 "Max meta operation qps limit is exceeded.";
    ServiceUnavailable 503 "Thread pool is almost full, please retry later.";
    TotalQpsLimitExceeded 503 "Max total qps limit is exceeded.";
    UploadTrafficRateLimitExceeded 503 "Please reduce your upload request traffic.";
}

impl ErrorCode {
    /// The code spelled so, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}
