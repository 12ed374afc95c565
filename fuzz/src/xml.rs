//! XML: the bodies of requests, and of answers as the client reads them.

use std::fmt::Debug;

use ossia_protocol::{
    error::{parse_error_xml, parse_x_oss_err},
    xml::{
        AccessControlPolicy, CopyObjectOutput, CreateBucketConfiguration, DeleteObjectsInput,
        DeleteObjectsOutput, Element, Limits, ListBucketsOutput, ListObjectsOutput,
        ListObjectsV2Output, VersioningConfiguration,
    },
};

pub(crate) fn run(data: &[u8]) {
    tree(data);
    document(data, DeleteObjectsInput::parse, DeleteObjectsInput::to_xml);
    document(data, DeleteObjectsOutput::parse, DeleteObjectsOutput::to_xml);
    document(data, CreateBucketConfiguration::parse, CreateBucketConfiguration::to_xml);
    document(data, CopyObjectOutput::parse, CopyObjectOutput::to_xml);
    document(data, ListBucketsOutput::parse, ListBucketsOutput::to_xml);
    document(data, ListObjectsOutput::parse, ListObjectsOutput::to_xml);
    document(data, ListObjectsV2Output::parse, ListObjectsV2Output::to_xml);
    document(data, AccessControlPolicy::parse, AccessControlPolicy::to_xml);
    document(data, VersioningConfiguration::parse, VersioningConfiguration::to_xml);
    let _ = (parse_error_xml(data), parse_x_oss_err(data));
}

/// What is read and written again reads the same. The writer puts U+FFFD in the place of characters that XML cannot hold, while the
/// reader, which must understand other services, lets them pass: with them it takes one turn more.
fn document<T: PartialEq + Debug, E: Debug>(
    data: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, E>,
    write: impl Fn(&T) -> String,
) {
    let Ok(found) = parse(data) else { return };
    let again = |found: &T| {
        let text = write(found);
        parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {text}"))
    };
    let mut once = again(&found);
    if data.iter().all(|byte| (b' '..0xe0).contains(byte)) && !data.contains(&b'&') {
        assert_eq!(once, found);
    } else {
        once = again(&once);
    }
    assert_eq!(again(&once), once);
}

/// A tree holds no more than its document, whatever entities that names, and keeps to its limits.
fn tree(data: &[u8]) {
    let limits = Limits { bytes: 1 << 20, depth: 8, elements: 50 };
    let Ok(root) = Element::parse(data, limits) else { return };
    let (depth, elements, bytes) = measure(&root);
    assert!(depth <= limits.depth && elements <= limits.elements);
    assert!(bytes <= data.len(), "{bytes} of {}", data.len());
}

fn measure(element: &Element) -> (usize, usize, usize) {
    let own = (0, 1, element.text.len() + element.name.len());
    let (depth, elements, bytes) = element
        .children
        .iter()
        .map(measure)
        .fold(own, |sum, child| (sum.0.max(child.0), sum.1 + child.1, sum.2 + child.2));
    (depth + 1, elements, bytes)
}
