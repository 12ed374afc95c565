//! Where a request goes: the endpoint, and where the bucket's name stands in an address.
//!
//! Keys are percent-encoded byte by byte and otherwise left alone: `a//b` and `a/../b` are names, not paths to tidy.

use std::net::Ipv6Addr;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use ossia_protocol::names::{BucketName, ObjectKey};
use ossia_protocol::query::Query;
use ossia_protocol::uri;

use crate::config::Addressing;
use crate::error::InvalidInput;

/// A service's address, taken apart once.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    scheme: Scheme,
    /// Host and perhaps port, as given.
    authority: Authority,
    placement: Placement,
}

/// [`Addressing`] with `Auto` decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placement {
    Path,
    Host,
    /// In the `Host` header only; the connection goes to the endpoint itself. For `localhost`, whose subdomains are this
    /// machine by definition though many resolvers do not know it.
    HostHeader,
    Nowhere,
}

/// One request's address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Whom to connect to, and path and query.
    pub(crate) uri: Uri,
    /// The `Host` header.
    pub(crate) host: String,
}

impl Endpoint {
    /// Takes `http://host[:port]` or `https://host[:port]`, a slash at the end allowed.
    pub(crate) fn parse(text: &str, addressing: Addressing) -> Result<Endpoint, InvalidInput> {
        let invalid = |reason| InvalidInput::Endpoint { endpoint: text.to_owned(), reason };
        let uri: Uri = text.trim().parse().map_err(|_| invalid("not a URL"))?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or_else(|| invalid("expected http:// or https://"))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(invalid("expected http:// or https://"));
        }
        let authority = parts.authority.ok_or_else(|| invalid("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("a user name is not part of an endpoint"));
        }
        if authority.host().is_empty() {
            return Err(invalid("the host is missing"));
        }
        if parts.path_and_query.is_some_and(|path| path.as_str() != "/") {
            return Err(invalid("nothing may stand behind host and port"));
        }
        let placement = place(authority.host(), addressing).ok_or_else(|| {
            invalid("an address cannot have the bucket before it; use path style")
        })?;
        Ok(Endpoint { scheme, authority, placement })
    }

    /// Scheme, host and port, for messages.
    pub(crate) fn display(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The address of the service, a bucket or an object.
    pub(crate) fn address(
        &self,
        bucket: Option<&BucketName>,
        key: Option<&ObjectKey>,
        query: &Query,
    ) -> Address {
        let mut path = String::from("/");
        if let (Some(bucket), Placement::Path) = (bucket, self.placement) {
            path.push_str(bucket.as_str());
            path.push('/');
        }
        if let Some(key) = key {
            path.push_str(&uri::encode_path(key.as_bytes()));
        }
        if !query.is_empty() {
            path.push('?');
            path.push_str(&query.to_wire());
        }
        let host = match (bucket, self.placement) {
            (Some(bucket), Placement::Host | Placement::HostHeader) => {
                format!("{}.{}", bucket.as_str(), self.authority)
            }
            _ => self.authority.to_string(),
        };
        let authority = match self.placement {
            Placement::Host => Authority::try_from(host.as_str())
                .expect("a bucket's name before a host name is a host name"),
            Placement::Path | Placement::HostHeader | Placement::Nowhere => self.authority.clone(),
        };
        let path = PathAndQuery::try_from(path).expect("percent-encoded text is a path");
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(authority)
            .path_and_query(path)
            .build()
            .expect("scheme, authority and path are all there");
        Address { uri, host }
    }
}

/// Decides where the bucket goes; `None` if what was asked for cannot be.
fn place(host: &str, addressing: Addressing) -> Option<Placement> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_address = name.parse::<std::net::Ipv4Addr>().is_ok() || is_ipv6(&name);
    let is_local = name == "localhost" || name.ends_with(".localhost");
    let hosted = if is_local { Placement::HostHeader } else { Placement::Host };
    match addressing {
        Addressing::Path => Some(Placement::Path),
        Addressing::Cname => Some(Placement::Nowhere),
        Addressing::Auto if is_address || !name.contains('.') => Some(Placement::Path),
        Addressing::VirtualHosted if is_address => None,
        Addressing::Auto | Addressing::VirtualHosted => Some(hosted),
    }
}

fn is_ipv6(host: &str) -> bool {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(
        endpoint: &str,
        addressing: Addressing,
        bucket: &str,
        key: &str,
    ) -> (String, String) {
        let mut query = Query::new();
        if !key.is_empty() {
            query.push_flag("append");
            query.push("position", "0");
        }
        let bucket = (!bucket.is_empty()).then(|| BucketName::new(bucket).unwrap());
        let key = (!key.is_empty()).then(|| ObjectKey::new(key).unwrap());
        let endpoint = Endpoint::parse(endpoint, addressing).unwrap();
        let address = endpoint.address(bucket.as_ref(), key.as_ref(), &query);
        (address.uri.to_string(), address.host)
    }

    #[test]
    fn the_bucket_goes_where_the_endpoint_can_carry_it() {
        use Addressing::{Auto, Cname, Path, VirtualHosted};
        let rows = [
            (
                "http://127.0.0.1:9000",
                Auto,
                "http://127.0.0.1:9000/bkt/k?append&position=0",
                "127.0.0.1:9000",
            ),
            ("http://[::1]:9000/", Auto, "http://[::1]:9000/bkt/k?append&position=0", "[::1]:9000"),
            (
                "http://localhost:9000",
                Auto,
                "http://localhost:9000/bkt/k?append&position=0",
                "localhost:9000",
            ),
            ("http://ossia", Auto, "http://ossia/bkt/k?append&position=0", "ossia"),
            (
                "https://oss.example.com",
                Auto,
                "https://bkt.oss.example.com/k?append&position=0",
                "bkt.oss.example.com",
            ),
            (
                "http://oss.example.com:81",
                Path,
                "http://oss.example.com:81/bkt/k?append&position=0",
                "oss.example.com:81",
            ),
            (
                "http://localhost:9000",
                VirtualHosted,
                "http://localhost:9000/k?append&position=0",
                "bkt.localhost:9000",
            ),
            (
                "http://files.example.com",
                Cname,
                "http://files.example.com/k?append&position=0",
                "files.example.com",
            ),
        ];
        for (endpoint, addressing, uri, host) in rows {
            let expected = (uri.to_owned(), host.to_owned());
            assert_eq!(
                address(endpoint, addressing, "bkt", "k"),
                expected,
                "{endpoint} {addressing:?}"
            );
        }
    }

    #[test]
    fn a_bucket_ends_in_a_slash_and_the_service_is_the_root() {
        assert_eq!(
            address("http://127.0.0.1:9000", Addressing::Auto, "bkt", "").0,
            "http://127.0.0.1:9000/bkt/"
        );
        assert_eq!(
            address("http://127.0.0.1:9000", Addressing::Auto, "", "").0,
            "http://127.0.0.1:9000/"
        );
        assert_eq!(address("http://a.b", Addressing::Auto, "bkt", "").0, "http://bkt.a.b/");
    }

    #[test]
    fn keys_are_encoded_and_not_tidied() {
        let (uri, _) =
            address("http://127.0.0.1:9000", Addressing::Auto, "bkt", "a//b/../\u{e9} +%?#.txt");
        assert_eq!(
            uri,
            "http://127.0.0.1:9000/bkt/a//b/../%C3%A9%20%2B%25%3F%23.txt?append&position=0"
        );
    }

    #[test]
    fn an_endpoint_that_is_not_one_is_refused() {
        for bad in [
            "",
            "127.0.0.1:9000",
            "localhost",
            "ftp://x",
            "http://",
            "http://x/y",
            "http://a@x",
            "http://x?y",
        ] {
            assert!(Endpoint::parse(bad, Addressing::Auto).is_err(), "{bad}");
        }
        assert!(Endpoint::parse("http://127.0.0.1", Addressing::VirtualHosted).is_err());
        assert!(Endpoint::parse("http://[::1]", Addressing::VirtualHosted).is_err());
    }
}
