//! A hundred thousand small appends to one object, one behind the other: nothing is capped, nothing slows down, every byte and
//! the CRC-64 of all of them are right.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::time::Duration;

use common::Server;
use ossia_client::{AppendObjectRequest, CreateBucketRequest, GetObjectRequest};
use ossia_protocol::crc64::checksum;

const APPENDS: usize = 100_000;
const RECORD_BYTES: usize = 100;

fn record(number: usize) -> String {
    let mut line = format!("record {number:08} ");
    while line.len() < RECORD_BYTES - 1 {
        line.push(char::from(b'a' + (number + line.len()) as u8 % 26));
    }
    line.push('\n');
    line
}

#[tokio::test]
async fn a_hundred_thousand_appends_of_a_hundred_bytes_are_all_there() {
    append_all(APPENDS, &[]).await;
}

/// Fewer, through a journal that holds a part of them only, so that most of the object has moved when it is read.
#[tokio::test]
async fn appends_that_have_left_the_journal_are_all_there() {
    let folder = append_all(APPENDS / 20, &common::RESTLESS).await;
    common::assert_journal_went_round(folder.path());
}

async fn append_all(appends: usize, arguments: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), arguments);
    let client = server.client();
    client.create_bucket(CreateBucketRequest::new("many")).await.unwrap();

    let mut written = Vec::with_capacity(appends * RECORD_BYTES);
    let mut crc64 = Some(0);
    let mut tenths = Vec::new();
    let mut before = server.cpu_time();
    for number in 0..appends {
        let record = record(number);
        assert_eq!(record.len(), RECORD_BYTES);
        let append = AppendObjectRequest {
            previous_crc64: crc64,
            ..AppendObjectRequest::new("many", "log", record.clone())
        };
        // The client checks next position and CRC-64 of every answer.
        let answer = client.append_object(append.position(written.len() as u64)).await.unwrap();
        written.extend_from_slice(record.as_bytes());
        crc64 = answer.crc64;
        if (number + 1) % (appends / 10) == 0 {
            let now = server.cpu_time();
            tenths.push(now.saturating_sub(before));
            before = now;
        }
    }
    println!("processor time of the server for each tenth: {tenths:?}");

    let head = client.head_object("many", "log").await.unwrap().meta;
    let expected = checksum(&written);
    assert_eq!((head.length, head.crc64), (written.len() as u64, Some(expected)));
    assert_eq!(head.next_append_position, Some(written.len() as u64));
    assert_eq!(crc64, Some(expected));
    let read = client.get_object(GetObjectRequest::new("many", "log")).await.unwrap();
    let bytes = read.body.collect(written.len()).await.unwrap();
    assert!(bytes == written, "the bytes read are not the bytes appended");

    // Were the cost to grow with the object, the last tenth would cost many times the first. Processor time, not time: the disk
    // and the machine may be busy with something else.
    let (first, last) = (tenths[0], tenths[9]);
    assert!(last < first * 3 + Duration::from_secs(1), "appends became dear: {first:?}, {last:?}");

    assert!(server.stop().success());
    let server = Server::start_with(folder.path(), arguments);
    let read = server.client().get_object(GetObjectRequest::new("many", "log")).await.unwrap();
    let bytes = read.body.collect(written.len()).await.unwrap();
    assert!(bytes == written, "the bytes read after a restart are not the bytes appended");
    folder
}
