//! A server of canned answers: each request, on whatever connection, meets the next step of a script.
//!
//! It reads requests by hand rather than with the HTTP library that the client uses, so that what is tested is the wire.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request.
#[derive(Clone)]
pub(crate) enum Step {
    /// Read all of it and answer with these bytes.
    Answer(String),
    /// Read all of it and close the connection.
    Lose,
    /// Read its head and close the connection.
    LoseAtHead,
    /// Read its head, answer with these bytes, close, and let the rest of it run into the sand.
    RefuseAtHead(String),
    /// Read all of it and never answer.
    Hang,
    /// Read all of it, answer with these bytes and close the connection.
    AnswerAndClose(String),
    /// Read all of it, answer with these bytes, and say no more.
    AnswerAndHang(String),
}

/// A request as it stood on the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    /// Names as sent, values without outer blanks.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, chunks put together.
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = self.headers.iter().find(|(line, _)| line.eq_ignore_ascii_case(name))?;
        Some(&line.1)
    }

    fn parse(head: &str) -> Request {
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap().split(' ');
        let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
        assert_eq!(first.next(), Some("HTTP/1.1"));
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Request { method, target, headers, body: Vec::new() }
    }
}

/// The stub; it lives as long as its runtime.
pub(crate) struct Stub {
    pub(crate) endpoint: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Step>>,
    seen: Mutex<Vec<Request>>,
    connections: AtomicUsize,
}

impl Stub {
    pub(crate) async fn start(script: Vec<Step>) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { script: Mutex::new(script.into()), ..Shared::default() });
        let server = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                server.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&server)));
            }
        });
        Stub { endpoint, shared }
    }

    /// What has arrived, in order.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Methods of what has arrived, in order.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.seen().into_iter().map(|request| request.method).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Asserts that the whole script was played.
    pub(crate) fn assert_over(&self) {
        assert_eq!(self.shared.script.lock().unwrap().len(), 0, "steps of the script are left");
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(mut request) = read_head(&mut stream, &mut buffer).await {
        let Some(step) = shared.script.lock().unwrap().pop_front() else {
            // The test has ended, or will fail on what the client makes of it.
            return;
        };
        if matches!(step, Step::LoseAtHead) {
            shared.seen.lock().unwrap().push(request);
            return;
        }
        if let Step::RefuseAtHead(answer) = step {
            shared.seen.lock().unwrap().push(request);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            while more(&mut stream, &mut Vec::new()).await {}
            return;
        }
        if !read_body(&mut stream, &mut buffer, &mut request).await {
            return;
        }
        shared.seen.lock().unwrap().push(request);
        match step {
            Step::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Step::AnswerAndClose(answer) => {
                stream.write_all(answer.as_bytes()).await.unwrap();
                return;
            }
            Step::AnswerAndHang(answer) => {
                stream.write_all(answer.as_bytes()).await.unwrap();
                std::future::pending::<()>().await;
            }
            Step::Lose | Step::LoseAtHead | Step::RefuseAtHead(_) => return,
            Step::Hang => std::future::pending::<()>().await,
        }
    }
}

/// Reads more into the buffer; false at the end of the connection.
async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    stream.read_buf(buffer).await.is_ok_and(|count| count > 0)
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
            buffer.drain(..end + 4);
            return Some(Request::parse(&head));
        }
        if !more(stream, buffer).await {
            return None;
        }
    }
}

async fn read_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, request: &mut Request) -> bool {
    if let Some(length) = request.header("content-length") {
        let length: usize = length.parse().unwrap();
        return take(stream, buffer, length, &mut request.body).await;
    }
    if request.header("transfer-encoding") != Some("chunked") {
        return true;
    }
    loop {
        let end = loop {
            match buffer.windows(2).position(|window| window == b"\r\n") {
                Some(end) => break end,
                None if more(stream, buffer).await => {}
                None => return false,
            }
        };
        let size = std::str::from_utf8(&buffer[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        buffer.drain(..end + 2);
        let mut line_end = Vec::new();
        if !take(stream, buffer, size, &mut request.body).await
            || !take(stream, buffer, 2, &mut line_end).await
        {
            return false;
        }
        if size == 0 {
            return true;
        }
    }
}

async fn take(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    count: usize,
    into: &mut Vec<u8>,
) -> bool {
    while buffer.len() < count {
        if !more(stream, buffer).await {
            return false;
        }
    }
    into.extend(buffer.drain(..count));
    true
}

/// An answer with these header lines and this body.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Step {
    Step::Answer(raw(status, headers, body))
}

/// The bytes of such an answer.
pub(crate) fn raw(status: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("HTTP/1.1 {status}\r\nx-oss-request-id: 5C3D8D2A0ACA54D87B43A1B2\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text + "\r\n" + body
}

/// A refusal with its XML body.
pub(crate) fn refusal(status: &str, code: &str, headers: &[(&str, &str)]) -> Step {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>no</Message>\
         <RequestId>5C3D8D2A0ACA54D87B43A1B2</RequestId><HostId>h</HostId><EC>0000-00000001</EC></Error>"
    );
    answer(status, headers, &body)
}
