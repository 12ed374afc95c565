//! Users, keys and sessions with the real program: the command line, a kill, a restart, and what lies in the data folder.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use common::{Place, Server};
use ossia_client::{
    AppendObjectRequest, AssumeRoleRequest, BucketAcl, Client, ClientError, CreateBucketRequest,
    Credentials, RetryPolicy, RpcService,
};
use serde_json::Value;

fn start(place: &Place) -> Server {
    place.start_with(&["--set", "ram.session_seconds_min=1"])
}

fn run(place: &Place, server: &Server, arguments: &[&str]) -> Output {
    let mut command = common::ossia();
    command.args(arguments).env("OSSIA_ENDPOINT", server.endpoint());
    command.current_dir(place.path()).stdin(Stdio::null()).output().unwrap()
}

fn json(place: &Place, server: &Server, arguments: &[&str]) -> Vec<Value> {
    let output = run(place, server, &[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    let written = String::from_utf8(output.stdout).unwrap();
    written.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn client(server: &Server, credentials: Credentials) -> Client {
    let builder = Client::builder(server.endpoint()).credentials(credentials);
    builder.retry(RetryPolicy::NONE).build().unwrap()
}

fn credentials(key: &Value) -> Credentials {
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    let credentials = Credentials::new(text("AccessKeyId"), text("AccessKeySecret"));
    match key.get("SecurityToken") {
        Some(token) => credentials.with_security_token(token.as_str().unwrap()),
        None => credentials,
    }
}

async fn who(client: &Client) -> Result<String, ClientError> {
    let told = client.rpc(RpcService::Sts, "GetCallerIdentity", &[]).await?;
    Ok(told["Arn"].as_str().unwrap().to_owned())
}

/// Every file below a folder, with what is in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                files.push((path, bytes));
            }
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_user_to_a_session_that_appends_by_the_command_line_and_over_a_kill() {
    let place = Place::new();
    let server = start(&place);
    let document = r#"{"Version":"1","Statement":[
        {"Effect":"Allow","Action":"oss:PutObject","Resource":"acs:oss:*:*:logs/*"}]}"#;
    std::fs::write(place.beside("writer.json"), document).unwrap();
    json(&place, &server, &["user", "add", "app", "--comments", "an app"]);
    let key = json(&place, &server, &["key", "add", "app"]).remove(0);
    json(&place, &server, &["policy", "add", "writer", "writer.json"]);
    json(&place, &server, &["role", "add", "writer", "--max-session", "7200"]);
    json(&place, &server, &["policy", "attach", "writer", "--role", "writer"]);
    json(&place, &server, &["policy", "attach", "AliyunSTSAssumeRoleAccess", "--user", "app"]);
    json(&place, &server, &["group", "add", "apps"]);
    json(&place, &server, &["group", "join", "apps", "app"]);

    let bucket = CreateBucketRequest {
        acl: Some(BucketAcl::PublicReadWrite),
        ..CreateBucketRequest::new("logs")
    };
    server.client().create_bucket(bucket).await.unwrap();
    let app = client(&server, credentials(&key));
    let arn = who(&app).await.unwrap();
    assert!(arn.ends_with(":user/app"), "{arn}");
    let role = json(&place, &server, &["role", "show", "writer"]).remove(0);
    assert_eq!(role["Policies"][0], "writer");
    let request = AssumeRoleRequest {
        role_arn: role["Arn"].as_str().unwrap().to_owned(),
        session_name: "s-1".to_owned(),
        ..AssumeRoleRequest::default()
    };
    let session = app.assume_role(request).await.unwrap();
    let appender = client(&server, session.credentials.clone());
    let first = AppendObjectRequest::new("logs", "app.log", "one\n");
    let answer = appender.append_object(first).await.unwrap();
    assert_eq!(answer.next_position, 4);

    // Nothing is closed, and everything that was acknowledged is there, sessions included: they are kept nowhere.
    server.kill();
    let server = start(&place);
    let appender = client(&server, session.credentials);
    let second = AppendObjectRequest::new("logs", "app.log", "two\n").position(4);
    assert_eq!(appender.append_object(second).await.unwrap().next_position, 8);
    let shown = json(&place, &server, &["user", "show", "app"]).remove(0);
    assert_eq!((&shown["Comments"], &shown["Groups"][0]), (&"an app".into(), &"apps".into()));
    assert_eq!(shown["AccessKeys"][0], key["AccessKeyId"]);
    assert_eq!(json(&place, &server, &["policy", "ls"]).len(), 4);

    let mut assume = common::ossia();
    let (id, secret) =
        (key["AccessKeyId"].as_str().unwrap(), key["AccessKeySecret"].as_str().unwrap());
    assume.env("OSSIA_ACCESS_KEY_ID", id).env("OSSIA_ACCESS_KEY_SECRET", secret);
    assume.args(["role", "assume", "writer", "--duration", "900", "--json", "--endpoint"]);
    let assumed = assume.arg(server.endpoint()).output().unwrap();
    let assumed: Value = serde_json::from_slice(&assumed.stdout).unwrap();
    let third = AppendObjectRequest::new("logs", "app.log", "three\n").position(8);
    client(&server, credentials(&assumed)).append_object(third).await.unwrap();

    let id_of = |key: &Value| key["AccessKeyId"].as_str().unwrap().to_owned();
    json(&place, &server, &["key", "disable", "app", &id_of(&key)]);
    let app = client(&server, credentials(&key));
    let refused = who(&app).await.unwrap_err();
    assert_eq!(refused.service().unwrap().code, "InvalidAccessKeyId.Inactive");
    let keys = json(&place, &server, &["key", "ls", "app"]);
    assert_eq!(keys[0]["Status"], "Inactive");
    assert_ne!(keys[0]["LastUsedDate"], "");
    json(&place, &server, &["key", "rm", "app", &id_of(&key)]);
    let refused = who(&app).await.unwrap_err();
    assert_eq!(refused.service().unwrap().code, "InvalidAccessKeyId.NotFound");
    let held = run(&place, &server, &["user", "rm", "app"]);
    assert_eq!(held.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&held.stderr).into_owned();
    assert!(errors.contains("DeleteConflict.User.Group"), "{errors}");
    json(&place, &server, &["group", "leave", "apps", "app"]);
    json(&place, &server, &["policy", "detach", "AliyunSTSAssumeRoleAccess", "--user", "app"]);
    json(&place, &server, &["user", "rm", "app"]);
    server.stop();

    let checked = common::ossia().arg("check").arg(place.data()).output().unwrap();
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(0), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_lies_in_the_data_folder_and_a_lost_key_file_stops_a_start_that_has_no_pair() {
    let place = Place::new();
    let server = start(&place);
    json(&place, &server, &["user", "add", "app"]);
    let key = json(&place, &server, &["key", "add", "app"]).remove(0);
    let app = client(&server, credentials(&key));
    who(&app).await.unwrap();
    server.stop();
    let secret = key["AccessKeySecret"].as_str().unwrap().as_bytes();
    let mut seen = 0;
    for (path, bytes) in files(&place.data()) {
        for secret in [secret, common::KEY_SECRET.as_bytes()] {
            let found = bytes.windows(secret.len()).any(|run| run == secret);
            assert!(!found, "a secret lies in {}", path.display());
        }
        seen += bytes.len();
    }
    assert!(seen > 0);

    std::fs::rename(place.keys(), place.beside("elsewhere")).unwrap();
    let mut command = common::ossia();
    command.env_remove("OSSIA_ACCESS_KEY_ID").env_remove("OSSIA_ACCESS_KEY_SECRET");
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(place.data());
    command.arg("--master-key-file").arg(place.keys());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(place.keys().to_str().unwrap()), "{errors}");
    assert!(!place.keys().exists(), "none is made in its place");
    std::fs::rename(place.beside("elsewhere"), place.keys()).unwrap();
    let server = start(&place);
    let app = client(&server, credentials(&key));
    who(&app).await.unwrap();
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_explains_who_may_do_what_and_why() {
    let place = Place::new();
    let server = start(&place);
    server.client().create_bucket(CreateBucketRequest::new("logs")).await.unwrap();
    let document = r#"{"Version":"1","Statement":[
        {"Effect":"Allow","Action":"oss:PutObject","Resource":"acs:oss:*:*:logs/app/*",
         "Condition":{"IpAddress":{"acs:SourceIp":"10.0.0.0/8"}}},
        {"Effect":"Deny","Action":"oss:PutObject","Resource":"acs:oss:*:*:logs/app/old/*"}]}"#;
    std::fs::write(place.beside("writer.json"), document).unwrap();
    json(&place, &server, &["user", "add", "app"]);
    let key = json(&place, &server, &["key", "add", "app"]).remove(0);
    json(&place, &server, &["policy", "add", "writer", "writer.json"]);
    json(&place, &server, &["policy", "attach", "writer", "--user", "app"]);
    let asked = |who, action, resource| {
        vec!["policy", "explain", "--who", who, "--action", action, "--resource", resource]
    };
    let explain = |arguments: &[&str]| {
        let output = run(&place, &server, arguments);
        let told = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), told.trim_end().to_owned(), errors)
    };
    let told = |code: i32, line: &str| (Some(code), line.to_owned(), String::new());
    let put = asked("user/app", "oss:PutObject", "acs:oss:*:*:logs/app/a");
    let inside = [put.as_slice(), &["--source-ip", "10.1.2.3"]].concat();
    assert_eq!(explain(&inside), told(0, "allowed: statement 1 of the policy writer"));
    let (code, line, errors) = explain(&put);
    assert_eq!((code, errors.as_str()), (Some(1), ""));
    assert!(line.starts_with("denied: "), "{line}");
    let old = asked("user/app", "oss:PutObject", "logs/app/old/a");
    assert_eq!(explain(&old), told(1, "denied: statement 2 of the policy writer"));
    let (code, line, _) = explain(&asked("anonymous", "oss:GetObject", "logs/app/a"));
    assert!(code == Some(1) && line.starts_with("denied: "), "{line}");
    let root = asked("root", "oss:GetObject", "logs/app/a");
    assert_eq!(explain(&root), told(0, "allowed: the owner"));
    let (code, line, _) = explain(&[old.as_slice(), &["--json"]].concat());
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((code, &value["Allowed"]), (Some(1), &Value::Bool(false)));
    assert_eq!(value["Reason"], "statement 2 of the policy writer");
    // What cannot be asked is a failure that is told, and no verdict.
    let (code, line, errors) = explain(&asked("user/none", "oss:GetObject", "logs/app/a"));
    assert_eq!((code, line.as_str()), (Some(1), ""));
    assert!(errors.contains("EntityNotExist.Principal"), "{errors}");
    let mut by_user = common::ossia();
    let text = |name: &str| key[name].as_str().unwrap();
    by_user.env("OSSIA_ACCESS_KEY_ID", text("AccessKeyId"));
    by_user.env("OSSIA_ACCESS_KEY_SECRET", text("AccessKeySecret"));
    let refused = by_user.args(&inside).args(["--endpoint", &server.endpoint()]).output().unwrap();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(errors.contains("NoPermission"), "{errors}");
    server.stop();
}

#[tokio::test]
async fn who_may_only_append_does_so_by_the_command_line_too() {
    let place = Place::new();
    let server = start(&place);
    json(&place, &server, &["mb", "oss://logs"]);
    json(&place, &server, &["user", "add", "app"]);
    let key = json(&place, &server, &["key", "add", "app"]).remove(0);
    let policy = r#"{"Version":"1","Statement":[
        {"Effect":"Allow","Action":"oss:PutObject","Resource":"acs:oss:*:*:logs/app/*"}]}"#;
    std::fs::write(place.beside("policy"), policy).unwrap();
    std::fs::write(place.beside("line"), "a line\n").unwrap();
    json(&place, &server, &["policy", "add", "append-logs", "policy"]);
    json(&place, &server, &["policy", "attach", "append-logs", "--user", "app"]);
    let secret = |name: &str| key[name].as_str().unwrap().to_owned();
    let (id, secret) = (secret("AccessKeyId"), secret("AccessKeySecret"));
    let append = |object: &str| {
        let mut command = common::ossia();
        command.args(["append", object, "line", "--json"]);
        command.env("OSSIA_ENDPOINT", server.endpoint());
        command.env("OSSIA_ACCESS_KEY_ID", &id).env("OSSIA_ACCESS_KEY_SECRET", &secret);
        command.current_dir(place.path()).stdin(Stdio::null()).output().unwrap()
    };
    for end in [7, 14, 21] {
        let output = append("oss://logs/app/a.log");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&line["appended"], &line["next_position"]), (&7.into(), &end.into()));
    }
    let output = append("oss://logs/other.log");
    assert!(String::from_utf8_lossy(&output.stderr).contains("AccessDenied"));
    assert_ne!(output.status.code(), Some(0));
    let listed = json(&place, &server, &["ls", "oss://logs"]);
    assert_eq!(listed.len(), 1, "{listed:?}");
}
