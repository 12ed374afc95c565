//! Where the server is and how opendal reaches it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use opendal::services::Oss;
use opendal::{HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::room::Failure;

/// Resolves every name to this machine: the system's resolver has never heard of `bucket.localhost`, and no request
/// of a test may leave the machine.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _name: Name) -> Resolving {
        let address: Addrs = Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        Box::pin(std::future::ready(Ok(address)))
    }
}

/// The server under test.
pub struct Target {
    port: String,
    key_id: String,
    key_secret: String,
    pub http: reqwest::Client,
}

impl Target {
    pub fn from_environment() -> Result<Self, Failure> {
        let env = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let http =
            reqwest::Client::builder().no_proxy().dns_resolver(Arc::new(Loopback)).build()?;
        Ok(Self {
            port: env("OSSIA_PORT")?,
            key_id: env("OSSIA_ACCESS_KEY_ID")?,
            key_secret: env("OSSIA_ACCESS_KEY_SECRET")?,
            http,
        })
    }

    /// An operator with the right key.
    pub fn operator(&self, addressing: &str, bucket: &str) -> opendal::Result<Operator> {
        self.operator_with_secret(addressing, bucket, &self.key_secret)
    }

    pub fn operator_with_secret(
        &self,
        addressing: &str,
        bucket: &str,
        secret: &str,
    ) -> opendal::Result<Operator> {
        // A virtual host needs a name; the other forms work by address.
        let host = if addressing == "virtual" { "localhost" } else { "127.0.0.1" };
        let service = Oss::default()
            .endpoint(&format!("http://{host}:{}", self.port))
            .addressing_style(addressing)
            .bucket(bucket)
            .access_key_id(&self.key_id)
            .access_key_secret(secret);
        let transport = HttpTransporter::new(ReqwestTransport::new(self.http.clone()));
        Ok(Operator::new(service)?
            .with_context(OperationContext::new().with_http_transport(transport)))
    }

    // opendal has no word for buckets. Its CNAME form puts the bucket in neither host nor path nor signature, so there
    // a directory `NAME/` on an address is the request `PUT /NAME/`: the bucket, in path style.

    pub async fn create_bucket(&self, bucket: &str) -> Result<(), Failure> {
        Ok(self.operator("cname", "unused")?.create_dir(&format!("{bucket}/")).await?)
    }

    pub async fn delete_bucket(&self, bucket: &str) -> Result<(), Failure> {
        Ok(self.operator("cname", "unused")?.delete(&format!("{bucket}/")).await?)
    }
}
