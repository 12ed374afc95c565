//! Everything that is read of a request besides its signature and its body.

use std::collections::HashSet;

use ossia_protocol::{
    attributes::{self, CopySource, ObjectAttributes, Tags},
    conditions::Conditions,
    error::OssError,
    etag,
    names::{BucketName, ObjectKey},
    operation::{Operation, RequestShape, dispatch},
    query::{MAX_PARAMETERS, Query},
    range::{RangeBehavior, RangeDecision, decide},
    time, uri,
};

use crate::input::Request;

pub(crate) fn run(data: &[u8]) {
    let Some(request) = Request::parse(data) else { return };
    bytes(data);
    query(&request);
    names(&request);
    operation(&request);
    headers(&request);
    for value in [data, request.header("date").unwrap_or_default()] {
        times(value);
    }
}

fn bytes(data: &[u8]) {
    assert_eq!(uri::decode(uri::encode(data).as_bytes()), data);
    assert_eq!(uri::decode(uri::encode_path(data).as_bytes()), data);
    assert!(uri::decode(data).len() <= data.len());
}

fn query(request: &Request) {
    let query = &request.query;
    assert!(query.len() <= MAX_PARAMETERS);
    let wire = query.to_wire();
    let again = Query::parse(wire.as_bytes());
    assert!(again.is_ok_and(|again| again == *query), "{:?} and {wire:?}", request.raw_query);
    for parameter in query.iter() {
        let Some(name) = parameter.name_str() else { continue };
        assert!(query.has(name) && query.first(name).is_some());
    }
}

fn names(request: &Request) {
    let target = &request.target;
    assert!(!target.resource().is_empty());
    if let Some(name) = target.bucket_str().and_then(|name| BucketName::new(name).ok()) {
        assert!((3..=63).contains(&name.as_str().len()));
        assert!(name.as_str().bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')));
    }
    if let Some(key) = &target.key {
        let valid = ObjectKey::from_bytes(key);
        assert!(valid.as_ref().map_or(true, |valid| valid.as_bytes() == &key[..]));
        assert_eq!(valid.ok(), target.key_str().and_then(|key| ObjectKey::new(key).ok()));
    }
}

fn operation(request: &Request) {
    let (has_bucket, has_key) = (request.target.bucket.is_some(), request.target.key.is_some());
    let header = |name: &str| request.header(name);
    let ask = || -> Result<Operation, OssError> {
        dispatch(&RequestShape {
            method: &request.method,
            has_bucket,
            has_key,
            query: &request.query,
            header: &header,
        })
    };
    match (ask(), ask()) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => {
            assert_eq!(one.code(), other.code());
            shown(&one);
        }
        _ => panic!("a request means one thing"),
    }
}

/// An error must be able to be told, whatever a client put into it.
fn shown(error: &OssError) {
    let document = error.to_xml("id", "host");
    let told = ossia_protocol::error::parse_error_xml(document.as_bytes());
    assert!(told.is_some_and(|told| told.code == error.code().as_str()), "{document}");
}

fn told<T>(result: Result<T, OssError>) -> Option<T> {
    result.inspect_err(shown).ok()
}

fn headers(request: &Request) {
    let headers = &request.headers;
    let _ = told(ObjectAttributes::parse(headers));
    let _ = told(attributes::storage_class(headers));
    let _ = told(attributes::object_acl(headers));
    let _ = told(attributes::bucket_acl(headers));
    let _ = told(attributes::content_md5(headers));
    let _ = told(attributes::hash_crc64(headers));
    let _ = told(attributes::forbid_overwrite(headers));
    let _ = told(attributes::encryption(headers));
    let _ = told(attributes::refuse_conditions(headers));
    let _ = told(attributes::traffic_limit(headers, &request.query));
    let _ = told(attributes::metadata_directive(headers));
    let _ = told(attributes::tagging_directive(headers));
    if let Some(Some(source)) = told(CopySource::from_headers(headers)) {
        let line = [("x-oss-copy-source", source.to_header())].into_iter().collect();
        assert_eq!(told(CopySource::from_headers(as_headers(&line))), Some(Some(source)));
    }
    if let Some(Some(tags)) = told(Tags::from_headers(headers)) {
        let keys: HashSet<&str> = tags.as_slice().iter().map(|tag| tag.key.as_str()).collect();
        assert_eq!(keys.len(), tags.as_slice().len(), "no key twice");
        let line = [("x-oss-tagging", tags.to_header())].into_iter().collect();
        if !tags.is_empty() {
            assert_eq!(told(Tags::from_headers(as_headers(&line))), Some(Some(tags)));
        }
    }
    let length = request.body.len() as u64;
    for behavior in [RangeBehavior::Lenient, RangeBehavior::from_header(Some(b"standard"))] {
        if let RangeDecision::Partial { first, last } =
            decide(request.header("range"), behavior, length)
        {
            assert!(first <= last && last < length, "{first}-{last} of {length}");
        }
    }
    let etag = etag::from_md5(&[7; 16]);
    for conditions in [
        Conditions::of_object(|name| request.header(name)),
        Conditions::of_copy_source(|name| request.header(name)),
    ] {
        assert_eq!(conditions.evaluate(&etag, 1_000), conditions.evaluate(&etag, 1_000));
    }
}

fn as_headers(list: &ossia_protocol::auth::HeaderList) -> &ossia_protocol::auth::HeaderList {
    list
}

fn times(value: &[u8]) {
    let Ok(text) = std::str::from_utf8(value) else { return };
    if let Some(time) = time::parse_http_date(text).filter(|time| time::FORMATTABLE.contains(time))
    {
        assert_eq!(time::parse_http_date(&time::http_date(time)), Some(time));
    }
    if let Some(time) = time::parse_compact(text).filter(|time| time::FORMATTABLE.contains(time)) {
        assert_eq!(time::parse_compact(&time::compact(time)), Some(time));
    }
    if let Some(time) = time::parse_iso8601(text).filter(|time| time::FORMATTABLE.contains(time)) {
        assert_eq!(time::parse_iso8601(&time::iso_seconds(time)), Some(time));
    }
}
