//! The cases, each against a bucket of its own addressing.

use std::time::Duration;

use opendal::{ErrorKind, Operator};

use crate::connect::Target;
use crate::room::{Failure, Room, equal, refused};

const ODD_KEYS: [&str; 6] = [
    "plain/with/slashes.txt",
    "space and+plus.txt",
    "percent%20and%2Fslash",
    "query?and#hash&amp;=x",
    "quotes'\"<>&.xml",
    "ünïcode/日本語/😀.log",
];

pub struct Cases<'a> {
    target: &'a Target,
    addressing: &'a str,
    bucket: &'a str,
    op: Operator,
}

impl<'a> Cases<'a> {
    pub fn new(target: &'a Target, addressing: &'a str, bucket: &'a str) -> opendal::Result<Self> {
        Ok(Self { target, addressing, bucket, op: target.operator(addressing, bucket)? })
    }

    pub async fn run(&self, room: &mut Room<'_>) {
        room.run("a writer with append(true) writes several times", self.appends()).await;
        room.run("a second writer resumes at the end", self.resumes()).await;
        room.run("a writer in chunks appends each", self.appends_in_chunks()).await;
        room.run("a deleted object starts anew", self.starts_anew_after_delete()).await;
        room.run("a writer that was overtaken is refused", self.refuses_the_overtaken()).await;
        room.run("a normal object is not appendable", self.refuses_normal_objects()).await;
        room.run("stat and ranged reads of an appended object", self.stats_and_reads()).await;
        room.run("normal objects are copied and appendables are not", self.copies()).await;
        room.run("keys of every kind survive", self.keeps_odd_keys()).await;
        room.run("lists with and without recursion", self.lists()).await;
        room.run("presigned requests read and write", self.presigns()).await;
        room.run("missing keys, missing buckets and wrong secrets", self.refuses_strangers()).await;
        room.run("empties the bucket", self.empties()).await;
    }

    async fn append(&self, key: &str, text: &str) -> opendal::Result<()> {
        self.op.write_with(key, text.to_owned()).append(true).await.map(drop)
    }

    async fn holds(&self, key: &str, want: &str) -> Result<(), Failure> {
        let got = self.op.read(key).await?.to_vec();
        equal(format!("content of {key}"), String::from_utf8(got)?, want.to_owned())
    }

    async fn appends(&self) -> Result<(), Failure> {
        let mut writer = self.op.writer_with("append.log").append(true).await?;
        // opendal gathers small writes and sends them past 100 KiB or at the end: three requests here.
        for text in ["a".repeat(150_000), "b".repeat(150_000), "hello".into(), " world".into()] {
            writer.write(text).await?;
        }
        writer.close().await?;
        let want = format!("{}{}hello world", "a".repeat(150_000), "b".repeat(150_000));
        self.holds("append.log", &want).await
    }

    async fn resumes(&self) -> Result<(), Failure> {
        for part in ["one ", "two ", "three"] {
            let mut writer = self.op.writer_with("resume.log").append(true).await?;
            writer.write(part).await?;
            writer.close().await?;
        }
        self.holds("resume.log", "one two three").await
    }

    async fn appends_in_chunks(&self) -> Result<(), Failure> {
        let mut writer = self.op.writer_with("chunks.log").append(true).chunk(100_000).await?;
        for _ in 0..5 {
            writer.write("x".repeat(50_000)).await?;
        }
        writer.close().await?;
        equal("length", self.op.stat("chunks.log").await?.content_length(), 250_000)
    }

    async fn starts_anew_after_delete(&self) -> Result<(), Failure> {
        self.append("again.log", "a").await?;
        self.op.delete("again.log").await?;
        self.append("again.log", "b").await?;
        self.holds("again.log", "b").await
    }

    async fn refuses_the_overtaken(&self) -> Result<(), Failure> {
        let mut slow = self.op.writer_with("overtaken.log").append(true).await?;
        let large = "s".repeat(200_000);
        slow.write(large.clone()).await?;
        self.append("overtaken.log", " fast").await?;
        refused("PositionNotEqualToLength", slow.write(large.clone()).await)?;
        self.holds("overtaken.log", &format!("{large} fast")).await
    }

    async fn refuses_normal_objects(&self) -> Result<(), Failure> {
        self.op.write("normal.txt", "hello").await?;
        refused("ObjectNotAppendable", self.append("normal.txt", "x").await)?;
        self.holds("normal.txt", "hello").await
    }

    async fn stats_and_reads(&self) -> Result<(), Failure> {
        self.op.write_with("stat.log", "01234").append(true).content_type("text/x-log").await?;
        self.append("stat.log", "56789").await?;
        let stat = self.op.stat("stat.log").await?;
        equal("length", stat.content_length(), 10)?;
        equal("content type", stat.content_type(), Some("text/x-log"))?;
        equal("time is known", stat.last_modified().is_some(), true)?;
        equal("ETag is known", stat.etag().is_some(), true)?;
        equal(
            "range",
            self.op.read_with("stat.log").range(3..7).await?.to_vec(),
            b"3456".to_vec(),
        )?;
        equal("exists", self.op.exists("stat.log").await?, true)?;
        equal("absent", self.op.exists("absent.log").await?, false)
    }

    async fn copies(&self) -> Result<(), Failure> {
        self.op.write("copy source+ü.txt", "hello").await?;
        self.op.copy("copy source+ü.txt", "copied.txt").await?;
        self.holds("copied.txt", "hello").await?;
        self.append("copy-source.log", "hello").await?;
        refused("OperationNotSupported", self.op.copy("copy-source.log", "no.log").await)?;
        equal("a refused copy", self.op.exists("no.log").await?, false)
    }

    async fn keeps_odd_keys(&self) -> Result<(), Failure> {
        for key in ODD_KEYS {
            self.op.write(&format!("odd/{key}"), key).await?;
            self.holds(&format!("odd/{key}"), key).await?;
            self.append(&format!("odd-log/{key}"), "x").await?;
            self.append(&format!("odd-log/{key}"), "y").await?;
            self.holds(&format!("odd-log/{key}"), "xy").await?;
        }
        let listed = self.files("odd/").await?;
        let mut want: Vec<String> = ODD_KEYS.iter().map(|key| format!("odd/{key}")).collect();
        want.sort();
        equal("listed", listed, want.clone())?;
        self.op.delete_iter(want).await?;
        equal("after a batch delete", self.files("odd/").await?, Vec::new())
    }

    async fn files(&self, prefix: &str) -> opendal::Result<Vec<String>> {
        let entries = self.op.list_with(prefix).recursive(true).await?;
        let files = entries.into_iter().filter(|entry| entry.metadata().is_file());
        let mut paths: Vec<String> = files.map(|entry| entry.path().to_owned()).collect();
        paths.sort();
        Ok(paths)
    }

    async fn lists(&self) -> Result<(), Failure> {
        for key in ["list/a.txt", "list/b/1.txt", "list/b/2.txt", "list/z.log"] {
            self.append(key, "12345").await?;
        }
        let all: Vec<String> =
            ["list/a.txt", "list/b/1.txt", "list/b/2.txt", "list/z.log"].map(String::from).to_vec();
        equal("recursive", self.files("list/").await?, all)?;
        let mut paged: Vec<String> = Vec::new();
        for entry in self.op.list_with("list/").recursive(true).limit(1).await? {
            paged.push(entry.path().to_owned());
        }
        equal("in pages of one", paged.len(), 4)?;
        let mut folded: Vec<String> =
            self.op.list("list/").await?.into_iter().map(|entry| entry.path().to_owned()).collect();
        folded.sort();
        equal("folded", folded, ["list/a.txt", "list/b/", "list/z.log"].map(String::from).to_vec())
    }

    async fn send(
        &self,
        request: opendal::raw::PresignedRequest,
        body: &str,
    ) -> Result<(u16, String), Failure> {
        let url = request.uri().to_string();
        // opendal gives a length of zero along with a URL for writing, and V1 does not sign it.
        let mut headers = request.header().clone();
        headers.remove("content-length");
        let answer = self
            .target
            .http
            .request(request.method().clone(), url)
            .headers(headers)
            .body(body.to_owned())
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    async fn presigns(&self) -> Result<(), Failure> {
        let minute = Duration::from_secs(60);
        let write = self.op.presign_write("presigned ü+.txt", minute).await?;
        equal("write", self.send(write, "hello").await?, (200, String::new()))?;
        let read = self.op.presign_read("presigned ü+.txt", minute).await?;
        equal("read", self.send(read, "").await?, (200, "hello".to_owned()))
    }

    async fn refuses_strangers(&self) -> Result<(), Failure> {
        let kind = |outcome: opendal::Result<opendal::Buffer>| {
            outcome.map(drop).map_err(|error| error.kind())
        };
        equal("missing key", kind(self.op.read("absent.txt").await), Err(ErrorKind::NotFound))?;
        let elsewhere =
            self.target.operator(self.addressing, &format!("{}-absent", self.bucket))?;
        refused("NoSuchBucket", elsewhere.read("x").await)?;
        refused("NoSuchBucket", elsewhere.write_with("x", "x").append(true).await)?;
        let forged =
            self.target.operator_with_secret(self.addressing, self.bucket, "not-the-secret")?;
        refused("SignatureDoesNotMatch", forged.read("stat.log").await)
    }

    async fn empties(&self) -> Result<(), Failure> {
        self.op.delete_iter(self.files("/").await?).await?;
        equal("left over", self.files("/").await?, Vec::new())
    }
}
