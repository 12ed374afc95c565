//! TLS: the same server behind it, a pair that changes while it runs, and clients that agree on nothing.

use std::{fs, path::Path, sync::Arc};

use ossia_server::config::Config;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::drive::*;

const CA: &[u8] = include_bytes!("tls/ca.pem");
const ONE: [&[u8]; 2] = [include_bytes!("tls/one.pem"), include_bytes!("tls/one.key")];
const TWO: [&[u8]; 2] = [include_bytes!("tls/two.pem"), include_bytes!("tls/two.key")];

fn install(folder: &Path, pair: [&[u8]; 2]) {
    fs::write(folder.join("cert.pem"), pair[0]).unwrap();
    fs::write(folder.join("key.pem"), pair[1]).unwrap();
}

async fn fixture(folder: &Path) -> Fixture {
    fixture_with(folder, |_| {}).await
}

pub async fn fixture_with(folder: &Path, change: impl FnOnce(&mut Config)) -> Fixture {
    install(folder, ONE);
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    Fixture::with(|config| {
        config.tls.cert = cert;
        config.tls.key = key;
        config.tls.look_ms = 20;
        config.limits.head_read_ms = 500;
        change(config);
    })
    .await
}

async fn connect(fixture: &Fixture) -> TlsStream<TcpStream> {
    connect_with(fixture, &[b"http/1.1"]).await
}

pub async fn connect_with(fixture: &Fixture, offered: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    let socket = TcpStream::connect(fixture.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

/// The answer to one request, whose connection then closes.
async fn ask(fixture: &Fixture, call: Call) -> String {
    let call = call.header("connection", "close");
    let mut stream = connect(fixture).await;
    stream.write_all(&call.head_bytes(fixture)).await.unwrap();
    stream.write_all(&call.body_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The certificate that the server shows now.
async fn shown(fixture: &Fixture) -> Vec<u8> {
    let stream = connect(fixture).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(pem: &[u8]) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}

#[tokio::test]
async fn everything_works_over_tls_and_links_say_https() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path()).await;
    assert!(ask(&fixture, put("/bkt/")).await.starts_with("HTTP/1.1 200 "));
    let long = "0123456789".repeat(100_000);
    let told = ask(&fixture, append("/bkt/log", 0, &long)).await;
    assert!(told.contains("x-oss-next-append-position: 1000000"), "{told}");
    let read = ask(&fixture, get("/bkt/log")).await;
    assert!(read.ends_with(&long) && read.starts_with("HTTP/1.1 200 "));
    let begun = ask(&fixture, post("/bkt/parts?uploads")).await;
    let id = element(&begun, "UploadId").unwrap();
    ask(&fixture, put(&format!("/bkt/parts?partNumber=1&uploadId={id}")).body("x")).await;
    let done = post(&format!("/bkt/parts?uploadId={id}")).header("x-oss-complete-all", "yes");
    let location = element(&ask(&fixture, done).await, "Location").unwrap();
    assert!(location.starts_with("https://"), "{location}");
    assert!(fixture.stop().await);
}

#[tokio::test]
async fn a_new_pair_counts_without_a_restart_and_a_bad_one_leaves_the_old_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path()).await;
    assert_eq!(shown(&fixture).await, der(ONE[0]));
    // One that stands when the pair changes goes on.
    let mut standing = connect(&fixture).await;
    // The key is another's.
    install(folder.path(), [TWO[0], ONE[1]]);
    fixture.reload().await;
    assert_eq!(shown(&fixture).await, der(ONE[0]));
    fs::remove_file(folder.path().join("key.pem")).unwrap();
    fixture.reload().await;
    assert_eq!(shown(&fixture).await, der(ONE[0]));
    // Noticed by itself.
    install(folder.path(), TWO);
    tokio::time::timeout(3 * PATIENCE, async {
        while shown(&fixture).await != der(TWO[0]) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the new certificate");
    let health = get("/_ossia/health").anonymous().header("connection", "close");
    standing.write_all(&health.head_bytes(&fixture)).await.unwrap();
    let mut answer = String::new();
    standing.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn who_does_not_agree_on_keys_is_hung_up_on_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path()).await;
    // Says nothing.
    let mut silent = fixture.connect().await;
    assert_eq!(silent.until_closed().await, b"");
    // Speaks plainly, and is told nothing that it could take for an answer.
    let mut plain = fixture.connect().await;
    plain.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(!plain.until_closed().await.starts_with(b"HTTP"));
    assert!(fixture.stop().await);
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), [b"no certificate", ONE[1]]);
    let told = Fixture::refused(|config| {
        config.tls.cert = folder.path().join("cert.pem");
        config.tls.key = folder.path().join("key.pem");
    })
    .await;
    assert!(told.contains("cert.pem") && told.contains("no certificate in it"), "{told}");
    // A key that is not one may be the wrong half of something secret: it is not shown.
    install(folder.path(), [ONE[0], b"half a secret"]);
    let told = Fixture::refused(|config| {
        config.tls.cert = folder.path().join("cert.pem");
        config.tls.key = folder.path().join("key.pem");
    })
    .await;
    assert!(told.contains("key.pem") && !told.contains("half"), "{told}");
}
