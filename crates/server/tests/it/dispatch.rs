//! Operations that are not built answer NotImplemented with their name, and nothing falls through to another one.

use std::collections::BTreeMap;

use ossia_protocol::{
    operation::{Operation, RequestShape, State, dispatch},
    query::Query,
};

use crate::drive::*;

const SUB_RESOURCES: &str = "accessPoint accessPointConfigForObjectProcess accessPointForObjectProcess \
    accessPointPolicy accessPointPolicyForObjectProcess accessmonitor acl append asyncFetch \
    bucketArchiveDirectRead bucketInfo cleanRestoredObject cloudboxes cname cors dataPipeline delete \
    encryption httpsConfig inventory legalHold lifecycle live location logging metaQuery metadataConfiguration \
    metadataInventoryTable metadataJournalTable objectMeta objectWorm overwriteConfig policy policyStatus \
    publicAccessBlock qos qosInfo quota redundancyTransition referer regions replication replicationLocation \
    replicationProgress requestPayment requesterQosInfo resourceGroup resourcePool resourcePoolBuckets \
    resourcePoolInfo responseHeader restore retention rtc seal stat style symlink tagging transferAcceleration \
    uploadId=x uploads userDefinedLogFieldsConfig versioning versions vod website worm wormExtend wormId=x \
    x-oss-async-process x-oss-delete x-oss-dir x-oss-process=image/info x-oss-process=csv/select \
    x-oss-process=csv/meta x-oss-rename x-oss-write-get-object-response list-type=2";

const EXTRAS: &[&str] = &[
    "",
    "comp=add",
    "comp=callback",
    "comp=delete",
    "comp=history",
    "comp=query",
    "comp=stat",
    "comp=token",
    "action=x",
    "inventoryId=x",
    "partNumber=1",
    "qosRequester=x",
    "status=enabled",
    "styleName=x",
    "x-oss-access-point-name=x",
    "x-oss-redundancy-transition-taskid=x",
];

const HEADERS: &[Option<(&str, &str)>] = &[
    None,
    Some(("x-oss-copy-source", "/bkt/key")),
    Some(("x-oss-access-point-name", "x")),
    Some(("content-type", "multipart/form-data; boundary=x")),
];

/// One request for every operation, found by trying all combinations.
pub fn one_of_each() -> BTreeMap<&'static str, (Operation, Call)> {
    let mut found = BTreeMap::new();
    let mut queries = vec![String::new()];
    for sub in SUB_RESOURCES.split_whitespace() {
        queries.extend(EXTRAS.iter().map(|extra| match *extra {
            "" => sub.to_owned(),
            extra => format!("{sub}&{extra}"),
        }));
    }
    for path in ["/", "/bkt/", "/bkt/key"] {
        for query in &queries {
            for method in ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS"] {
                for header in HEADERS {
                    let parsed = Query::parse(query.as_bytes()).unwrap();
                    let shape = RequestShape {
                        method,
                        has_bucket: path != "/",
                        has_key: path == "/bkt/key",
                        query: &parsed,
                        header: &|name| {
                            header.filter(|(n, _)| *n == name).map(|(_, value)| value.as_bytes())
                        },
                    };
                    let Ok(operation) = dispatch(&shape) else { continue };
                    found.entry(operation.name()).or_insert_with(|| {
                        let target = if query.is_empty() {
                            path.to_owned()
                        } else {
                            format!("{path}?{query}")
                        };
                        let mut request = call(method, &target);
                        if matches!(method, "PUT" | "POST") {
                            request = request.body("body");
                        }
                        if let Some((name, value)) = header {
                            request = request.header(name, value);
                        }
                        (operation, request)
                    });
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn every_operation_that_is_not_built_is_refused_by_name_and_changes_nothing() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("content")).await.expect(200);
    let found = one_of_each();
    let mut refused = 0;
    for operation in Operation::ALL {
        let (_, request) = found
            .get(operation.name())
            .unwrap_or_else(|| panic!("no request found that means {operation}"));
        let State::Refused(_) = operation.standing().state else { continue };
        let to_head = request.method == "HEAD";
        let answer = fixture.call(request.clone()).await;
        if to_head {
            assert_eq!(answer.status, 400, "{operation}");
            continue;
        }
        let told = answer.error(400, "NotImplemented").element("Message").unwrap();
        assert_eq!(told, format!("The operation {operation} is not implemented."));
        refused += 1;
    }
    assert!(refused > 90, "{refused}");
    let list = fixture.call(get("/")).await.expect(200);
    assert_eq!(list.elements("Name"), ["bkt"]);
    let list = fixture.call(get("/bkt/")).await.expect(200);
    assert_eq!(list.elements("Key"), ["key"]);
    assert_eq!(fixture.call(get("/bkt/key")).await.text(), "content");
}

#[tokio::test]
async fn no_operation_that_is_stated_done_is_refused_as_not_implemented() {
    for (operation, request) in one_of_each().into_values() {
        if let State::Refused(_) = operation.standing().state {
            continue;
        }
        // Of each its own server: some of them remove the bucket.
        let fixture = Fixture::with_bucket().await;
        let answer = fixture.call(request).await;
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        let refused = format!("The operation {operation} is not implemented.");
        assert!(!told.contains(&refused), "{operation}: {told}");
        // An answer to HEAD has no body that would say so, and no other reason to be 400.
        assert!(answer.status != 400 || !answer.body.is_empty(), "{operation}: {answer:?}");
    }
}

#[tokio::test]
async fn a_part_without_its_number_is_never_an_object() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key?uploadId=x").body("part")).await.error(400, "InvalidArgument");
    fixture.call(put("/bkt/key?partNumber=1").body("part")).await.error(400, "InvalidArgument");
    fixture.call(head("/bkt/key")).await.expect(404);
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key?x-unknown=1&other").body("x")).await.expect(200);
    fixture.call(get("/bkt/key?x-oss-unknown=1")).await.expect(200);
}

#[tokio::test]
async fn methods_that_nothing_has_are_405() {
    let fixture = Fixture::with_bucket().await;
    for method in ["PATCH", "TRACE", "BREW"] {
        let refused = fixture.call(call(method, "/bkt/key")).await.error(405, "MethodNotAllowed");
        assert_eq!(refused.element("Method").as_deref(), Some(method));
    }
    fixture.call(put("/")).await.error(405, "MethodNotAllowed");
    fixture.call(delete("/bkt/key?append")).await.error(405, "MethodNotAllowed");
}

#[tokio::test]
async fn a_preflight_is_refused_as_without_any_rule() {
    let fixture = Fixture::with_bucket().await;
    let preflight = || call("OPTIONS", "/bkt/key").anonymous();
    let no_origin = fixture.call(preflight()).await.error(400, "BadRequest");
    assert_eq!(
        no_origin.element("Message").unwrap(),
        "Insufficient information. Origin request header needed."
    );
    let no_method = preflight().header("origin", "http://x");
    let no_method = fixture.call(no_method).await.error(400, "BadRequest");
    assert_eq!(
        no_method.element("Message").unwrap(),
        "Insufficient information. Request Access-Control-Request-Method header needed."
    );
    let whole =
        preflight().header("origin", "http://x").header("access-control-request-method", "POST");
    let refused = fixture.call(whole).await.error(403, "AccessForbidden");
    assert!(refused.element("Message").unwrap().ends_with("CORS spec."));
}

#[tokio::test]
async fn a_form_upload_is_not_taken_for_anything_else() {
    let fixture = Fixture::with_bucket().await;
    let form = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--x--\r\n";
    let call = post("/bkt/")
        .body(form)
        .header("content-type", "multipart/form-data; boundary=x")
        .anonymous();
    fixture.call(call).await.error(400, "IncorrectNumberOfFilesInPOSTRequest");
}
