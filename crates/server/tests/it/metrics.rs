//! What operators see, on a listener of its own.

use std::{collections::BTreeMap, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::drive::{Fixture, PATIENCE, append, get};

async fn ask(address: SocketAddr, method: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await.expect("it answers").unwrap();
    answer
}

/// The values by name and labels.
async fn told(fixture: &Fixture) -> BTreeMap<String, u64> {
    let answer = ask(fixture.metrics_address().unwrap(), "GET", "/metrics").await;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("version=0.0.4"), "{head}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(pair).collect()
}

fn with_metrics(config: &mut ossia_server::config::Config) {
    config.metrics.listen = "127.0.0.1:0".to_owned();
}

#[tokio::test]
async fn requests_bytes_connections_and_health_are_told() {
    let fixture = Fixture::with(with_metrics).await;
    fixture.make_bucket("bkt").await;
    let mut connection = fixture.connect().await;
    let body = [7; 5_000];
    connection.call(&fixture, append("/bkt/log", 0, body)).await.expect(200);
    connection.call(&fixture, append("/bkt/log", 0, body)).await.expect(409);
    connection.call(&fixture, get("/bkt/log")).await.expect(200);
    let told = told(&fixture).await;
    let requests = |operation: &str, class: &str| {
        let labels = format!("{{operation=\"{operation}\",status=\"{class}\"}}");
        told.get(&format!("ossia_requests_total{labels}")).copied()
    };
    assert_eq!(requests("AppendObject", "2xx"), Some(1));
    assert_eq!(requests("AppendObject", "4xx"), Some(1));
    assert_eq!(requests("GetObject", "2xx"), Some(1));
    assert_eq!(requests("PutBucket", "2xx"), Some(1));
    assert_eq!(requests("PutObject", "2xx"), None, "what never came is left out");
    assert!(told["ossia_received_bytes_total"] >= 10_000);
    assert!((5_000..10_000).contains(&told["ossia_sent_bytes_total"]));
    assert_eq!(told["ossia_connections_total"], 2, "one made the bucket");
    assert!((1..=2).contains(&told["ossia_connections"]), "the first may not have gone yet");
    assert_eq!(told["ossia_upload_refusals_total"], 0);
    assert_eq!(told["ossia_store_health{state=\"open\"}"], 1);
    assert_eq!(told["ossia_store_health{state=\"poisoned\"}"], 0);
    drop(connection);
    assert!(fixture.stop().await);
}

#[tokio::test]
async fn nothing_else_is_answered_there_and_nothing_at_all_by_default() {
    let fixture = Fixture::with(with_metrics).await;
    let address = fixture.metrics_address().unwrap();
    assert!(ask(address, "GET", "/").await.starts_with("HTTP/1.1 404 "));
    assert!(ask(address, "POST", "/metrics").await.starts_with("HTTP/1.1 405 "));
    assert!(ask(address, "HEAD", "/metrics").await.starts_with("HTTP/1.1 200 "));
    assert!(fixture.stop().await);
    // It goes with its server.
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(Fixture::start().await.metrics_address(), None);
}

#[tokio::test]
async fn connections_that_say_nothing_leave_no_room_but_for_a_while() {
    let fixture = Fixture::with(with_metrics).await;
    let address = fixture.metrics_address().unwrap();
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // The silent ones are cut after a while, and then it is this one's turn.
    assert!(ask(address, "GET", "/metrics").await.starts_with("HTTP/1.1 200 "));
}
