//! What `fuzz/` needs to see of endpoints. Not an interface: it is there with the feature `fuzzing` alone.

use ossia_protocol::{
    names::{BucketName, ObjectKey},
    query::Query,
};

use crate::{Addressing, endpoint::Endpoint};

/// An endpoint, and addresses of buckets and objects behind it.
pub fn endpoint(text: &str, bucket: &str, key: &str, query: &[u8]) {
    let Ok(query) = Query::parse(query) else { return };
    let bucket = BucketName::new(bucket).ok();
    let key = ObjectKey::new(key).ok().filter(|_| bucket.is_some());
    for addressing in
        [Addressing::Auto, Addressing::Path, Addressing::VirtualHosted, Addressing::Cname]
    {
        let Ok(endpoint) = Endpoint::parse(text, addressing) else { continue };
        let address = endpoint.address(bucket.as_ref(), key.as_ref(), &query);
        assert!(address.uri.host().is_some() && !address.host.is_empty());
    }
}
