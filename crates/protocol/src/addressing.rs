//! Which bucket and key a request means: virtual-hosted, path-style or by a bound domain (CNAME).
//!
//! Owns splitting a request target and reading `Host`. It does not validate names: what it returns is as received, decoded
//! once and never normalised (no `//` merging, no `.` or `..`), so that a signature over odd names can still be verified and the
//! odd name refused afterwards. It does not look up anything but the table of domains.
//!
//! Host is lower-cased and loses its port and one trailing dot. The first rule that fits wins:
//!
//! 1. bound to a bucket by a CNAME: that bucket, the whole path is the key;
//! 2. a service name or an address: path-style, the first segment is the bucket, nothing is the service;
//! 3. `{label}.{service name}`, the label without dots: virtual-hosted; an empty label (`.oss-cn-hangzhou.aliyuncs.com`, sent by
//!    one client for service calls) is the service name itself;
//! 4. anything else: path-style, as a single node answers to whatever name its users gave it.
//!
//! Service names are the configured domains, `localhost`, address literals, `X.aliyuncs.com` for every single label X (which
//! covers the public, internal and accelerated endpoints; a client connected to an address still sends these), and cloud boxes.
//!
//! ```
//! use ossia_protocol::addressing::{Addressing, Style};
//!
//! let addressing = Addressing::new(["oss.example.test"], [("files.example.test", "photos")]);
//! let target = addressing.resolve(Some("logs.oss.example.test:9000"), "/app%2Ftoday.log");
//! assert_eq!(target.style, Style::Virtual);
//! assert_eq!(target.bucket_str(), Some("logs"));
//! assert_eq!(target.key_str(), Some("app/today.log"));
//! assert_eq!(target.resource(), b"/logs/app/today.log");
//! ```

use crate::uri;
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How the bucket was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// In the path, or not at all: Host is a service name, an address, or a name nobody configured.
    Path,
    /// As the first label of Host.
    Virtual,
    /// By the binding of Host to a bucket.
    Cname,
}

/// What a request is aimed at. Bucket and key are as received: decoded, possibly invalid, possibly not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How the bucket was named.
    pub style: Style,
    /// The bucket, or `None` at service level. Empty for a path such as `//key`.
    pub bucket: Option<Vec<u8>>,
    /// The key, or `None` when the bucket or the service itself is meant; never empty.
    pub key: Option<Vec<u8>>,
    /// The `cb-…` label when Host is the name of a cloud box: the region that V4 scopes carry then.
    pub cloudbox: Option<String>,
    /// Whether Host fell under one of the rules 1 to 3. A server may refuse others (`NonStandardHostForbidden`).
    pub known_host: bool,
}

impl Target {
    /// A path-style target, for a client that signs its own request.
    pub fn new(bucket: Option<&str>, key: Option<&str>) -> Target {
        Target {
            style: Style::Path,
            bucket: bucket.map(|name| name.as_bytes().to_vec()),
            key: key.filter(|key| !key.is_empty()).map(|key| key.as_bytes().to_vec()),
            cloudbox: None,
            known_host: true,
        }
    }

    /// Whether Host is a service name or an address, so that paths such as `/_ossia/health` are the server's own. Under a
    /// bucket's host they are object keys.
    pub fn is_service_host(&self) -> bool {
        self.style == Style::Path
    }

    /// The bucket if it is UTF-8.
    pub fn bucket_str(&self) -> Option<&str> {
        std::str::from_utf8(self.bucket.as_deref()?).ok()
    }

    /// The key if it is UTF-8. `key.is_some()` with `None` here is an invalid object name.
    pub fn key_str(&self) -> Option<&str> {
        std::str::from_utf8(self.key.as_deref()?).ok()
    }

    /// The canonical resource, decoded: `/bucket/key`, `/bucket/`, or `/`; the same in all three styles.
    pub fn resource(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_resource(&mut out);
        out
    }

    /// Appends [`Target::resource`] to `out`.
    pub(crate) fn write_resource(&self, out: &mut Vec<u8>) {
        out.push(b'/');
        if let Some(bucket) = &self.bucket {
            out.extend_from_slice(bucket);
            out.push(b'/');
            out.extend_from_slice(self.key.as_deref().unwrap_or_default());
        }
    }
}

/// The names a server answers to.
#[derive(Clone, Debug, Default)]
pub struct Addressing {
    /// Configured base domains, longest first so that the longest match wins.
    domains: Vec<String>,
    /// Host to bucket.
    cnames: HashMap<String, String>,
}

impl Addressing {
    /// Names are lower-cased and lose a port, as Host does. `domains` are base domains for virtual hosts; `cnames` bind a
    /// whole host name to a bucket. The built-in names need no configuration.
    pub fn new<D, C, N, B>(domains: D, cnames: C) -> Addressing
    where
        D: IntoIterator<Item: AsRef<str>>,
        C: IntoIterator<Item = (N, B)>,
        N: AsRef<str>,
        B: Into<String>,
    {
        let name = |text: &str| host_name(text).into_owned();
        let mut domains: Vec<String> = domains.into_iter().map(|one| name(one.as_ref())).collect();
        domains.retain(|domain| !domain.is_empty());
        domains.sort_by_key(|domain| std::cmp::Reverse(domain.len()));
        let cnames =
            cnames.into_iter().map(|(host, bucket)| (name(host.as_ref()), bucket.into())).collect();
        Addressing { domains, cnames }
    }

    /// Reads Host (absent in HTTP/1.0) and the path of the request target, still percent-encoded and without the query.
    pub fn resolve(&self, host: Option<&str>, raw_path: &str) -> Target {
        let host = host_name(host.unwrap_or_default());
        let path = raw_path.strip_prefix('/').unwrap_or(raw_path);
        if let Some(bucket) = self.cnames.get(&*host) {
            let key = some_unless_empty(uri::decode(path.as_bytes()));
            let bucket = Some(bucket.clone().into_bytes());
            return Target { style: Style::Cname, bucket, key, cloudbox: None, known_host: true };
        }
        let place = self.place(&host);
        let known_host = !matches!(place, Place::Unknown);
        match place {
            Place::Bucket { label, cloudbox } if !label.is_empty() => Target {
                style: Style::Virtual,
                bucket: Some(label.as_bytes().to_vec()),
                key: some_unless_empty(uri::decode(path.as_bytes())),
                cloudbox: cloudbox.map(str::to_owned),
                known_host,
            },
            Place::Service { cloudbox } | Place::Bucket { cloudbox, .. } => {
                path_style(path, cloudbox.map(str::to_owned), known_host)
            }
            Place::Unknown => path_style(path, None, known_host),
        }
    }

    /// Rules 2 to 4 for a normalised host name.
    fn place<'h>(&self, host: &'h str) -> Place<'h> {
        if host.is_empty() || host == "localhost" || is_address(host) {
            return Place::Service { cloudbox: None };
        }
        if let Some(place) = cloudbox_place(host) {
            return place;
        }
        for domain in &self.domains {
            match host.strip_suffix(domain.as_str()) {
                Some("") => return Place::Service { cloudbox: None },
                Some(prefix) => {
                    if let Some(label) = single_label(prefix) {
                        return Place::Bucket { label, cloudbox: None };
                    }
                }
                None => {}
            }
        }
        public_place(host).or_else(|| local_place(host)).unwrap_or(Place::Unknown)
    }
}

/// What a host name says.
enum Place<'h> {
    Service { cloudbox: Option<&'h str> },
    Bucket { label: &'h str, cloudbox: Option<&'h str> },
    Unknown,
}

/// `X.aliyuncs.com` and `{label}.X.aliyuncs.com` for any single label X.
fn public_place(host: &str) -> Option<Place<'_>> {
    let front = host.strip_suffix(".aliyuncs.com")?;
    match front.split_once('.') {
        None => Some(Place::Service { cloudbox: None }),
        Some((label, endpoint)) => {
            (!endpoint.contains('.')).then_some(Place::Bucket { label, cloudbox: None })
        }
    }
}

/// `cb-` and what a label of a host may have; anything else, a slash above all, would be more than one part of a V4 scope.
fn is_cloudbox(label: &str) -> bool {
    label.strip_prefix("cb-").is_some_and(|id| {
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

/// `{cb-…}.{region}.oss-cloudbox[-control].aliyuncs.com`, with or without a bucket in front.
fn cloudbox_place(host: &str) -> Option<Place<'_>> {
    let front = host
        .strip_suffix(".oss-cloudbox.aliyuncs.com")
        .or_else(|| host.strip_suffix(".oss-cloudbox-control.aliyuncs.com"))?;
    let mut labels = front.rsplitn(3, '.');
    let _region = labels.next()?;
    let cloudbox = labels.next().filter(|label| is_cloudbox(label))?;
    match labels.next() {
        None => Some(Place::Service { cloudbox: Some(cloudbox) }),
        Some(label) => {
            (!label.contains('.')).then_some(Place::Bucket { label, cloudbox: Some(cloudbox) })
        }
    }
}

/// `{label}.localhost` and `{label}.127.0.0.1`: the latter is no valid name, but clients that build virtual hosts blindly send it.
fn local_place(host: &str) -> Option<Place<'_>> {
    let (label, rest) = host.split_once('.')?;
    (rest == "localhost" || is_address(rest)).then_some(Place::Bucket { label, cloudbox: None })
}

/// The label of `label.`, if it has no dots of its own; bucket names have none.
fn single_label(prefix: &str) -> Option<&str> {
    prefix.strip_suffix('.').filter(|label| !label.contains('.'))
}

fn is_address(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok()
}

/// The path is decoded before it is split, since `%2F` is a slash wherever it stands.
fn path_style(path: &str, cloudbox: Option<String>, known_host: bool) -> Target {
    let decoded = uri::decode(path.as_bytes());
    let (bucket, key) = match decoded.iter().position(|&byte| byte == b'/') {
        Some(slash) => (
            Some(decoded[..slash].to_vec()),
            some_unless_empty(Cow::Borrowed(&decoded[slash + 1..])),
        ),
        None => (some_unless_empty(decoded), None),
    };
    Target { style: Style::Path, bucket, key, cloudbox, known_host }
}

fn some_unless_empty(bytes: Cow<'_, [u8]>) -> Option<Vec<u8>> {
    (!bytes.is_empty()).then(|| bytes.into_owned())
}

/// Host without port, brackets, outer blanks and a trailing dot, in lower case.
fn host_name(host: &str) -> Cow<'_, str> {
    let host = host.trim_ascii();
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _port)) => v6,
        // A bare IPv6 address has several colons and no port.
        None if host.parse::<Ipv6Addr>().is_ok() => host,
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The parts of a request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTarget<'a> {
    /// Host and port of an absolute form (`http://host/path`), which overrides the Host header.
    pub authority: Option<&'a str>,
    /// The raw path; `/` for `*` and for an absolute form without a path.
    pub path: &'a str,
    /// What follows the first `?`, if there is one.
    pub query: Option<&'a str>,
}

impl<'a> RequestTarget<'a> {
    /// Splits a request target as it stands on the request line. Never fails: an odd target becomes an odd path.
    pub fn split(raw: &'a str) -> RequestTarget<'a> {
        let (front, query) = match raw.split_once('?') {
            Some((front, query)) => (front, Some(query)),
            None => (raw, None),
        };
        let absolute = front.split_once("://").filter(|(scheme, _)| {
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        });
        let (authority, path) = match absolute {
            Some((_scheme, rest)) => {
                let slash = rest.find('/').unwrap_or(rest.len());
                (Some(&rest[..slash]), &rest[slash..])
            }
            None => (None, front),
        };
        let path = if path.is_empty() || path == "*" { "/" } else { path };
        RequestTarget { authority, path, query }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Addressing {
        Addressing::new(
            ["example.test", "oss.example.test:9000", "Inner.OSS.example.test"],
            [("Files.example.test:80", "photos"), ("cdn.other.test", "assets")],
        )
    }

    /// `style bucket key known`, with `-` for nothing.
    fn read(host: &str, path: &str) -> String {
        let target = example().resolve(Some(host), path);
        let text = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map_or("-".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let cloudbox = target.cloudbox.as_deref().unwrap_or("-");
        let known = if target.known_host { "known" } else { "unknown" };
        format!(
            "{:?} {} {} {cloudbox} {known}",
            target.style,
            text(&target.bucket),
            text(&target.key)
        )
    }

    #[test]
    fn hosts_are_read_by_the_first_rule_that_fits() {
        let box_id = "cb-f8z7yvzgwfkl9q0h";
        let box_host = format!("{box_id}.cn-hangzhou.oss-cloudbox.aliyuncs.com");
        for (host, path, expected) in [
            // Bound names.
            ("files.example.test", "/a/b", "Cname photos a/b - known"),
            ("FILES.example.TEST.:9000", "/", "Cname photos - - known"),
            ("cdn.other.test", "/photos/x", "Cname assets photos/x - known"),
            // Service names and addresses.
            ("example.test", "/b/k", "Path b k - known"),
            ("oss.example.test:9000", "/b", "Path b - - known"),
            ("localhost:9000", "/b/dir%2Fk", "Path b dir/k - known"),
            ("localhost", "/", "Path - - - known"),
            ("127.0.0.1:9000", "/b/", "Path b - - known"),
            ("[::1]:9000", "/b/k", "Path b k - known"),
            ("[2001:DB8::1]", "/b/k", "Path b k - known"),
            ("::1", "/b/k", "Path b k - known"),
            ("", "/b/k", "Path b k - known"),
            ("oss-cn-hangzhou.aliyuncs.com", "/b/k", "Path b k - known"),
            ("oss-cn-hangzhou-internal.aliyuncs.com", "/", "Path - - - known"),
            ("oss-accelerate.aliyuncs.com:443", "/", "Path - - - known"),
            // Virtual hosts, the longest service name first.
            ("b.example.test", "/k", "Virtual b k - known"),
            ("b.oss.example.test:9000", "/k", "Virtual b k - known"),
            ("inner.oss.example.test", "/k", "Path k - - known"),
            ("b.inner.oss.example.test", "/k", "Virtual b k - known"),
            ("b.localhost:9000", "/a%2Fb", "Virtual b a/b - known"),
            ("b.127.0.0.1:9000", "/k", "Virtual b k - known"),
            ("B.oss-cn-hangzhou.aliyuncs.com", "/K", "Virtual b K - known"),
            ("b.oss-cn-hangzhou-internal.aliyuncs.com", "/k", "Virtual b k - known"),
            ("b.oss-accelerate-overseas.aliyuncs.com", "/k", "Virtual b k - known"),
            ("b.cn-hangzhou.aliyuncs.com", "/k", "Virtual b k - known"),
            // An empty label is the service.
            (".oss-cn-hangzhou.aliyuncs.com", "/", "Path - - - known"),
            (".localhost", "/", "Path - - - known"),
            (".example.test", "/b/k", "Path b k - known"),
            // Cloud boxes.
            (&box_host, "/b/k", &format!("Path b k {box_id} known")),
            (&format!("b.{box_host}:80"), "/k", &format!("Virtual b k {box_id} known")),
            (&format!(".{box_host}"), "/", &format!("Path - - {box_id} known")),
            (
                "b.cb-1.cn-hangzhou.oss-cloudbox-control.aliyuncs.com",
                "/k",
                "Virtual b k cb-1 known",
            ),
            // What is no label of a host names no cloud box.
            ("cb-a/b.cn-hangzhou.oss-cloudbox.aliyuncs.com", "/b/k", "Path b k - unknown"),
            ("cb-.cn-hangzhou.oss-cloudbox.aliyuncs.com", "/b/k", "Path b k - unknown"),
            // Everything else is path-style.
            ("ossia:9000", "/b/k", "Path b k - unknown"),
            ("a.b.localhost", "/b/k", "Path b k - unknown"),
            ("a.b.example.test", "/b/k", "Path b k - unknown"),
            ("notexample.test", "/b/k", "Path b k - unknown"),
            ("x.y.oss-cn-hangzhou.aliyuncs.com", "/b/k", "Path b k - unknown"),
            ("aliyuncs.com", "/b/k", "Path b k - unknown"),
            ("256.0.0.1", "/b/k", "Path b k - unknown"),
        ] {
            assert_eq!(read(host, path), expected, "{host} {path}");
        }
    }

    #[test]
    fn paths_are_decoded_once_and_never_normalised() {
        for (path, expected) in [
            ("//k", "Path  k - known"),
            ("/b//k", "Path b /k - known"),
            ("/b/%2Fk", "Path b /k - known"),
            ("/b%2Fk", "Path b k - known"),
            ("/b/a/../k/.", "Path b a/../k/. - known"),
            ("/b/a+b%2B%252F", "Path b a+b+%2F - known"),
            ("/b/%", "Path b % - known"),
            ("b/k", "Path b k - known"),
            ("", "Path - - - known"),
        ] {
            assert_eq!(read("localhost", path), expected, "{path}");
        }
        assert_eq!(read("b.localhost", "//k"), "Virtual b /k - known");
    }

    #[test]
    fn a_key_that_is_not_utf8_is_told_apart_from_no_key() {
        let target = example().resolve(Some("b.localhost"), "/%FF");
        assert_eq!((target.key.as_deref(), target.key_str()), (Some(&b"\xff"[..]), None));
        assert_eq!(target.resource(), b"/b/\xff");
    }

    #[test]
    fn without_a_host_the_request_is_path_style() {
        let target = Addressing::default().resolve(None, "/b/k");
        assert_eq!(
            (target.style, target.bucket_str(), target.key_str()),
            (Style::Path, Some("b"), Some("k"))
        );
        assert!(target.is_service_host());
    }

    #[test]
    fn the_servers_own_paths_exist_only_under_service_names() {
        for (host, own) in [
            ("localhost", true),
            ("ossia", true),
            ("b.localhost", false),
            ("cdn.other.test", false),
        ] {
            let target = example().resolve(Some(host), "/_ossia/health");
            assert_eq!(target.is_service_host(), own, "{host}");
        }
    }

    #[test]
    fn the_canonical_resource_is_the_same_in_every_style() {
        for (host, path) in
            [("localhost", "/photos/k"), ("photos.localhost", "/k"), ("files.example.test", "/k")]
        {
            assert_eq!(example().resolve(Some(host), path).resource(), b"/photos/k", "{host}");
        }
        for (host, path) in
            [("localhost", "/photos"), ("localhost", "/photos/"), ("photos.localhost", "/")]
        {
            assert_eq!(example().resolve(Some(host), path).resource(), b"/photos/", "{host}{path}");
        }
        assert_eq!(example().resolve(Some("localhost"), "/").resource(), b"/");
    }

    #[test]
    fn request_targets_split_in_every_form() {
        for (raw, authority, path, query) in [
            ("/a?b?c", None, "/a", Some("b?c")),
            ("/a", None, "/a", None),
            ("/a?", None, "/a", Some("")),
            ("http://h:9/a?x", Some("h:9"), "/a", Some("x")),
            ("HTTPS://h", Some("h"), "/", None),
            ("http://h?x", Some("h"), "/", Some("x")),
            ("*", None, "/", None),
            ("/x://y", None, "/x://y", None),
            ("", None, "/", None),
        ] {
            assert_eq!(
                RequestTarget::split(raw),
                RequestTarget { authority, path, query },
                "{raw}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_host_and_path_resolve_without_a_panic(host: String, path: String) {
            let target = example().resolve(Some(&host), &path);
            prop_assert!(target.key.is_none() || target.bucket.is_some());
            prop_assert!(target.key.as_ref().is_none_or(|key| !key.is_empty()));
        }

        #[test]
        fn any_key_resolves_to_itself(key in proptest::collection::vec(any::<u8>(), 1..40)) {
            let path = format!("/{}", uri::encode(&key));
            let target = example().resolve(Some("b.localhost"), &path);
            prop_assert_eq!(target.key, Some(key));
        }
    }
}
