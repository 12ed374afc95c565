//! Where bucket and key stand: `auth.md` §7, `harmony.md` "What a server must satisfy" 1.

use crate::drive::*;

#[tokio::test]
async fn every_style_means_the_same_object() {
    let fixture = Fixture::with(|config| {
        config.domain = vec!["oss.example.com".into()];
        config.cname = vec!["logs.example.org=bkt".into()];
    })
    .await;
    fixture.make_bucket("bkt").await;
    let port = fixture.address.port();
    let styles = [
        (fixture.host(), "/bkt/dir/log"),
        (format!("localhost:{port}"), "/bkt/dir%2Flog"),
        (format!("bkt.localhost:{port}"), "/dir/log"),
        ("bkt.oss-cn-hangzhou.aliyuncs.com".to_owned(), "/dir%2Flog"),
        (format!("bkt.oss-eu-west-1.aliyuncs.com:{port}"), "/dir/log"),
        ("bkt.oss.example.com".to_owned(), "/dir/log"),
        ("BKT.OSS.example.com".to_owned(), "/dir/log"),
        ("oss.example.com".to_owned(), "/bkt/dir/log"),
        ("logs.example.org".to_owned(), "/dir/log"),
        ("some-name".to_owned(), "/bkt/dir/log"),
    ];
    for (position, (host, path)) in styles.into_iter().enumerate() {
        for (i, sign) in [Sign::V1, Sign::V4].into_iter().enumerate() {
            let call = append(path, (2 * position + i) as u64, "x").host(&host).sign(sign);
            let answer = fixture.call(call).await;
            assert_eq!(answer.status, 200, "{host} {path} {sign:?} {}", answer.text());
        }
    }
    assert_eq!(fixture.call(get("/bkt/dir/log")).await.expect(200).body.len(), 20);
}

#[tokio::test]
async fn a_bucket_in_the_path_may_lack_its_slash() {
    let fixture = Fixture::with_bucket().await;
    for path in ["/bkt", "/bkt/"] {
        fixture.call(get(&format!("{path}?acl"))).await.expect(200);
    }
    fixture.call(head("/bkt")).await.expect(200);
}

#[tokio::test]
async fn an_empty_bucket_label_means_the_service() {
    let fixture = Fixture::with_bucket().await;
    let call = get("/").host(".oss-cn-hangzhou.aliyuncs.com");
    let list = fixture.call(call).await.expect(200);
    assert_eq!(list.elements("Name"), ["bkt"]);
}

#[tokio::test]
async fn the_health_path_is_the_servers_own_only_where_host_is_a_service_name() {
    let fixture = Fixture::with_bucket().await;
    let health = || get("/_ossia/health").anonymous();
    let answer = fixture.call(health()).await.expect(200);
    assert_eq!(answer.must("x-oss-request-id").len(), 24);
    fixture.call(head("/_ossia/health").anonymous()).await.expect(200);
    fixture.call(post("/_ossia/health").anonymous()).await.error(405, "MethodNotAllowed");
    let host = "bkt.oss-cn-hangzhou.aliyuncs.com";
    fixture.call(get("/_ossia/health").host(host)).await.error(404, "NoSuchKey");
    fixture.call(put("/_ossia/health").host(host).body("mine")).await.expect(200);
    let key = fixture.call(get("/bkt/_ossia/health")).await.expect(200);
    assert_eq!(key.text(), "mine");
    assert_eq!(fixture.call(health()).await.text(), "ready");
}

#[tokio::test]
async fn an_absolute_request_target_is_read_like_any_other() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("x")).await.expect(200);
    let bytes = get("/bkt/key").head_bytes(&fixture);
    let text = String::from_utf8(bytes).unwrap();
    let text = text.replacen("GET /bkt/key", &format!("GET http://{}/bkt/key", fixture.host()), 1);
    let mut connection = fixture.connect().await;
    connection.send(text).await;
    assert_eq!(connection.response(false).await.expect(200).text(), "x");
}

#[tokio::test]
async fn advertised_endpoints_are_the_clouds_form_or_the_configured_domain() {
    let cloud = Fixture::with_bucket().await;
    let info = cloud.call(get("/bkt/?bucketInfo")).await.expect(200);
    assert_eq!(info.element("ExtranetEndpoint").unwrap(), "oss-cn-hangzhou.aliyuncs.com");
    assert_eq!(info.element("IntranetEndpoint").unwrap(), "oss-cn-hangzhou-internal.aliyuncs.com");
    let own = Fixture::with(|config| config.domain = vec!["oss.example.com".into()]).await;
    own.make_bucket("bkt").await;
    let list = own.call(get("/")).await.expect(200);
    let wanted = format!("oss.example.com:{}", own.address.port());
    assert_eq!(list.element("ExtranetEndpoint").unwrap(), wanted);
    assert_eq!(list.element("IntranetEndpoint").unwrap(), wanted);
}
