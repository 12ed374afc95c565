//! Connections must not be able to take the files that the engine needs.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::{net::TcpStream, time::Duration};

use common::Server;
use ossia_client::{AppendObjectRequest, CreateBucketRequest};

#[tokio::test]
async fn more_idle_connections_than_files_do_not_stop_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with_files(folder.path(), 900);
    let client = server.client();
    client.create_bucket(CreateBucketRequest::new("idle")).await.unwrap();
    let first = client.append_object(AppendObjectRequest::new("idle", "log", "one")).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        // Beyond its own bound the server leaves them in the backlog, which is bounded, too.
        match TcpStream::connect_timeout(&server.address(), Duration::from_millis(200)) {
            Ok(one) => idle.push(one),
            Err(_) => break,
        }
    }
    // The connection that the client kept is served as before, and what is stored is stored.
    let more =
        AppendObjectRequest::new("idle", "log", vec![b'x'; 300_000]).position(first.next_position);
    assert_eq!(client.append_object(more).await.unwrap().next_position, 300_003);
    drop(idle);
    server.stop();
}
