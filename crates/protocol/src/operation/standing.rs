//! Where each operation stands: how much it matters, which clients send it, and what this server does with it.
//!
//! The one list that `docs/COMPAT.md` is made of. A server's tests hold it against what the server answers, and the SDK suites
//! against what they have really done, so a line that is turned here without the thing behind it fails.

use super::Operation::{self, *};

/// What a server does when it is asked for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All of it.
    Done,
    /// It answers, and this is missing.
    Partial(&'static str),
    /// 400 `NotImplemented`, for this reason.
    Refused(&'static str),
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// 0 is what every program needs, 3 what has a meaning inside Alibaba's cloud alone.
    pub priority: u8,
    /// A letter for each official client that can send it, see [`CLIENTS`].
    pub clients: &'static str,
    /// What is answered.
    pub state: State,
}

/// The letters of [`Standing::clients`] whose client the suites drive, with the name under which they tell it. H is an SDK for
/// which there is no suite. The Java SDK has no letter: it counts wherever it was seen.
pub const CLIENTS: [(char, &str); 5] =
    [('N', "ali-oss"), ('P', "oss2"), ('Q', "python-v2"), ('G', "go-v1"), ('V', "go-v2")];

const REGIONS: &str = "needs more than one region";
const DOMAINS: &str = "names are bound to buckets by `--cname`, certificates by a proxy in front";
const SEARCH: &str = "a search index of the cloud";
const MEDIA: &str = "image and media processing of the cloud";
const STREAMS: &str = "needs an RTMP ingest server";
const TRAFFIC: &str = "the cloud's shares of bandwidth";
const POOLS: &str = "the cloud's resource pools";
const ENDPOINTS: &str = "the cloud's access points";
const PLACEMENT: &str = "where the cloud keeps copies; here the disk decides";
const HIERARCHY: &str = "buckets with a hierarchy of folders, which the cloud has withdrawn";

impl Operation {
    /// Where this operation stands. The match is complete, so that one which becomes known must be given a line.
    pub const fn standing(self) -> Standing {
        match self {
            // Service.
            ListBuckets => done(0, "NHPQGV"),
            DescribeRegions => done(2, "HPQGV"),
            PutPublicAccessBlock => done(2, "PQV"),
            GetPublicAccessBlock => done(2, "PQV"),
            DeletePublicAccessBlock => done(2, "PQV"),
            GetUserQoSInfo => refused(3, "PG", TRAFFIC),
            ListUserDataRedundancyTransition => refused(3, "PQV", PLACEMENT),
            ListCloudBoxes => refused(3, "QGV", "hardware of the cloud"),
            ListAccessPoints => refused(3, "PQV", ENDPOINTS),
            ListAccessPointsForObjectProcess => refused(3, "V", ENDPOINTS),
            WriteGetObjectResponse => refused(3, "PV", ENDPOINTS),
            ListResourcePools
            | GetResourcePoolInfo
            | ListResourcePoolBuckets
            | PutResourcePoolRequesterQoSInfo
            | GetResourcePoolRequesterQoSInfo
            | ListResourcePoolRequesterQoSInfos
            | DeleteResourcePoolRequesterQoSInfo => refused(3, "P", POOLS),

            // Buckets.
            PutBucket => done(0, "NHPQGV"),
            DeleteBucket => done(0, "NHPQGV"),
            HeadBucket => done(0, ""),
            ListObjects => done(0, "NHPQGV"),
            ListObjectsV2 => done(0, "NHPQGV"),
            ListObjectVersions => done(1, "NHPQGV"),
            ListMultipartUploads => done(0, "NHPQGV"),
            DeleteMultipleObjects => done(0, "NHPQGV"),
            PostObject => done(1, ""),
            GetBucketInfo => done(0, "NHPQGV"),
            GetBucketLocation => done(0, "NHPQGV"),
            PutBucketAcl => done(0, "NHPQGV"),
            GetBucketAcl => done(0, "NHPQGV"),
            GetBucketStat => done(1, "NHPQGV"),
            PutBucketVersioning => done(1, "NHPQGV"),
            GetBucketVersioning => done(1, "NHPQGV"),
            PutBucketLifecycle => done(1, "NPQGV"),
            GetBucketLifecycle => done(1, "NPQGV"),
            DeleteBucketLifecycle => done(1, "NPQGV"),
            PutBucketCors => done(1, "NPQGV"),
            GetBucketCors => done(1, "NPQGV"),
            DeleteBucketCors => done(1, "NPQGV"),
            PutBucketPolicy => done(1, "NPQGV"),
            GetBucketPolicy => done(1, "NPQGV"),
            DeleteBucketPolicy => done(1, "NPQGV"),
            GetBucketPolicyStatus => done(1, "QV"),
            PutBucketTags => done(1, "NPQGV"),
            GetBucketTags => done(1, "NPQGV"),
            DeleteBucketTags => done(1, "NPQGV"),
            PutBucketReferer => done(1, "NHPQGV"),
            GetBucketReferer => done(1, "NHPQGV"),
            PutBucketWebsite => partial(
                2,
                "NPQGV",
                "rules of type `Mirror` are kept and not acted on: a reader of a site whom one concerns gets 424 MirrorFailed",
            ),
            GetBucketWebsite => done(2, "NPQGV"),
            DeleteBucketWebsite => done(2, "NPQGV"),
            PutBucketLogging => done(2, "NPQGV"),
            GetBucketLogging => done(2, "NPQGV"),
            DeleteBucketLogging => done(2, "NPQGV"),
            PutBucketEncryption => {
                partial(2, "NPQGV", "AES256 really encrypts; KMS and SM4 are refused")
            }
            GetBucketEncryption => done(2, "NPQGV"),
            DeleteBucketEncryption => done(2, "NPQGV"),
            PutBucketRequestPayment => done(2, "NPQGV"),
            GetBucketRequestPayment => done(2, "NPQGV"),
            PutBucketInventory => done(2, "NPQGV"),
            GetBucketInventory => done(2, "NPQGV"),
            ListBucketInventory => done(2, "NPQGV"),
            DeleteBucketInventory => done(2, "NPQGV"),
            InitiateBucketWorm => done(2, "NPQGV"),
            AbortBucketWorm => done(2, "NPQGV"),
            CompleteBucketWorm => done(2, "NPQGV"),
            ExtendBucketWorm => done(2, "NPQGV"),
            GetBucketWorm => done(2, "NPQGV"),
            PutBucketObjectWormConfiguration => done(2, "QV"),
            GetBucketObjectWormConfiguration => done(2, "QV"),
            PutBucketOverwriteConfig => done(2, "QV"),
            GetBucketOverwriteConfig => done(2, "QV"),
            DeleteBucketOverwriteConfig => done(2, "QV"),
            PutBucketPublicAccessBlock => done(2, "PQV"),
            GetBucketPublicAccessBlock => done(2, "PQV"),
            DeleteBucketPublicAccessBlock => done(2, "PQV"),
            PutBucketStorageQuota => done(2, "QV"),
            GetBucketStorageQuota => done(2, "QV"),
            DeleteBucketStorageQuota => done(2, "QV"),
            PutBucketAccessMonitor => {
                refused(3, "PQGV", "when objects were last read is not recorded")
            }
            GetBucketAccessMonitor => done(3, "PQGV"),
            ListLiveChannel => done(3, "NPG"),
            PutBucketTransferAcceleration | GetBucketTransferAcceleration => {
                refused(3, "PQGV", REGIONS)
            }
            DeleteBucketTransferAcceleration => refused(3, "G", REGIONS),
            PutBucketResourceGroup | GetBucketResourceGroup => {
                refused(3, "PQGV", "groups of the cloud's console")
            }
            PutBucketReplication
            | GetBucketReplication
            | DeleteBucketReplication
            | GetBucketReplicationLocation
            | GetBucketReplicationProgress
            | PutBucketRTC => refused(3, "PQGV", REGIONS),
            PutStyle | GetStyle | ListStyle | DeleteStyle => refused(3, "PQGV", MEDIA),
            PutCname | ListCname | DeleteCname | CreateCnameToken | GetCnameToken => {
                refused(3, "PQGV", DOMAINS)
            }
            OpenMetaQuery | GetMetaQueryStatus | DoMetaQuery | CloseMetaQuery => {
                refused(3, "PQGV", SEARCH)
            }
            DoMetaQueryAction | DoDataPipelineAction => refused(3, "QV", SEARCH),
            PutBucketArchiveDirectRead | GetBucketArchiveDirectRead => {
                refused(3, "PQV", "classes of storage are labels here")
            }
            PutBucketHttpsConfig | GetBucketHttpsConfig => refused(3, "PQV", DOMAINS),
            CreateBucketDataRedundancyTransition
            | GetBucketDataRedundancyTransition
            | ListBucketDataRedundancyTransition
            | DeleteBucketDataRedundancyTransition => refused(3, "PQV", PLACEMENT),
            CreateAccessPoint
            | GetAccessPoint
            | DeleteAccessPoint
            | ListBucketAccessPoints
            | PutAccessPointPolicy
            | GetAccessPointPolicy
            | DeleteAccessPointPolicy
            | PutAccessPointPublicAccessBlock
            | GetAccessPointPublicAccessBlock
            | DeleteAccessPointPublicAccessBlock => refused(3, "PQV", ENDPOINTS),
            CreateAccessPointForObjectProcess
            | GetAccessPointForObjectProcess
            | DeleteAccessPointForObjectProcess
            | PutAccessPointConfigForObjectProcess
            | GetAccessPointConfigForObjectProcess
            | PutAccessPointPolicyForObjectProcess
            | GetAccessPointPolicyForObjectProcess
            | DeleteAccessPointPolicyForObjectProcess => refused(3, "V", ENDPOINTS),
            PutUserDefinedLogFieldsConfig
            | GetUserDefinedLogFieldsConfig
            | DeleteUserDefinedLogFieldsConfig => refused(3, "QV", "the cloud's log service"),
            PutBucketCallbackPolicy | GetBucketCallbackPolicy | DeleteBucketCallbackPolicy => {
                refused(3, "P", "a callback is named by the request itself")
            }
            PutBucketQoSInfo | GetBucketQoSInfo | DeleteBucketQoSInfo => refused(3, "PG", TRAFFIC),
            PutBucketRequesterQoSInfo
            | GetBucketRequesterQoSInfo
            | ListBucketRequesterQoSInfos
            | DeleteBucketRequesterQoSInfo => refused(3, "P", TRAFFIC),
            PutBucketStorageCapacity | GetBucketStorageCapacity => {
                refused(3, "", "the old form of the storage quota, which is served")
            }
            PutBucketResponseHeader | GetBucketResponseHeader | DeleteBucketResponseHeader => {
                refused(3, "G", "rules of the cloud's gateways")
            }
            PutAsyncFetchTask | GetAsyncFetchTask => refused(
                3,
                "NPG",
                "a server that fetches what it is told to is a way into its network",
            ),
            CreateBucketMetadataConfiguration
            | GetBucketMetadataConfiguration
            | DeleteBucketMetadataConfiguration
            | UpdateBucketMetadataInventoryTableConfiguration
            | UpdateBucketMetadataJournalTableConfiguration => {
                refused(3, "Q", "tables of the cloud's analytics")
            }

            // Objects.
            PutObject => done(0, "NHPQGV"),
            AppendObject => done(0, "NHPQGV"),
            SealAppendObject => done(0, "QV"),
            GetObject => done(0, "NHPQGV"),
            HeadObject => done(0, "NHPQGV"),
            GetObjectMeta => done(0, "NHPQGV"),
            CopyObject => done(0, "NHPQGV"),
            DeleteObject => done(0, "NHPQGV"),
            OptionObject => done(1, "QGV"),
            InitiateMultipartUpload => done(0, "NHPQGV"),
            UploadPart => done(0, "NHPQGV"),
            UploadPartCopy => done(0, "NHPQGV"),
            CompleteMultipartUpload => done(0, "NHPQGV"),
            AbortMultipartUpload => done(0, "NHPQGV"),
            ListParts => done(0, "NHPQGV"),
            PutObjectAcl => done(1, "NHPQGV"),
            GetObjectAcl => done(1, "NHPQGV"),
            PutObjectTagging => done(1, "NHPQGV"),
            GetObjectTagging => done(1, "NHPQGV"),
            DeleteObjectTagging => done(1, "NHPQGV"),
            PutSymlink => done(1, "NHPQGV"),
            GetSymlink => done(1, "NHPQGV"),
            RestoreObject => done(2, "NHPQGV"),
            CleanRestoredObject => done(2, "HQV"),
            PutObjectRetention => done(2, "QV"),
            GetObjectRetention => done(2, "QV"),
            PutObjectLegalHold => done(2, "QV"),
            GetObjectLegalHold => done(2, "QV"),
            SelectObject | CreateSelectObjectMeta => {
                refused(3, "PQGV", "queries over CSV and JSON in the cloud")
            }
            ProcessObject | AsyncProcessObject => refused(3, "NHPQGV", MEDIA),
            CreateDirectory | Rename | DeleteDirectory => refused(3, "", HIERARCHY),
            PutLiveChannel
            | GetLiveChannelInfo
            | GetLiveChannelStat
            | GetLiveChannelHistory
            | PutLiveChannelStatus
            | DeleteLiveChannel
            | PostVodPlaylist => refused(3, "NPG", STREAMS),
            GetVodPlaylist => refused(3, "PG", STREAMS),
        }
    }
}

const fn done(priority: u8, clients: &'static str) -> Standing {
    Standing { priority, clients, state: State::Done }
}

const fn partial(priority: u8, clients: &'static str, missing: &'static str) -> Standing {
    Standing { priority, clients, state: State::Partial(missing) }
}

const fn refused(priority: u8, clients: &'static str, reason: &'static str) -> Standing {
    Standing { priority, clients, state: State::Refused(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_to_programs_is_not_refused_for_good() {
        for operation in Operation::ALL {
            let standing = operation.standing();
            assert!(standing.priority <= 3, "{operation}");
            let letters = "NHPQGV".chars().filter(|letter| standing.clients.contains(*letter));
            assert_eq!(letters.collect::<String>(), standing.clients, "{operation}");
            if let State::Refused(reason) = standing.state {
                assert_eq!(standing.priority, 3, "{operation}: {reason}");
            }
            if let State::Partial(text) | State::Refused(text) = standing.state {
                assert!(!text.is_empty() && !text.contains(['|', '\n']), "{operation}: {text}");
            }
        }
    }
}
